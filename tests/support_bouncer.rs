//! The throw-away PgBouncer that other tests stand on does what they ask of it.
#![cfg(feature = "postgres")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::NoTls;
use support::bouncer::Bouncer;
use support::cluster::cluster;
use support::wait::{LONG_BOUND, eventually};

#[test]
fn it_serves_in_the_mode_asked_for_until_it_is_dropped_by_a_panic_too() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").setting("default_pool_size", "7").start();
    let (config, folder) = (bouncer.config(), bouncer.folder().to_owned());
    let row = bouncer.client().query_typed("SELECT current_user::text", &[]).unwrap();
    assert_eq!(row[0].get::<_, String>(0), "app");
    assert_eq!(bouncer.console("SHOW DATABASES", "port"), cluster.port().to_string());
    assert_eq!(bouncer.console("SHOW DATABASES", "pool_size"), "7");
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let _bouncer = bouncer;
        // Without the panic hook, whose backtrace is of no use.
        resume_unwind(Box::new("as the test wants"));
    }));
    assert!(ended.is_err() && config.connect(NoTls).is_err() && !folder.exists());
}

#[test]
fn it_comes_back_on_its_port_and_freezes() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "session").start();
    for end in [Bouncer::stop, Bouncer::kill] {
        let mut before = bouncer.client();
        end(&bouncer);
        assert!(before.simple_query("SELECT 1").is_err() && bouncer.config().connect(NoTls).is_err());
        bouncer.start();
        bouncer.client().simple_query("SELECT 1").unwrap();
    }
    let mut client = bouncer.client();
    bouncer.freeze();
    let (told, answer) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || told.send(client.simple_query("SELECT 1").is_ok()));
        assert!(answer.recv_timeout(Duration::from_millis(200)).is_err(), "no answer while it is frozen");
        bouncer.thaw();
        eventually(LONG_BOUND, "an answer", || answer.try_recv() == Ok(true));
    });
}

#[test]
fn a_missing_program_is_named_with_what_to_install() {
    let cluster = cluster();
    let error = Bouncer::over(&cluster, "session").program("/nowhere/pgbouncer").try_start().err().unwrap();
    let text = error.to_string();
    assert!(text.contains("/nowhere/pgbouncer") && text.contains("apt-get install -y pgbouncer"), "{text}");
}
