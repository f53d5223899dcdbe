//! What the screen is at, and what keys do to it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::grid::{Grid, Row};
use super::seen::Seen;
use super::views::View;
use crate::seen::server::Session;

/// What is done to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Cancel,
    Terminate,
}

/// What a key asks for, beyond what changes on the screen.
#[derive(Debug)]
pub enum Order {
    Quit,
    /// To quit by Ctrl-C.
    Interrupt,
    /// To do something to a session.
    Do(Deed, Box<Session>),
}

/// What the screen is at.
#[derive(Debug)]
pub struct State {
    view: View,
    shown: Option<Seen>,
    /// What has come since, while the screen rests.
    resting: Option<Option<Seen>>,
    /// Of each view.
    sorts: [usize; 4],
    /// Of each view the row that is selected, and where it stood.
    selected: [(Option<String>, usize); 4],
    /// Who is to be terminated, if a `y` comes.
    asked: Option<Session>,
    said: Option<String>,
}

impl State {
    /// Nothing is seen yet.
    pub fn new() -> Self {
        State {
            view: View::Holders,
            shown: None,
            resting: None,
            sorts: [0; 4],
            selected: Default::default(),
            asked: None,
            said: None,
        }
    }

    /// The view that is shown.
    pub fn view(&self) -> View {
        self.view
    }

    /// What was seen; `None` before the first look has ended.
    pub fn seen(&self) -> Option<&Seen> {
        self.shown.as_ref()
    }

    /// Whether the screen rests.
    pub fn is_paused(&self) -> bool {
        self.resting.is_some()
    }

    /// The last line, where there is something to say or to ask.
    pub fn said(&self) -> Option<String> {
        let ask = |session: &Session| format!("terminate {}? y: yes, any other key: no", named(session));
        self.asked.as_ref().map(ask).or_else(|| self.said.clone())
    }

    /// What is in the view, sorted, and the column by which it is.
    pub fn grid(&self) -> (Grid, Option<usize>) {
        let mut grid = self.shown.as_ref().map(|seen| self.view.grid(seen)).unwrap_or_default();
        let choice = self.sorts[self.view as usize];
        grid.sort(choice);
        let sorted_by = grid.sorted_by(choice);
        (grid, sorted_by)
    }

    /// Which row of the grid is selected: the same as before, wherever it stands by now; where it has gone, the one
    /// that has its place.
    pub fn selected(&self, grid: &Grid) -> Option<usize> {
        let last = grid.rows.len().checked_sub(1)?;
        let (id, at) = &self.selected[self.view as usize];
        let found = id.as_ref().and_then(|id| grid.rows.iter().position(|row| row.id == *id));
        Some(found.unwrap_or((*at).min(last)))
    }

    /// Takes a look in. While the screen rests it is kept for later.
    pub fn see(&mut self, seen: Seen) {
        match &mut self.resting {
            Some(later) => *later = Some(seen),
            None => self.shown = Some(seen),
        }
        self.remember(|at, _| at);
    }

    /// Has something said, until the next key.
    pub fn say(&mut self, what: impl Into<String>) {
        self.said = Some(what.into());
    }

    /// Does what a key is for.
    pub fn press(&mut self, key: KeyEvent) -> Option<Order> {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Order::Interrupt);
        }
        self.said = None;
        if let Some(session) = self.asked.take() {
            let is_meant = key.code == KeyCode::Char('y');
            return is_meant.then(|| Order::Do(Deed::Terminate, Box::new(session)));
        }
        match key.code {
            KeyCode::Char('q') => return Some(Order::Quit),
            KeyCode::Char(digit @ '1'..='4') => self.view = View::ALL[digit as usize - '1' as usize],
            KeyCode::Tab => self.view = View::ALL[(self.view as usize + 1) % 4],
            KeyCode::BackTab => self.view = View::ALL[(self.view as usize + 3) % 4],
            KeyCode::Char('j') | KeyCode::Down => self.remember(|at, last| (at + 1).min(last)),
            KeyCode::Char('k') | KeyCode::Up => self.remember(|at, _| at.saturating_sub(1)),
            KeyCode::Home => self.remember(|_, _| 0),
            KeyCode::End => self.remember(|_, last| last),
            KeyCode::Char('s') => self.sorts[self.view as usize] += 1,
            KeyCode::Char(' ') => self.pause(),
            KeyCode::Char('c') => return self.cancel(),
            KeyCode::Char('K') => self.asked = self.meant(),
            _ => {}
        }
        None
    }

    fn pause(&mut self) {
        match self.resting.take() {
            None => self.resting = Some(None),
            Some(Some(later)) => self.shown = Some(later),
            Some(None) => {}
        }
    }

    fn cancel(&mut self) -> Option<Order> {
        let session = self.meant()?;
        if !session.is_running() {
            self.say(format!("nothing runs in {}", named(&session)));
            return None;
        }
        Some(Order::Do(Deed::Cancel, Box::new(session)))
    }

    /// The session of the row that is selected; where there is none, that is said.
    fn meant(&mut self) -> Option<Session> {
        let session = self.row().and_then(|row| row.session);
        if session.is_none() {
            self.say("select a holder whose session the server shows");
        }
        session
    }

    fn row(&self) -> Option<Row> {
        let (mut grid, _) = self.grid();
        self.selected(&grid).map(|at| grid.rows.swap_remove(at))
    }

    /// Notes which row is selected after a step from the present one.
    fn remember(&mut self, step: impl Fn(usize, usize) -> usize) {
        let (grid, _) = self.grid();
        if let Some(at) = self.selected(&grid) {
            let at = step(at, grid.rows.len() - 1);
            self.selected[self.view as usize] = (Some(grid.rows[at].id.clone()), at);
        }
    }
}

