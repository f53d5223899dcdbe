//! Markdown documents.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::document::{Builder, Document};
use super::html;

/// Scrapes a Markdown document, HTML inside of it included.
pub fn scrape(source: &str) -> Document {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let mut builder = Builder::default();
    // Code and metadata are not prose.
    let mut skipped = false;
    // A tag may span lines, and a block of HTML comes line by line.
    let mut html_block = String::new();
    for event in Parser::new_ext(source, options) {
        match event {
            Event::Start(Tag::CodeBlock(_) | Tag::MetadataBlock(_)) => skipped = true,
            Event::End(TagEnd::CodeBlock | TagEnd::MetadataBlock(_)) => skipped = false,
            Event::Start(Tag::Heading { level, .. }) => builder.start_heading(level as i16),
            Event::End(TagEnd::Heading(_)) => builder.end_heading(),
            Event::Start(Tag::Link { dest_url, .. }) => builder.start_link(&dest_url),
            Event::End(TagEnd::Link) => builder.end_link(),
            Event::Html(line) => html_block.push_str(&line),
            Event::End(TagEnd::HtmlBlock) => html::feed(&std::mem::take(&mut html_block), &mut builder),
            Event::InlineHtml(tag) => html::feed(&tag, &mut builder),
            Event::Text(text) if !skipped => builder.text(&text),
            Event::Code(text) => builder.text(&text),
            Event::SoftBreak | Event::HardBreak => builder.text(" "),
            Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell) => builder.break_block(),
            _ => {}
        }
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::scrape;

    #[test]
    fn finds_title_headings_links_and_words() {
        let source = "---\ntitle: meta\n---\nIntro **bo**ld.\n\n# The `tool`\n\n\
                      [a *link*](x.md) and <https://b.example>\n\n\
                      ```rust\nlet not_prose = 1;\n```\n\n## Use\n\n[![Build](badge.svg)](ci)\n";
        let document = scrape(source);
        assert_eq!(document.title.as_deref(), Some("The tool"));
        let headings: Vec<_> = document.headings.iter().map(|h| (h.level, h.text.as_str())).collect();
        assert_eq!(headings, [(1, "The tool"), (2, "Use")]);
        let links: Vec<_> = document.links.iter().map(|l| (l.href.as_str(), l.text.as_str())).collect();
        assert_eq!(links, [("x.md", "a link"), ("https://b.example", "https://b.example"), ("ci", "Build")]);
        // Intro bold | The tool | a link and https… | Use | Build
        assert_eq!(document.words, 10);
    }

    #[test]
    fn reads_html_in_markdown() {
        let source = "<h1 align=\"center\">\n  Name\n</h1>\n\nSee <a\nhref=\"y\">why</a>.\n";
        let document = scrape(source);
        assert_eq!(document.title.as_deref(), Some("Name"));
        assert_eq!((document.links[0].href.as_str(), document.links[0].text.as_str()), ("y", "why"));
    }

    #[test]
    fn without_a_heading_the_first_line_is_the_title() {
        assert_eq!(scrape("First line\n\nSecond").title.as_deref(), Some("First line"));
        assert_eq!(scrape("").title, None);
    }
}
