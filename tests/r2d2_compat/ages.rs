//! Ages, as r2d2 holds to them: here alone, since nobody can set how often r2d2 looks, which is every 30 s.

use super::contract::Server;
use super::library::Pool;
use crate::support::wait::{BOUND, SECOND, eventually};

#[test]
fn idle_ones_are_closed_after_their_time_and_one_in_use_is_not() {
    let server = Server::with_room_for(5);
    let builder = Pool::builder().max_size(5).idle_timeout(Some(SECOND)).reaper_rate(SECOND);
    let pool = builder.build(server.clone()).unwrap();
    let conn = pool.get().unwrap();
    eventually(BOUND, "the four idle ones are closed", || server.gone() == 4);
    drop(conn);
    assert_eq!((server.gone(), pool.state().connections), (4, 1));
}

#[test]
fn no_connection_outlives_its_lifetime_and_one_in_use_is_closed_after_it_is_returned() {
    let server = Server::with_room_for(5);
    let builder = Pool::builder().max_size(5).max_lifetime(Some(SECOND)).reaper_rate(SECOND);
    let pool = builder.connection_timeout(SECOND).build(server.clone()).unwrap();
    let conn = pool.get().unwrap();
    eventually(BOUND, "the four idle ones are closed", || server.gone() == 4);
    drop(conn);
    eventually(BOUND, "the fifth is closed", || server.gone() == 5);
    assert!(pool.get().is_err(), "there is no room for another");
}
