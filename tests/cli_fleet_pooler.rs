//! The `pgbouncer.ini` that `tierpool fleet plan` prints, in a real PgBouncer: it holds the budget over all clients.
#![cfg(unix)]

mod support;

use std::sync::mpsc;
use std::thread;

use postgres::{Client, Config, NoTls};

use support::bouncer::Bouncer;
use support::cluster::{Cluster, cluster};
use support::tool::{ran, tool};
use support::wait::{LONG_BOUND, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

const PASSWORD: &str = "hush-of-both";

/// 12 less 2 for people.
const MOST: usize = 10;

/// As many as would take the whole server.
const CLIENTS: usize = 3 * MOST;

/// What `plan` prints for a budget that programs on so many databases share.
fn ini(cluster: &Cluster, databases: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["fleet", "plan", "--json", "--budget", "12", "--reserve", "2", "--processes", "100"];
    let roles = ["--automation-role", "batch", "--adhoc-role", "person.2", "--databases", databases];
    let mut command = tool(PROGRAM, folder.path(), &[&arguments[..], &roles].concat());
    let told = ran(command.env("DATABASE_URL", cluster.url()));
    assert_eq!(told.code, Some(1), "{told:?}");
    told.json()["pgbouncer_ini"].as_str().expect("a file").to_owned()
}

fn client(bouncer: &Bouncer, user: &str, database: &str) -> Result<Client, postgres::Error> {
    let mut config: Config = bouncer.config();
    config.user(user).password(PASSWORD).dbname(database).connect(NoTls)
}

/// Sessions on the server of automation, over all databases.
fn sessions(admin: &mut Client) -> usize {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'batch'";
    admin.query_one(count, &[]).unwrap().get::<_, i64>(0) as usize
}

/// Has each of many clients begin a transaction and keep it, until the end of the program's part.
fn crowd<'a>(
    scope: &'a thread::Scope<'a, '_>,
    bouncer: &'a Bouncer,
    databases: &'a [&str],
) -> Vec<mpsc::Sender<()>> {
    let begin = |at: usize| {
        let (end, ended) = mpsc::channel();
        scope.spawn(move || {
            let mut client = client(bouncer, "batch", databases[at % databases.len()]).unwrap();
            // Those beyond are told so after a while, or wait to the end.
            if client.batch_execute("BEGIN; SELECT 1").is_ok() {
                let _ = ended.recv();
            }
        });
        end
    };
    (0..CLIENTS).map(begin).collect()
}

#[test]
fn with_the_printed_file_clients_never_have_more_than_their_part_and_people_get_in() {
    let cluster = cluster();
    let mut admin = cluster.admin();
    for role in ["batch", "\"person.2\""] {
        admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")).unwrap();
    }
    for (count, databases) in [("1", &["app"][..]), ("2", &["app", "postgres"])] {
        let users = [("batch", PASSWORD), ("person.2", PASSWORD)];
        let bouncer = Bouncer::over(&cluster, "transaction").ini(ini(&cluster, count), &users).start();
        let mut most = 0;
        thread::scope(|scope| {
            let ends = crowd(scope, &bouncer, databases);
            eventually(LONG_BOUND, "automation has its part", || {
                most = sessions(&mut admin).max(most);
                most >= MOST
            });
            eventually(LONG_BOUND, "the others wait", || bouncer.waiting() > 0);
            let people = [0, 1].map(|_| client(&bouncer, "person.2", "app").unwrap());
            for mut person in people {
                person.batch_execute("BEGIN; SELECT 1").unwrap();
            }
            most = sessions(&mut admin).max(most);
            drop(ends);
        });
        assert_eq!(most, MOST, "{count} databases");
        drop(bouncer);
        eventually(LONG_BOUND, "its sessions are gone", || sessions(&mut admin) == 0);
    }
}
