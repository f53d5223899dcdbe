//! The screen as a value: lines that fit, of pieces that have a style.

use unicode_width::UnicodeWidthChar;

use super::grid::{Column, Grid};
use super::state::State;
use super::views::View;

/// Cells between two columns.
const GAP: usize = 2;

/// The fewest cells that the last column is worth.
const LEAST_LAST: usize = 14;

const KEYS: &str = "1-4 Tab view  j k select  s sort  space pause  c cancel  K terminate  q quit";

/// How something looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Bold,
    /// The row that is selected.
    Reverse,
    /// What somebody should look at.
    Alarm,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub style: Style,
}

/// A line of the screen.
pub type Line = Vec<Span>;

/// As many cells as there are, of a text: what is too long is cut, what a terminal would obey is a `?`, and the rest is
/// blank.
pub fn fit(text: &str, cells: usize) -> String {
    let mut fitting = String::new();
    let mut left = cells;
    for letter in text.chars() {
        // What takes no cell joins the one before it, and so many of them could be anywhere.
        let (letter, width) = match letter.width() {
            Some(width @ 1..) => (letter, width),
            _ => ('?', 1),
        };
        if width > left {
            break;
        }
        fitting.push(letter);
        left -= width;
    }
    fitting.extend(std::iter::repeat_n(' ', left));
    fitting
}

fn cells(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(1).max(1)).sum()
}

/// What the screen shows, of exactly so many lines and columns.
pub fn frame(state: &State, width: usize, height: usize) -> Vec<Line> {
    let (grid, sorted_by) = state.grid();
    let whole = |text: &str, style| vec![Span { text: fit(text, width), style }];
    let mut lines = vec![title(state, width)];
    match state.seen() {
        None => lines.push(whole("looking", Style::Plain)),
        Some(seen) if seen.answers => lines.push(whole(&seen.message, Style::Plain)),
        Some(seen) => lines.push(whole(&format!("UNREACHABLE: {}", seen.message), Style::Alarm)),
    }
    lines.extend(grid.summary.iter().map(|line| whole(line, Style::Plain)));
    let notes: Vec<_> = state.seen().map(|seen| &seen.notes[..]).unwrap_or_default().iter().collect();
    // Notes never take the place of the table.
    let taken = lines.len() + 2;
    let room_for_notes = height.saturating_sub(taken) / 3;
    let notes = &notes[..notes.len().min(room_for_notes)];
    let selected = state.selected(&grid);
    lines.extend(table(&grid, sorted_by, selected, width, height.saturating_sub(taken + notes.len())));
    lines.truncate(height.saturating_sub(notes.len() + 1));
    lines.resize_with(height.saturating_sub(notes.len() + 1), || whole("", Style::Plain));
    lines.extend(notes.iter().map(|note| whole(&format!("note: {note}"), Style::Plain)));
    let said = state.said();
    lines.push(whole(said.as_deref().unwrap_or(KEYS), said.as_ref().map_or(Style::Plain, |_| Style::Bold)));
    lines.truncate(height);
    lines
}

/// The views with their keys, the present one standing out.
fn title(state: &State, width: usize) -> Line {
    let mut line = Vec::new();
    let mut left = width;
    let mut push = |text: String, style| {
        let text = fit(&text, cells(&text).min(left));
        left -= cells(&text);
        line.push(Span { text, style });
    };
    for (key, view) in (1..).zip(View::ALL) {
        let is_present = view == state.view();
        let name =
            if is_present { format!("[{key} {}]", view.name()) } else { format!(" {key} {} ", view.name()) };
        push(name, if is_present { Style::Bold } else { Style::Plain });
    }
    if state.is_paused() {
        push("  PAUSED".to_owned(), Style::Alarm);
    }
    if let Some(seconds) = state.late() {
        push(format!("  AS OF {seconds} s AGO"), Style::Alarm);
    }
    push(" ".repeat(width), Style::Plain);
    line
}

/// Head and rows, of at most so many lines besides the head; the selected row is among them.
fn table(
    grid: &Grid,
    sorted_by: Option<usize>,
    selected: Option<usize>,
    width: usize,
    most: usize,
) -> Vec<Line> {
    if grid.columns.is_empty() {
        return Vec::new();
    }
    let heads: Vec<String> =
        (0..).zip(grid.columns).map(|(at, column)| head(column, sorted_by == Some(at))).collect();
    let widths = widths(grid, &heads, width);
    let line = |texts: &dyn Fn(usize) -> String| {
        let cells = widths.iter().map(|(column, width)| fit(&texts(*column), *width));
        fit(&cells.collect::<Vec<_>>().join(&" ".repeat(GAP)), width)
    };
    let mut lines = vec![vec![Span { text: line(&|column| heads[column].clone()), style: Style::Bold }]];
    // As few as possible are passed over for the selected one to be seen.
    let first = selected.map_or(0, |selected| (selected + 1).saturating_sub(most));
    for (at, row) in grid.rows.iter().enumerate().skip(first).take(most) {
        let style = match (selected == Some(at), row.is_alarming) {
            (true, _) => Style::Reverse,
            (false, true) => Style::Alarm,
            (false, false) => Style::Plain,
        };
        lines.push(vec![Span { text: line(&|column| row.cells[column].text.clone()), style }]);
    }
    lines
}

fn head(column: &Column, is_sorted_by: bool) -> String {
    let mark = if is_sorted_by { "*" } else { "" };
    format!("{}{mark}", column.name)
}

