//! The four views of what was seen.

use std::collections::BTreeMap;

use super::grid::{Cell, Column, Grid, Row, column};
use super::people::{holders, waiters};
use super::seen::{Client, Seen};
use crate::seen::join::{Group, groups};
use crate::seen::live::{ByTier, Fleet, LivePool};
use crate::table::time;

/// Which one is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Holders,
    Waiters,
    Server,
    Fleet,
}

impl View {
    /// All, in the order of their keys.
    pub const ALL: [View; 4] = [View::Holders, View::Waiters, View::Server, View::Fleet];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            View::Holders => "holders",
            View::Waiters => "waiters",
            View::Server => "server",
            View::Fleet => "fleet",
        }
    }

    /// What it shows, not yet sorted.
    pub fn grid(self, seen: &Seen) -> Grid {
        let mut grid = match self {
            View::Holders => holders(seen),
            View::Waiters => waiters(seen),
            View::Server => server(seen),
            View::Fleet => fleet(seen),
        };
        grid.tell_apart();
        grid
    }
}

const SERVER: [Column; 10] = [
    column("role", 20, 8),
    column("open", 5, 10),
    column("active", 6, 7),
    column("idle", 5, 6),
    column("in tx", 5, 5),
    column("failed", 6, 2),
    column("hidden", 6, 1),
    column("locks", 5, 4),
    column("longest", 9, 3),
    column("application", 63, 0),
];

fn server(seen: &Seen) -> Grid {
    let grid = |summary, rows| Grid { columns: &SERVER, sorts: &[1, 2, 4, 7, 8, 0], rows, summary };
    match &seen.server {
        Some(Ok(clients)) => grid(clients.limits.clone(), clients.groups.iter().map(client).collect()),
        Some(Err(error)) => grid(vec![format!("what is open is not known: {error}")], Vec::new()),
        None => grid(vec!["what is open is not known".to_owned()], Vec::new()),
    }
}

fn client(client: &Client) -> Row {
    let mut cells = vec![Cell::text(&client.user), Cell::count(client.open)];
    cells.extend(client.states.map(Cell::count));
    let longest = client.longest.map_or(0.0, |time| time.as_secs_f64());
    cells.push(Cell::number(time(client.longest), longest));
    cells.push(Cell::text(&client.name));
    let id = format!("{}/{}", client.user, client.name);
    Row { id, cells, session: None, is_alarming: client.states[5] > 0 }
}

const FLEET: [Column; 6] = [
    column("host", 20, 4),
    column("automation", 10, 5),
    column("busy", 5, 3),
    column("ad-hoc", 6, 2),
    column("busy", 5, 1),
    column("application", 63, 0),
];

/// A line for each fleet that a process here is in; what it says itself may be a second older than what another says.
fn fleets(pools: &[LivePool]) -> Vec<String> {
    let told: BTreeMap<_, _> =
        pools.iter().filter_map(|pool| pool.told.fleet.as_ref()).map(|fleet| (&fleet.name, fleet)).collect();
    if told.is_empty() {
        return vec!["no fleet: each process seen here has a budget of its own".to_owned()];
    }
    let line = |fleet: &Fleet| {
        let Fleet { name, slots, slots_held, members, wanting, asking } = fleet;
        format!(
            "fleet {name}: {slots_held} of {slots} slots taken by {members} programs, {wanting} want more, {asking} \
             ask for a first one"
        )
    };
    told.into_values().map(line).collect()
}

fn fleet(seen: &Seen) -> Grid {
    let count = |number: usize| Cell::count(u32::try_from(number).unwrap_or(u32::MAX));
    let row = |group: &Group| {
        let ByTier { automation, adhoc } = &group.sessions;
        let cells = vec![
            Cell::text(&group.host),
            count(automation.open),
            count(automation.busy),
            count(adhoc.open),
            count(adhoc.busy),
            Cell::text(&group.app),
        ];
        Row { id: format!("{}/{}", group.host, group.app), cells, session: None, is_alarming: false }
    };
    let rows = groups(seen.joined.sessions.values()).iter().map(row).collect();
    let mut summary = fleets(&seen.joined.pools);
    summary.push("what each host has open:".to_owned());
    Grid { columns: &FLEET, sorts: &[1, 2, 0, 5], rows, summary }
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::{idle, running, with_pools};
    use super::*;
    use crate::seen::live::tests::pool;

    #[test]
    fn a_fleet_is_told_once_however_many_processes_are_in_it_and_that_there_is_none_is_told_too() {
        let member = |process| {
            pool(process, &[], |told| {
                let (slots, slots_held, members, wanting, asking) = (50, 12, 3, 1, 0);
                let name = "scrapers".to_owned();
                told.fleet = Some(Fleet { name, slots, slots_held, members, wanting, asking });
            })
        };
        let seen = with_pools(vec![member(1), member(2)], vec![running(7, 1), idle(8, 1)]);
        let grid = View::Fleet.grid(&seen);
        let told = "fleet scrapers: 12 of 50 slots taken by 3 programs, 1 want more, 0 ask for a first one"
            .to_owned();
        assert_eq!(grid.summary, [told, "what each host has open:".to_owned()]);
        let cells: Vec<_> = grid.rows[0].cells.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(cells, ["10.0.0.7", "2", "2", "0", "0", "scraper"]);
        let none = View::Fleet.grid(&with_pools(Vec::new(), Vec::new()));
        assert!(none.summary[0].starts_with("no fleet"), "{:?}", none.summary);
    }
}
