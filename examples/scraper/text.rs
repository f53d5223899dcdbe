//! Prose without markup: licences, authors, plain readmes.

use super::document::{Builder, Document};

/// Scrapes plain text: its first line, the web addresses in it, and its words.
pub fn scrape(source: &str) -> Document {
    let mut builder = Builder::default();
    for line in source.lines() {
        for word in line.split_whitespace() {
            match address(word) {
                Some(href) => {
                    builder.start_link(href);
                    builder.text(word);
                    builder.end_link();
                }
                None => builder.text(word),
            }
            builder.text(" ");
        }
        builder.break_block();
    }
    builder.finish()
}

/// The web address inside `word`, without the punctuation of the sentence around it.
fn address(word: &str) -> Option<&str> {
    let from = word.find("https://").or_else(|| word.find("http://"))?;
    let href = word[from..].split(['<', '>', '"', '\'', '`', ')', ']', '}']).next()?;
    let href = href.trim_end_matches(['.', ',', ';', ':', '!', '?', '*']);
    (href.len() > "https://".len()).then_some(href)
}

#[cfg(test)]
mod tests {
    use super::scrape;

    #[test]
    fn finds_first_line_addresses_and_words() {
        let document = scrape("\n   Some  License\n\nSee <https://a.example/x>, or (http://b.example/y).\n");
        assert_eq!(document.title.as_deref(), Some("Some License"));
        let links: Vec<_> = document.links.iter().map(|link| link.href.as_str()).collect();
        assert_eq!(links, ["https://a.example/x", "http://b.example/y"]);
        assert_eq!(document.words, 6);
        assert!(document.headings.is_empty());
    }
}
