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

/// Which row is selected, and where it stood.
#[derive(Debug, Default)]
enum Selected {
    /// None has been there yet: the first one will be.
    #[default]
    Unseen,
    Row(String, usize),
    /// It has gone, and nobody has selected another: a key would do something to a stranger.
    Gone(usize),
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
    /// Of each view.
    selected: [Selected; 4],
    /// Who is to be terminated, if a `y` comes.
    asked: Option<Session>,
    said: Option<String>,
    /// How many seconds ago the last look ended, where that is late.
    late: Option<u64>,
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
            late: None,
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

    /// Which row of the grid is selected: the same as before, wherever it stands by now. Where it has gone none is,
    /// until a key selects one.
    pub fn selected(&self, grid: &Grid) -> Option<usize> {
        let Selected::Row(id, _) = &self.selected[self.view as usize] else { return None };
        grid.rows.iter().position(|row| row.id == *id)
    }

    /// How many seconds ago the last look ended, where that is late.
    pub fn late(&self) -> Option<u64> {
        self.late
    }

    /// Notes how late the next look is; whether that changes what is shown.
    pub fn be_late(&mut self, late: Option<u64>) -> bool {
        std::mem::replace(&mut self.late, late) != late
    }

    /// Takes a look in. While the screen rests it is kept for later.
    pub fn see(&mut self, seen: Seen) {
        match &mut self.resting {
            Some(later) => *later = Some(seen),
            None => self.shown = Some(seen),
        }
        self.find();
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
            KeyCode::Char(digit @ '1'..='4') => self.turn_to(digit as usize - '1' as usize),
            KeyCode::Tab => self.turn_to(self.view as usize + 1),
            KeyCode::BackTab => self.turn_to(self.view as usize + 3),
            KeyCode::Char('j') | KeyCode::Down => self.step(|at| at + 1),
            KeyCode::Char('k') | KeyCode::Up => self.step(|at| at.saturating_sub(1)),
            KeyCode::Home => self.select(0),
            KeyCode::End => self.select(usize::MAX),
            KeyCode::Char('s') => {
                self.sorts[self.view as usize] += 1;
                self.find();
            }
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
        self.find();
    }

    fn turn_to(&mut self, view: usize) {
        self.view = View::ALL[view % View::ALL.len()];
        self.find();
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
        let row = self.row();
        if row.is_none() {
            self.say("nothing is selected: select a holder by j or k");
        } else if row.as_ref().is_some_and(|row| row.session.is_none()) {
            self.say("select a holder whose session the server shows");
        }
        row?.session
    }

    fn row(&self) -> Option<Row> {
        let (mut grid, _) = self.grid();
        self.selected(&grid).map(|at| grid.rows.swap_remove(at))
    }

    /// Notes where the selected row stands, or that it has gone.
    fn find(&mut self) {
        let (grid, _) = self.grid();
        let found = self.selected(&grid);
        let selected = &mut self.selected[self.view as usize];
        match (&mut *selected, found, grid.rows.first()) {
            (Selected::Row(_, at), Some(found), _) => *at = found,
            (Selected::Row(_, at), None, _) => *selected = Selected::Gone(*at),
            (Selected::Unseen, _, Some(first)) => *selected = Selected::Row(first.id.clone(), 0),
            (Selected::Unseen | Selected::Gone(_), ..) => {}
        }
    }

    /// Selects the next row; where the selected one has gone, the one that has come to its place.
    fn step(&mut self, step: impl Fn(usize) -> usize) {
        match self.selected[self.view as usize] {
            Selected::Row(_, at) => self.select(step(at)),
            Selected::Gone(at) => self.select(at),
            Selected::Unseen => {}
        }
    }

    /// Selects the row at that place, or the last one.
    fn select(&mut self, at: usize) {
        let (mut grid, _) = self.grid();
        let Some(last) = grid.rows.len().checked_sub(1) else { return };
        let at = at.min(last);
        self.selected[self.view as usize] = Selected::Row(grid.rows.swap_remove(at).id, at);
    }
}

/// A session as it is spoken of.
pub fn named(session: &Session) -> String {
    format!("session {} of {}/{}", session.pid, session.app, session.tier)
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::super::seen::tests::{idle, person, running, seen, with_pools};
    use super::*;
    use crate::seen::live::tests::pool;

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
        assert!(state.said().unwrap().contains("nothing is selected"));
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
        press(&mut state, 'j');
        assert_eq!(selected(&state), "1", "the one that has come to its place");
        for _ in 0..9 {
            press(&mut state, 'j');
        }
        assert_eq!(selected(&state), "3");
    }

    #[test]
    fn what_comes_to_the_place_of_a_row_that_has_gone_is_not_cancelled_until_somebody_selects_it() {
        let mut state = State::new();
        let both = || seen(vec![running(1, 30), running(2, 20)]);
        state.see(both());
        press(&mut state, 'j');
        state.see(seen(vec![running(1, 30)]));
        for key in ['c', 'K'] {
            assert!(press(&mut state, key).is_none());
            assert_eq!(state.said().unwrap(), "nothing is selected: select a holder by j or k");
        }
        state.see(both());
        assert!(press(&mut state, 'c').is_none(), "who has a known number again may be another");
        press(&mut state, 'k');
        assert!(matches!(press(&mut state, 'c'), Some(Order::Do(Deed::Cancel, meant)) if meant.pid == 2));
        // The same where the screen has rested meanwhile.
        press(&mut state, ' ');
        state.see(seen(vec![running(1, 30)]));
        press(&mut state, ' ');
        assert!(press(&mut state, 'c').is_none());
    }

    #[test]
    fn rows_that_look_alike_are_selected_one_after_the_other() {
        let crowded = pool(900, &[], |told| told.queues.automation = vec![person("worker", None); 3]);
        let mut state = State::new();
        state.see(with_pools(vec![crowded], Vec::new()));
        for (keys, place) in [("2", 0), ("j", 1), ("j", 2)] {
            keys.chars().for_each(|key| assert!(press(&mut state, key).is_none()));
            assert_eq!(state.selected(&state.grid().0), Some(place));
        }
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
        press(&mut state, 'j');
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