/// The columns that say something and that there is room for, in their order, each with its cells. The last one gets
/// what is left.
fn widths(grid: &Grid, heads: &[String], width: usize) -> Vec<(usize, usize)> {
    let last = grid.columns.len() - 1;
    let wanted = |at: usize| {
        let rows = grid.rows.iter().map(|row| cells(&row.cells[at].text));
        let widest = rows.max().unwrap_or_default();
        widest.min(grid.columns[at].most).max(cells(&heads[at]))
    };
    let says_something =
        |at: &usize| grid.rows.is_empty() || grid.rows.iter().any(|row| !row.cells[*at].text.is_empty());
    let mut by_rank: Vec<usize> = (0..last).filter(says_something).collect();
    by_rank.sort_by_key(|at| std::cmp::Reverse(grid.columns[*at].rank));
    let (mut chosen, mut left) = (Vec::new(), width);
    for at in by_rank {
        let needed = wanted(at) + GAP;
        // The first one is there in any case.
        if chosen.is_empty() || needed + LEAST_LAST <= left {
            chosen.push((at, wanted(at)));
            left = left.saturating_sub(needed);
        }
    }
    if left >= LEAST_LAST {
        chosen.push((last, left));
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::super::seen::Seen;
    use super::super::seen::tests::{person, running, seen, with_pools};
    use super::*;
    use crate::seen::live::tests::pool;

    const SIZES: [(usize, usize); 6] = [(80, 24), (40, 10), (200, 60), (1, 1), (0, 0), (12, 3)];

    fn of(seen: Seen) -> State {
        let mut state = State::new();
        state.see(seen);
        state
    }

    fn text(line: &Line) -> String {
        line.iter().map(|span| span.text.as_str()).collect()
    }

    fn shown(state: &State, (width, height): (usize, usize)) -> Vec<String> {
        let lines = frame(state, width, height);
        assert_eq!(lines.len(), height);
        let texts: Vec<_> = lines.iter().map(text).collect();
        for line in &texts {
            assert_eq!(cells(line), width, "{line:?}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        texts
    }

    /// Names of somebody who means ill.
    fn hostile() -> Seen {
        let name = format!("\x1b[2J\r\n\t\u{202e}漢字{}\u{301}\u{200b}é", "長".repeat(300));
        let holding = pool(1, &[5], |told| {
            let mut holder = person(&name, Some(5));
            (holder.location, holder.tag) = (name.clone(), Some(name.clone()));
            holder.seconds = f64::MAX;
            told.holders.automation = vec![holder.clone(); 200];
            told.queues.automation = vec![holder; 200];
        });
        let mut session = running(5, u64::MAX);
        (session.query, session.host) = (name.clone(), name.clone());
        let mut seen = with_pools(vec![holding], vec![session]);
        seen.message = name.clone();
        seen.notes = vec![name; 50];
        seen
    }

    #[test]
    fn whatever_is_shown_fits_every_terminal_and_holds_nothing_that_one_obeys() {
        for seen in [hostile(), seen(Vec::new())] {
            let mut state = of(seen);
            for view in "1234".chars() {
                state.press(KeyEvent::new(KeyCode::Char(view), KeyModifiers::NONE));
                for size in SIZES {
                    shown(&state, size);
                }
            }
        }
        for size in SIZES {
            shown(&State::new(), size);
        }
    }

    #[test]
    fn a_wide_letter_is_never_cut_in_half() {
        assert_eq!(fit("漢字", 3), "漢 ");
        assert_eq!(fit("a\x1b\u{301}b", 4), "a??b");
        assert_eq!(fit("abc", 2), "ab");
        assert_eq!(fit("", 2), "  ");
    }

    #[test]
    fn the_usual_terminal_shows_who_has_what_and_a_narrow_one_what_matters_most() {
        let holding = pool(4711, &[41], |told| {
            told.holders.automation = vec![person("worker 1", Some(41))];
        });
        let state = of(with_pools(vec![holding], vec![running(41, 2)]));
        let usual = shown(&state, (80, 24));
        let (head, row) = (&usual[3], &usual[4]);
        for name in ["tier", "thread", "line", "held*", "pid", "state"] {
            assert!(head.contains(name), "{name}: {head}");
        }
        for cell in ["worker 1", "scraper.rs:7", "1.5 s", "41", "active"] {
            assert!(row.contains(cell), "{cell}: {row}");
        }
        assert!(shown(&state, (200, 60))[4].contains("UPDATE page SET seen = now()"));
        let narrow = shown(&state, (40, 10));
        assert!(narrow[4].contains("1.5 s") && narrow[4].contains("active"), "{narrow:?}");
        assert!(narrow[9].starts_with("1-4 Tab view"), "{narrow:?}");
    }

    #[test]
    fn the_selected_row_is_seen_however_few_lines_there_are() {
        let mut state = of(seen((1..=50).map(|pid| running(pid, 100 - pid as u64)).collect()));
        for _ in 0..30 {
            state.press(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE));
        }
        for size in [(80, 24), (40, 10), (80, 6)] {
            let lines = frame(&state, size.0, size.1);
            let selected: Vec<_> =
                lines.iter().flatten().filter(|span| span.style == Style::Reverse).collect();
            assert!(selected.len() == 1 && selected[0].text.contains(" 69.0 s "), "{size:?}: {selected:?}");
        }
    }

    #[test]
    fn a_server_that_does_not_answer_stands_out() {
        let mut seen = seen(Vec::new());
        (seen.answers, seen.message) = (false, "no answer within 5 s".to_owned());
        let lines = frame(&of(seen), 80, 24);
        assert_eq!(lines[1][0].style, Style::Alarm);
        assert!(text(&lines[1]).starts_with("UNREACHABLE: no answer within 5 s"));
    }
}
