//! The terminal: its modes, which are put back whatever happens, and what is drawn on it.

use std::io::{self, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::style::{Attribute, Color, Print, SetAttribute, SetForegroundColor};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, queue, terminal};

use super::frame::{Line, Style};

/// Whether the terminal has been changed. SeqCst, since it is twice in a program's life; whoever takes it back to false
/// restores.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// The terminal while it is drawn upon.
pub struct Screen {
    out: Stdout,
    /// What stands there; nothing is known of it at first and after a change of its size.
    drawn: Vec<Line>,
    has_colours: bool,
}

impl Screen {
    /// Takes the terminal: another screen, no cursor, keys as they are pressed. A panic puts it back before it is told.
    pub fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let told = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                told(panic);
            }));
        });
        let screen = Screen {
            out: io::stdout(),
            drawn: Vec::new(),
            has_colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        CHANGED.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    /// The columns and lines that there are; 80 and 24 where the terminal does not tell.
    pub fn size() -> (usize, usize) {
        let told = terminal::size().ok().filter(|(width, height)| *width > 0 && *height > 0);
        let (width, height) = told.unwrap_or((80, 24));
        (usize::from(width), usize::from(height))
    }

    /// Forgets what stands there.
    pub fn forget(&mut self) {
        self.drawn.clear();
    }

    /// Draws the lines that have changed.
    pub fn draw(&mut self, lines: Vec<Line>) -> io::Result<()> {
        if self.drawn.len() != lines.len() {
            self.drawn.clear();
            queue!(self.out, Clear(ClearType::All))?;
        }
        for (at, line) in (0_u16..).zip(&lines) {
            if self.drawn.get(usize::from(at)) == Some(line) {
                continue;
            }
            queue!(self.out, cursor::MoveTo(0, at))?;
            for span in line {
                self.dress(span.style)?;
                queue!(self.out, Print(&span.text), SetAttribute(Attribute::Reset))?;
            }
        }
        self.drawn = lines;
        self.out.flush()
    }

    fn dress(&mut self, style: Style) -> io::Result<()> {
        match style {
            Style::Plain => Ok(()),
            Style::Reverse => queue!(self.out, SetAttribute(Attribute::Reverse)),
            Style::Alarm if self.has_colours => queue!(self.out, SetForegroundColor(Color::Red)),
            Style::Bold | Style::Alarm => queue!(self.out, SetAttribute(Attribute::Bold)),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back, once. Of a terminal that has gone nothing is to be put back.
fn restore() {
    if CHANGED.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), cursor::Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
