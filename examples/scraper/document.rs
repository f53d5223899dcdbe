//! What is kept of a document, and the builder that every format fills.

/// A scraped document.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its own title, else its first heading, else its first line; `None` where there is none of them.
    pub title: Option<String>,
    pub headings: Vec<Heading>,
    pub links: Vec<Link>,
    /// Words of prose: runs of non-space characters that hold a letter or digit, code blocks left out.
    pub words: i32,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Heading {
    /// 1 to 6.
    pub level: i16,
    pub text: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// As written, not resolved.
    pub href: String,
    pub text: String,
}

/// A first line is cut to this many characters when it stands in for a title.
const MAX_LINE_TITLE: usize = 160;

/// Collects a document from a parser's events, in reading order.
///
/// Markup of real documents is not always well nested: an end without a start is ignored, and a start without an end
/// is closed by [`Builder::finish`].
#[derive(Default)]
pub struct Builder {
    title: Option<String>,
    first_line: String,
    first_line_done: bool,
    document: Document,
    heading: Option<Heading>,
    link: Option<Link>,
    /// Whether the word being read is counted already; words may span several events.
    in_word: bool,
}

impl Builder {
    /// Sets the document's own title; the first one stays.
    pub fn title(&mut self, title: &str) {
        let title = tidy(title);
        if self.title.is_none() && !title.is_empty() {
            self.title = Some(title);
        }
    }

    /// Adds text to the words, and to the heading and link that are open.
    pub fn text(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.in_word = false;
            } else if c.is_alphanumeric() && !self.in_word {
                self.in_word = true;
                self.document.words = self.document.words.saturating_add(1);
            }
        }
        if let Some(heading) = &mut self.heading {
            heading.text.push_str(text);
        }
        if let Some(link) = &mut self.link {
            link.text.push_str(text);
        }
        if !self.first_line_done && self.first_line.len() < 4 * MAX_LINE_TITLE {
            self.first_line.push_str(text);
        }
    }

    /// Ends a paragraph, list item or cell: the next text begins a new word, and the first line is complete.
    pub fn break_block(&mut self) {
        self.in_word = false;
        self.first_line_done |= !self.first_line.trim().is_empty();
        if let Some(heading) = &mut self.heading {
            heading.text.push(' ');
        }
    }

    /// Opens a heading; one that is still open ends.
    pub fn start_heading(&mut self, level: i16) {
        self.end_heading();
        self.break_block();
        self.heading = Some(Heading { level: level.clamp(1, 6), text: String::new() });
    }

    /// Ends the open heading; one without text is dropped.
    pub fn end_heading(&mut self) {
        if let Some(heading) = self.heading.take() {
            let text = tidy(&heading.text);
            if !text.is_empty() {
                self.document.headings.push(Heading { text, ..heading });
            }
            self.break_block();
        }
    }

    /// Opens a link; one that is still open ends, since links do not nest.
    pub fn start_link(&mut self, href: &str) {
        self.end_link();
        self.link = Some(Link { href: storable(href.trim()), text: String::new() });
    }

    /// Ends the open link; one without a target is dropped.
    pub fn end_link(&mut self) {
        if let Some(link) = self.link.take().filter(|link| !link.href.is_empty()) {
            self.document.links.push(Link { text: tidy(&link.text), ..link });
        }
    }

    /// Closes what is open and settles the title.
    pub fn finish(mut self) -> Document {
        self.end_link();
        self.end_heading();
        let headings = &self.document.headings;
        let first_heading =
            headings.iter().find(|h| h.level == 1).or(headings.first()).map(|h| h.text.clone());
        let first_line = tidy(self.first_line.trim_start().lines().next().unwrap_or_default());
        let first_line: String = first_line.chars().take(MAX_LINE_TITLE).collect();
        self.document.title = self.title.or(first_heading).or((!first_line.is_empty()).then_some(first_line));
        self.document
    }
}

/// Runs of white space become one space, and the text can be stored.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !tidy.is_empty() {
            tidy.push(' ');
        }
        tidy.push_str(word);
    }
    storable(&tidy)
}

/// PostgreSQL's text cannot hold U+0000, which real files now and then do.
pub fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::{Builder, Document};

    #[test]
    fn badly_nested_markup_still_gives_a_document() {
        let mut builder = Builder::default();
        builder.end_link();
        builder.end_heading();
        builder.start_heading(9);
        builder.text("Half\0 a");
        builder.start_link("https://a.example");
        builder.text(" head");
        builder.start_link(" ");
        let document = builder.finish();
        assert_eq!(document.title.as_deref(), Some("Half\u{fffd} a head"));
        assert_eq!((document.headings.len(), document.headings[0].level), (1, 6));
        assert_eq!((document.links.len(), document.links[0].text.as_str()), (1, "head"));
    }

    #[test]
    fn words_may_span_events_but_not_blocks() {
        let mut builder = Builder::default();
        for part in ["foo", "bar", " - ", "baz"] {
            builder.text(part);
        }
        builder.break_block();
        builder.text("qux");
        assert_eq!(builder.finish().words, 3);
        assert_eq!(Builder::default().finish(), Document::default());
    }
}