/// A session as it is spoken of.
pub fn named(session: &Session) -> String {
    format!("session {} of {}/{}", session.pid, session.app, session.tier)
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::super::seen::tests::{idle, running, seen};
    use super::*;

    fn press(state: &mut State, key: char) -> Option<Order> {
        state.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE))
    }

    fn selected(state: &State) -> String {
        let (grid, _) = state.grid();
        grid.rows[state.selected(&grid).unwrap()].cells[8].text.clone()
    }

    #[test]
    fn keys_before_the_first_look_and_without_rows_do_no_harm() {
        let mut state = State::new();
        for key in "1234jksc K y\u{1b}".chars() {
            assert!(press(&mut state, key).is_none(), "{key}");
        }
        state.see(seen(Vec::new()));
        assert!(press(&mut state, 'c').is_none());
        assert!(state.said().unwrap().contains("select a holder"));
        assert!(matches!(press(&mut state, 'q'), Some(Order::Quit)));
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(matches!(state.press(interrupt), Some(Order::Interrupt)));
    }

    #[test]
    fn what_is_selected_stays_so_wherever_it_stands_and_its_place_counts_when_it_has_gone() {
        let mut state = State::new();
        state.see(seen(vec![running(1, 30), running(2, 20), running(3, 10)]));
        press(&mut state, 'j');
        assert_eq!(selected(&state), "2");
        state.see(seen(vec![running(1, 30), running(2, 90), running(3, 10)]));
        assert_eq!(selected(&state), "2");
        state.see(seen(vec![running(1, 30), running(3, 10)]));
        assert_eq!(selected(&state), "1", "the one that has come to its place");
        for _ in 0..9 {
            press(&mut state, 'j');
        }
        assert_eq!(selected(&state), "3");
    }

    #[test]
    fn a_statement_is_cancelled_and_a_session_terminated_after_a_y_and_no_other_key() {
        let mut state = State::new();
        state.see(seen(vec![running(7, 30), idle(8, 20)]));
        let Some(Order::Do(Deed::Cancel, meant)) = press(&mut state, 'c') else { panic!("{state:?}") };
        assert_eq!(meant.pid, 7);
        press(&mut state, 'j');
        assert!(press(&mut state, 'c').is_none());
        assert_eq!(state.said().unwrap(), "nothing runs in session 8 of scraper/automation");
        for no in ['n', 'Y', 'q', 'K'] {
            press(&mut state, 'K');
            assert!(state.said().unwrap().starts_with("terminate session 8 of scraper/automation?"));
            assert!(press(&mut state, no).is_none() && state.said().is_none(), "{no}");
        }
        press(&mut state, 'K');
        // Whoever is selected by then: who was asked for is meant.
        state.see(seen(vec![running(7, 30)]));
        let Some(Order::Do(Deed::Terminate, meant)) = press(&mut state, 'y') else { panic!("{state:?}") };
        assert_eq!(meant.pid, 8);
    }

    #[test]
    fn while_it_rests_the_screen_stays_and_the_newest_look_is_there_afterwards() {
        let mut state = State::new();
        state.see(seen(vec![running(1, 30)]));
        press(&mut state, ' ');
        state.see(seen(vec![running(2, 30)]));
        state.see(seen(vec![running(3, 30)]));
        assert!(state.is_paused());
        assert_eq!(selected(&state), "1");
        press(&mut state, ' ');
        assert_eq!((selected(&state).as_str(), state.is_paused()), ("3", false));
    }

    #[test]
    fn each_view_has_its_own_order() {
        let mut state = State::new();
        state.see(seen(vec![running(1, 30)]));
        press(&mut state, 's');
        assert_eq!(state.grid().1, Some(0));
        press(&mut state, '2');
        assert_eq!((state.view(), state.grid().1), (View::Waiters, Some(5)));
        state.press(KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT));
        assert_eq!((state.view(), state.grid().1), (View::Holders, Some(0)));
    }
}
