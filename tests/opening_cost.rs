//! What opening a connection costs in round trips, beside the driver's own.
#![cfg(feature = "postgres")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use postgres::{Config, NoTls};
use support::bouncer::Bouncer;
use support::cluster::cluster;
use support::wire::{manager, one, open};
use tierpool::config::{PgBouncer, TargetSessionAttrs};
use tierpool::postgres::{PgManager, PgOptions};

/// Passes bytes on, and counts how often the client speaks after the server has.
struct Counter {
    port: u16,
    trips: Arc<AtomicU64>,
}

impl Counter {
    /// Its threads end with the connections, and the listener's with the process.
    fn to(target: impl Into<String>) -> Counter {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (trips, target) = (Arc::new(AtomicU64::new(0)), target.into());
        let count = Arc::clone(&trips);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&target).unwrap();
                // Whether the client has spoken last.
                let client_last = Arc::new(Mutex::new(false));
                let pairs = [(client.try_clone(), server.try_clone(), true), (Ok(server), Ok(client), false)];
                for (from, to, of_client) in pairs {
                    let (mut from, mut to) = (from.unwrap(), to.unwrap());
                    let (count, client_last) = (Arc::clone(&count), Arc::clone(&client_last));
                    thread::spawn(move || {
                        let mut bytes = [0; 8192];
                        while let Ok(length @ 1..) = from.read(&mut bytes) {
                            let mut client_last = client_last.lock().unwrap();
                            // A farewell has no answer.
                            if of_client && !*client_last && bytes[..length] != *b"X\0\0\0\x04" {
                                count.fetch_add(1, SeqCst);
                            }
                            *client_last = of_client;
                            drop(client_last);
                            if to.write_all(&bytes[..length]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Counter { port, trips }
    }

    fn taken(&self) -> u64 {
        self.trips.swap(0, SeqCst)
    }

    /// A URL through it, with these parameters.
    fn url(&self, parameters: &str) -> String {
        let password = support::cluster::APP_PASSWORD;
        format!("postgresql://app:{password}@127.0.0.1:{}/app?{parameters}", self.port)
    }

    /// The driver's own round trips.
    fn bare(&self, parameters: &str) -> u64 {
        let client = self.url(parameters).parse::<Config>().unwrap().connect(NoTls).unwrap();
        let trips = self.taken();
        drop(client);
        trips
    }

    fn manager(&self, parameters: &str, change: impl FnOnce(&mut PgOptions)) -> PgManager {
        manager(&self.url(parameters), change)
    }

    fn ours(&self, manager: &PgManager) -> u64 {
        let conn = open(manager);
        let trips = self.taken();
        drop(conn);
        trips
    }
}

const PARAMETERS: [&str; 2] = ["", "options=-c%20search_path%3Dpublic&application_name=cost"];

fn with_timeout(options: &mut PgOptions) {
    options.statement_timeout = Some(Duration::from_secs(9));
    options.application_name = Some("cost".to_owned());
}

#[test]
fn straight_to_the_server_the_first_one_asks_who_serves_and_the_others_ask_nothing() {
    let cluster = cluster();
    let counter = Counter::to(format!("127.0.0.1:{}", cluster.port()));
    for parameters in PARAMETERS {
        let bare = counter.bare(parameters);
        for change in [|_: &mut PgOptions| (), with_timeout] {
            let manager = counter.manager(&format!("sslmode=disable&{parameters}"), change);
            let costs = [(); 3].map(|()| counter.ours(&manager) - bare);
            assert_eq!(costs, [1, 0, 0], "{parameters}");
        }
    }
}

#[test]
fn a_kind_of_server_is_asked_for_along_with_the_rest() {
    let cluster = cluster();
    let counter = Counter::to(format!("127.0.0.1:{}", cluster.port()));
    let bare = counter.bare("");
    for wanted in [TargetSessionAttrs::ReadWrite, TargetSessionAttrs::Primary] {
        let manager = counter.manager("sslmode=disable", |options| {
            with_timeout(options);
            options.target_session_attrs = Some(wanted);
        });
        let costs = [(); 3].map(|()| counter.ours(&manager) - bare);
        assert_eq!(costs, [1, 1, 1], "{wanted:?}");
    }
    // As the driver itself.
    assert_eq!(counter.bare("target_session_attrs=read-write") - bare, 1);
}

#[test]
fn where_encryption_may_be_had_asking_for_it_is_one_more() {
    let cluster = cluster();
    let counter = Counter::to(format!("127.0.0.1:{}", cluster.port()));
    let manager = counter.manager("sslmode=prefer", |_| ());
    let costs = [(); 2].map(|()| counter.ours(&manager));
    let bare = counter.bare("");
    let asked = u64::from(cfg!(feature = "tls"));
    assert_eq!(costs, [bare + asked + 1, bare + asked], "the driver without TLS does not ask: {bare}");
}

#[test]
fn behind_a_pooler_the_server_answers_once_whatever_is_set_and_asked() {
    let cluster = cluster();
    for mode in [PgBouncer::Transaction, PgBouncer::Session] {
        let bouncer = Bouncer::over(&cluster, mode.as_str()).start();
        let url = bouncer.url();
        let address = url.split(['@', '/']).nth(3).unwrap();
        let counter = Counter::to(address);
        let bare = counter.bare("");
        for wanted in [TargetSessionAttrs::Any, TargetSessionAttrs::ReadWrite] {
            let said = counter.manager("sslmode=disable", |options| {
                with_timeout(options);
                options.pgbouncer = Some(mode);
                options.target_session_attrs = Some(wanted);
            });
            let costs = [(); 2].map(|()| counter.ours(&said) - bare);
            assert_eq!(costs, [1, 1], "{mode} {wanted:?}");
            if mode == PgBouncer::Session {
                assert_eq!(one::<String>(&mut open(&said), "SHOW statement_timeout"), "9s");
                counter.taken();
            }
            let found = counter.manager("sslmode=disable", |options| {
                options.target_session_attrs = Some(wanted);
            });
            let costs = [(); 2].map(|()| counter.ours(&found) - bare);
            assert_eq!(costs, [1, 1], "{mode} {wanted:?}, found by its answer");
        }
    }
}
