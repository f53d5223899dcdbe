//! Text of others: messages of a server, tags, the names of threads, pools, hosts, files and applications.
//!
//! It goes into log lines, error messages, the status box and JSON, and from there to terminals. A line break in it
//! could forge the next line of a log or a report, an escape sequence rewrite the terminal, a bidirectional mark turn a
//! text around; and it can have any length. So it is made harmless where it enters, before anything keeps a copy of it.

use std::fmt::{self, Write};

/// The most bytes of one text: more than any message needs that says something, and little enough for every caller to
/// have a copy.
const LONGEST: usize = 1024;

/// Stands for what was cut off. In ASCII, for the plain form of the status box.
const CUT: &str = "...";

/// Makes a text harmless: control characters, line breaks and bidirectional marks are escaped, and what is longer than
/// 1 KiB is cut at a character. What is harmless already stays as it is.
///
/// No more of a long text is ever held: the writing of it is ended where it is cut.
pub(crate) fn harmless(text: impl fmt::Display) -> String {
    let mut shown = Shown { text: String::new(), is_cut: false };
    // It fails where the text is cut, or where the text's own `Display` does: what was written by then stands.
    let _ = write!(shown, "{text}");
    shown.text
}

struct Shown {
    text: String,
    is_cut: bool,
}

impl Write for Shown {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars() {
            // Also where the last write's failure was ignored.
            if self.is_cut {
                return Err(fmt::Error);
            }
            if is_obeyed(c) {
                self.text.extend(c.escape_default());
            } else {
                self.text.push(c);
            }
            if self.text.len() > LONGEST {
                self.cut();
            }
        }
        Ok(())
    }
}

impl Shown {
    fn cut(&mut self) {
        while self.text.len() > LONGEST - CUT.len() {
            self.text.pop();
        }
        self.text.push_str(CUT);
        self.is_cut = true;
    }
}

/// Whether it takes no room, so that two texts that look the same are not.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Whether a terminal or a viewer does something else with it than show it.
fn is_obeyed(c: char) -> bool {
    let is_bidirectional =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks_lines = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || is_bidirectional || breaks_lines || is_unseen(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(harmless("a\nb\r\tc"), r"a\nb\r\tc");
        assert_eq!(harmless("\u{1b}[2J\u{7f}\u{9b}31m"), r"\u{1b}[2J\u{7f}\u{9b}31m");
        assert_eq!(
            harmless("gnp\u{202e}exe\u{2069}\u{200f}\u{61c}"),
            r"gnp\u{202e}exe\u{2069}\u{200f}\u{61c}"
        );
        assert_eq!(harmless("ad\u{200b}min\u{feff}\u{ad}\u{e0041}"), r"ad\u{200b}min\u{feff}\u{ad}\u{e0041}");
        assert_eq!(harmless("one\u{2028}two\u{85}"), r"one\u{2028}two\u{85}");
        assert_eq!(harmless(r"früh ✅ 'C:\new' 日本"), r"früh ✅ 'C:\new' 日本");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_what_is_harmless_stays() {
        for unit in ["x", "é", "日", "🔌", "\n", "\u{202e}"] {
            let text = harmless(unit.repeat(2000));
            assert!(
                text.len() <= LONGEST && text.len() > LONGEST - 16 && text.ends_with(CUT),
                "{unit:?}: {text}"
            );
            assert_eq!(harmless(&text), text);
        }
        let fits = "x".repeat(LONGEST);
        assert_eq!(harmless(&fits), fits);
    }

    #[test]
    fn the_writing_of_a_long_text_is_ended_where_it_is_cut() {
        struct Endless<'a>(&'a std::cell::Cell<usize>);

        impl fmt::Display for Endless<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    f.write_str("0123456789abcdef")?;
                }
            }
        }

        let writes = std::cell::Cell::new(0);
        assert!(harmless(Endless(&writes)).ends_with(CUT));
        assert!(writes.get() < 100, "{writes:?}");
    }
}
