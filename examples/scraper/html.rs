//! HTML documents, and the HTML inside Markdown.
//!
//! A tokenizer is enough: titles, headings, links and words need no tree, and real pages are often not well nested.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

use super::document::{Builder, Document};

/// Scrapes an HTML document.
pub fn scrape(source: &str) -> Document {
    let mut builder = Builder::default();
    feed(source, &mut builder);
    builder.finish()
}

/// Adds a page or a piece of one to `builder`; a heading or link may begin in one piece and end in another.
pub fn feed(source: &str, builder: &mut Builder) {
    let mut emitter = DefaultEmitter::default();
    // Without a tree nothing else tells the tokenizer that a script's text is not markup.
    emitter.naively_switch_states(true);
    // Text of these elements is no prose; the name is kept to find its end.
    let mut silent: Option<Vec<u8>> = None;
    let mut title = None;
    let Ok(tokens) = Tokenizer::new_with_emitter(source, emitter).collect::<Result<Vec<_>, _>>();
    for token in tokens {
        match token {
            Token::StartTag(tag) if tag.name.as_slice() == b"title" && silent.is_none() => {
                title = Some(String::new());
            }
            Token::StartTag(tag) if is_silent(&tag.name) && !tag.self_closing => {
                builder.break_block();
                silent.get_or_insert(tag.name.0);
            }
            Token::StartTag(tag) => start(&tag, builder),
            Token::EndTag(tag) if tag.name.as_slice() == b"title" => {
                builder.title(&title.take().unwrap_or_default());
            }
            Token::EndTag(tag) if silent.as_deref() == Some(tag.name.as_slice()) => silent = None,
            Token::EndTag(tag) => end(&tag.name, builder),
            Token::String(text) if silent.is_none() => {
                let text = String::from_utf8_lossy(&text);
                title.as_mut().map_or_else(|| builder.text(&text), |title| title.push_str(&text));
            }
            _ => {}
        }
    }
}

fn is_silent(name: &[u8]) -> bool {
    matches!(name, b"script" | b"style" | b"template" | b"noscript" | b"pre" | b"textarea" | b"svg")
}

fn start(tag: &StartTag<()>, builder: &mut Builder) {
    match tag.name.as_slice() {
        b"a" => {
            if let Some(href) = tag.attributes.get(b"href".as_slice()) {
                builder.start_link(&String::from_utf8_lossy(href));
            }
        }
        b"img" => {
            if let Some(alternative) = tag.attributes.get(b"alt".as_slice()) {
                builder.text(&String::from_utf8_lossy(alternative));
            }
        }
        name => match heading_level(name) {
            Some(level) => builder.start_heading(level),
            None => break_unless_inline(name, builder),
        },
    }
}

fn end(name: &[u8], builder: &mut Builder) {
    match name {
        b"a" => builder.end_link(),
        _ if heading_level(name).is_some() => builder.end_heading(),
        _ => break_unless_inline(name, builder),
    }
}

fn heading_level(name: &[u8]) -> Option<i16> {
    match name {
        [b'h', digit @ b'1'..=b'6'] => Some(i16::from(digit - b'0')),
        _ => None,
    }
}

/// Every other element ends a word; these are the ones that occur inside of words.
fn break_unless_inline(name: &[u8], builder: &mut Builder) {
    let inline = [
        b"abbr".as_slice(),
        b"b",
        b"cite",
        b"code",
        b"del",
        b"em",
        b"font",
        b"i",
        b"ins",
        b"kbd",
        b"mark",
        b"q",
        b"s",
        b"samp",
        b"small",
        b"span",
        b"strong",
        b"sub",
        b"sup",
        b"tt",
        b"u",
        b"var",
        b"wbr",
    ];
    if !inline.contains(&name) {
        builder.break_block();
    }
}

#[cfg(test)]
mod tests {
    use super::scrape;

    #[test]
    fn finds_title_headings_links_and_words() {
        let page = "<!doctype html><html><head><title>A &amp; B</title><style>p{a:b}</style></head><body>\
                    <h2>One <em>t</em>wo</h2><p>three<p>four<script>if (a<b) '<h1>no</h1>'</script>\
                    <a name=x>five</a> <a href='/six?a=1&amp;b=2'>six</a></body>";
        let document = scrape(page);
        assert_eq!(document.title.as_deref(), Some("A & B"));
        assert_eq!(document.headings.len(), 1);
        assert_eq!((document.headings[0].level, document.headings[0].text.as_str()), (2, "One two"));
        assert_eq!(document.links.len(), 1);
        assert_eq!(document.links[0].href, "/six?a=1&b=2");
        assert_eq!(document.words, 6);
    }

    #[test]
    fn broken_pages_do_not_stop_it() {
        for page in ["<a href=", "<h1><h2></h1>x", "</title></a></h3>", "<title>never closed", "\0<\0a>", "<"]
        {
            scrape(page);
        }
    }
}
