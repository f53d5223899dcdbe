//! Behind a PgBouncer in transaction mode: the `_cached` calls go by the types of their parameters once they are known,
//! in one round trip, and see what becomes of those types.
#![cfg(feature = "postgres")]

mod support;
#[path = "pgbouncer_types/unfit.rs"]
mod unfit;

use std::collections::HashSet;
use std::error::Error;

use postgres::types::private::BytesMut;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use support::bouncer::Bouncer;
use support::cluster::{Cluster, cluster};
use support::wire::{chain, manager, open};
use tierpool::config::PgBouncer;
use tierpool::postgres::{PgConnection, PgManager, Session, SessionOptions, run_session};
use tierpool::{PgError, PgPool, Tier};

/// One in transaction mode that takes another server for each transaction, and has no track of prepared statements.
fn wandering(cluster: &Cluster) -> Bouncer {
    Bouncer::over(cluster, "transaction").forgets_statements().setting("server_round_robin", "1").start()
}

/// Has it open two servers.
fn open_two(bouncer: &Bouncer) {
    let mut clients = [bouncer.client(), bouncer.client()];
    for text in ["BEGIN", "COMMIT"] {
        clients.iter_mut().for_each(|client| client.batch_execute(text).unwrap());
    }
}

fn behind(bouncer: &Bouncer) -> PgManager {
    manager(&bouncer.url(), |options| {
        options.pgbouncer = Some(PgBouncer::Transaction);
        options.statement_cache_size = 0;
    })
}

/// What a call costs.
fn cost<T>(conn: &mut PgConnection, call: impl FnOnce(&mut PgConnection) -> T) -> (T, u64) {
    let before = conn.round_trips().unwrap();
    let outcome = call(conn);
    (outcome, conn.round_trips().unwrap() - before)
}

fn counts(conn: &PgConnection) -> (u64, u64) {
    let stats = conn.statement_cache_stats();
    (stats.hits, stats.misses)
}

fn in_session<T>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, PgError>,
) -> Result<T, PgError> {
    run_session(conn, &SessionOptions::new(), work)
}

#[test]
fn a_text_that_any_connection_has_prepared_costs_one_round_trip() {
    let cluster = cluster();
    cluster.client().batch_execute("CREATE TABLE t (id int PRIMARY KEY, tags text[], note text)").unwrap();
    let bouncer = wandering(&cluster);
    open_two(&bouncer);
    // Said, and found.
    for manager in [behind(&bouncer), manager(&bouncer.url(), |_| ())] {
        cluster.client().batch_execute("TRUNCATE t").unwrap();
        let mut conns = [open(&manager), open(&manager)];
        assert!(conns[0].is_transaction_pooled());
        let insert = "INSERT INTO t VALUES ($1, $2, $3)";
        for (id, wanted) in [(1, 2), (2, 1), (3, 1), (4, 1), (5, 1)] {
            let conn = &mut conns[id as usize % 2];
            let tags = vec!["a", "b"];
            let (rows, trips) =
                cost(conn, |conn| conn.execute_cached(insert, &[&id, &tags, &None::<&str>]).unwrap());
            assert_eq!((rows, trips), (1, wanted), "{id}");
        }
        assert_eq!([counts(&conns[0]), counts(&conns[1])], [(2, 0), (2, 1)]);

        let conn = &mut conns[0];
        let read = "SELECT id, tags, note FROM t WHERE id = ANY($1) ORDER BY id";
        for wanted in [2, 1, 1] {
            let (rows, trips) = cost(conn, |conn| conn.query_cached(read, &[&vec![2, 4]]).unwrap());
            assert_eq!(trips, wanted);
            assert_eq!((rows.len(), rows[1].get::<_, i32>(0)), (2, 4));
            assert_eq!(rows[0].get::<_, Vec<String>>(1), ["a", "b"]);
            assert_eq!(rows[0].get::<_, Option<String>>(2), None);
        }
        for wanted in [2, 1] {
            let (row, trips) = cost(conn, |conn| conn.query_one_cached("SELECT 7", &[]).unwrap());
            assert_eq!((row.get::<_, i32>(0), trips), (7, wanted));
            let none = "SELECT id FROM t WHERE id = $1";
            let (row, trips) = cost(conn, |conn| conn.query_opt_cached(none, &[&99]).unwrap());
            assert_eq!((row.is_none(), trips), (true, wanted));
            let (error, trips) = cost(conn, |conn| conn.query_one_cached(none, &[&99]).unwrap_err());
            assert_eq!(
                (error.to_string().contains("unexpected number of rows"), trips),
                (true, 1),
                "{error}"
            );
        }
        // COMMIT besides.
        let (outcome, trips) = cost(conn, |conn| in_session(conn, |tx| tx.query_cached(read, &[&vec![1]])));
        assert_eq!((outcome.unwrap().len(), trips), (1, 2));
    }
}

#[test]
fn a_text_prepared_on_one_server_runs_on_the_next() {
    let cluster = cluster();
    let bouncer = wandering(&cluster);
    open_two(&bouncer);
    let mut conn = open(&behind(&bouncer));
    let mut servers = HashSet::new();
    // Each text for the first time, outside of a transaction: what was prepared is on the other server.
    for n in 0..8 {
        let row = conn.query_one_cached(&format!("SELECT pg_backend_pid(), $1::int4 + {n}"), &[&1]).unwrap();
        assert_eq!(row.get::<_, i32>(1), n + 1);
        servers.insert(row.get::<_, i32>(0));
    }
    // By an odd number of transactions each time, unless one of the pooler's own comes in between.
    for n in 0..8 {
        conn.batch_execute("SELECT 1").unwrap();
        let row = conn.query_one_cached(&format!("SELECT pg_backend_pid(), {n}"), &[]).unwrap();
        servers.insert(row.get::<_, i32>(0));
    }
    assert_eq!(servers.len(), 2);
}

#[test]
fn what_the_driver_refuses_is_told_as_of_a_prepared_statement() {
    let cluster = cluster();
    let bouncer = wandering(&cluster);
    let mut direct = open(&manager(&cluster.url(), |_| ()));
    let mut behind = open(&behind(&bouncer));
    let sql = "SELECT $1::int4 + $2::int4";
    let wrong: [&[&(dyn ToSql + Sync)]; 4] = [&[&1], &[], &[&1, &2, &3], &[&1, &"two"]];
    for conn in [&mut direct, &mut behind] {
        assert_eq!(conn.query_one_cached(sql, &[&1, &2]).unwrap().get::<_, i32>(0), 3);
    }
    for params in wrong {
        let [there, here] =
            [&mut direct, &mut behind].map(|conn| chain(&conn.query_cached(sql, params).unwrap_err()));
        assert_eq!(here, there);
        assert_eq!(behind.query_one_cached(sql, &[&1, &2]).unwrap().get::<_, i32>(0), 3);
        // It was not sent, so the transaction goes on.
        let sum = in_session(&mut behind, |tx| {
            tx.query_cached(sql, params).unwrap_err();
            Ok(tx.query_one_cached(sql, &[&1, &2])?.get::<_, i32>(0))
        });
        assert_eq!(sum.unwrap(), 3);
    }
}

#[test]
fn a_column_of_another_type_is_met_where_nothing_was_done_yet_and_told_elsewhere() {
    let cluster = cluster();
    let mut owner = cluster.client();
    owner.batch_execute("CREATE TABLE t (v int4); CREATE TABLE log (n int)").unwrap();
    let bouncer = wandering(&cluster);
    let mut conn = open(&behind(&bouncer));
    let sql = "SELECT count(*) FROM t WHERE v = $1";
    let count = |row: postgres::Row| row.get::<_, i64>(0);
    let by = |tx: &mut Session<'_>, value: &(dyn ToSql + Sync)| tx.query_one_cached(sql, &[value]);
    let become_type = |owner: &mut postgres::Client, name: &str| {
        owner.batch_execute(&format!("ALTER TABLE t ALTER v TYPE {name}"))
    };

    assert_eq!(count(conn.query_one_cached(sql, &[&1]).unwrap()), 0);
    become_type(&mut owner, "int8").unwrap();
    // As of a statement that is kept, what was an int4 is one.
    assert_eq!(count(conn.query_one_cached(sql, &[&1]).unwrap()), 0);
    // The driver makes no int4 of this, and what was sent for nothing is nothing.
    assert_eq!(
        count(
            in_session(&mut conn, |tx| {
                tx.execute("INSERT INTO log VALUES (1)", &[])?;
                by(tx, &1_i64)
            })
            .unwrap()
        ),
        0
    );

    // The server has no operator for these two.
    become_type(&mut owner, "text").unwrap();
    let (row, trips) = cost(&mut conn, |conn| conn.query_one_cached(sql, &[&"x"]));
    assert_eq!((count(row.unwrap()), trips), (0, 2), "refused by the driver");
    become_type(&mut owner, "int8 USING 0").unwrap();
    for conn_as in [false, true] {
        // Relearnt by another value, so that the known type is one that the server refuses.
        let error = match conn_as {
            false => conn.query_one_cached(sql, &[&"x"]).map(count).unwrap_err(),
            true => in_session(&mut conn, |tx| by(tx, &"x").map(count)).unwrap_err(),
        };
        assert!(chain(&error).contains("int8"), "{}", chain(&error));
    }

    // Amid a transaction it is the caller's, and the next one works.
    let texts =
        ["SELECT count(*) FROM t WHERE v = $1 /* a */", "SELECT count(*) FROM t WHERE v = $1 /* b */"];
    for text in texts {
        conn.query_cached(text, &[&1_i64]).unwrap();
    }
    become_type(&mut owner, "text").unwrap();
    let error = in_session(&mut conn, |tx| {
        tx.execute_cached("INSERT INTO log VALUES (2)", &[])?;
        tx.query_cached(texts[0], &[&1_i64])
    });
    assert_eq!(error.unwrap_err().sqlstate(), Some("42883"));
    let found = in_session(&mut conn, |tx| {
        tx.execute_cached("INSERT INTO log VALUES (2)", &[])?;
        tx.query_one_cached(texts[0], &[&"x"]).map(count)
    });
    assert_eq!(found.unwrap(), 0);
    // Nor is it tried anew where it is a session's first: the next one prepares.
    let error = in_session(&mut conn, |tx| tx.query_cached(texts[1], &[&1_i64])).unwrap_err();
    assert_eq!(error.sqlstate(), Some("42883"));
    let error = in_session(&mut conn, |tx| tx.query_cached(texts[1], &[&1_i64])).unwrap_err();
    assert!(chain(&error).contains("text"), "the statement was prepared anew: {}", chain(&error));
    let logged: i64 = owner.query_one("SELECT count(*) FROM log", &[]).unwrap().get(0);
    assert_eq!(logged, 2);
}

/// One, or true: whichever the server wants.
#[derive(Debug)]
struct Any;

impl ToSql for Any {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if *of == Type::BOOL { true.to_sql(of, out) } else { 1_i32.to_sql(of, out) }
    }

    fn accepts(of: &Type) -> bool {
        [Type::BOOL, Type::INT4].contains(of)
    }

    to_sql_checked!();
}

#[test]
fn a_statement_that_fails_fails_its_transaction_also_where_it_was_tried_anew() {
    let cluster = cluster();
    let bouncer = wandering(&cluster);
    let mut conn = open(&behind(&bouncer));
    let sql = "SELECT nothing_such($1::int4)";
    for _ in 0..3 {
        let outcome = in_session(&mut conn, |tx| {
            let first = tx.query_cached(sql, &[&1]).unwrap_err();
            assert_eq!(first.sqlstate(), Some("42883"));
            let next = tx.execute("SELECT 1", &[]).unwrap_err();
            assert_eq!(next.sqlstate(), Some("25P02"));
            Ok(())
        });
        assert!(outcome.is_err(), "nothing can be committed");
    }
}

#[test]
fn a_table_that_is_gone_is_told_and_its_next_one_is_found() {
    let cluster = cluster();
    let mut owner = cluster.client();
    let bouncer = wandering(&cluster);
    let mut conn = open(&behind(&bouncer));
    for name in ["int4", "text"] {
        owner.batch_execute(&format!("CREATE TABLE t (v {name}, more bool)")).unwrap();
        let sql = "INSERT INTO t (v) VALUES ($1) RETURNING *";
        let rows = match name {
            "text" => conn.query_cached(sql, &[&"x"]),
            _ => conn.query_cached(sql, &[&1]),
        };
        assert_eq!(rows.unwrap()[0].columns()[0].type_().name(), name);
        // Columns come with the answer.
        owner.batch_execute("ALTER TABLE t DROP more").unwrap();
        let (rows, trips) = match name {
            "text" => cost(&mut conn, |conn| conn.query_cached(sql, &[&"y"])),
            _ => cost(&mut conn, |conn| conn.query_cached(sql, &[&2])),
        };
        assert_eq!((rows.unwrap()[0].len(), trips), (1, 1));
        owner.batch_execute("DROP TABLE t").unwrap();
        let error = conn.query_cached(sql, &[&1]).unwrap_err();
        assert_eq!(error.sqlstate(), Some("42P01"));
    }
}

#[derive(Debug, PartialEq)]
struct Mood(String);

impl ToSql for Mood {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        of.name() == "mood"
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Mood {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Mood(String::from_utf8(raw.to_vec())?))
    }

    fn accepts(of: &Type) -> bool {
        of.name() == "mood"
    }
}

#[test]
fn a_type_of_the_programs_own_is_known_to_the_connection_that_has_asked_for_it() {
    let cluster = cluster();
    let mut owner = cluster.client();
    let bouncer = Bouncer::over(&cluster, "transaction").setting("default_pool_size", "1").start();
    let manager = behind(&bouncer);
    let mut conns = [open(&manager), open(&manager)];
    let sql = "SELECT $1::mood";
    let [made, anew] =
        ["CREATE TYPE mood AS ENUM ('sad', 'fine')", "DROP TYPE mood; CREATE TYPE mood AS ENUM ('fine')"];
    for made in [made, anew] {
        owner.batch_execute(made).unwrap();
        for conn in &mut conns {
            let fine = Mood("fine".to_owned());
            if made == anew {
                // There is no type of that number any more.
                let error = in_session(conn, |tx| tx.query_one_cached(sql, &[&fine])).unwrap_err();
                assert_eq!(error.sqlstate(), Some("XX000"));
            }
            let before = counts(conn);
            for _ in 0..3 {
                let row = in_session(conn, |tx| tx.query_one_cached(sql, &[&fine])).unwrap();
                assert_eq!(row.get::<_, Mood>(0), fine);
            }
            let after = counts(conn);
            assert_eq!(after.1 - before.1, 1, "{made}: each connection asks once");
            let (_, trips) =
                cost(conn, |conn| in_session(conn, |tx| tx.query_cached(sql, &[&fine])).unwrap());
            assert_eq!(trips, 2);
        }
    }
}

#[test]
fn tenants_whose_parameters_differ_are_served_each_by_its_own() {
    let cluster = cluster();
    cluster
        .client()
        .batch_execute(
            "CREATE SCHEMA a; CREATE TABLE a.t (v int4); INSERT INTO a.t VALUES (7);
             CREATE SCHEMA b; CREATE TABLE b.t (v text); INSERT INTO b.t VALUES ('7')",
        )
        .unwrap();
    let bouncer = wandering(&cluster);
    let builder = PgPool::builder().url(bouncer.url()).base_size(1).max_overflow(0);
    let pool = builder.build().unwrap();
    let sql = "SELECT count(*) FROM t WHERE v = $1";
    for tenant in 0..20 {
        let schema = ["a", "b"][tenant % 2];
        let found = pool.session(|tx| {
            tx.batch_execute(&format!("SET LOCAL search_path = {schema}"))?;
            let row = match schema {
                "a" => tx.query_one_cached(sql, &[&7])?,
                _ => tx.query_one_cached(sql, &[&"7"])?,
            };
            Ok::<i64, PgError>(row.get(0))
        });
        assert_eq!(found.unwrap(), 1, "{tenant}");
    }
    let stats = pool.statement_cache_stats(Tier::Automation);
    // Twice it did not do; from then on nothing is taken for known.
    assert_eq!((stats.hits, stats.misses), (2, 20));
}

#[test]
fn statements_that_are_kept_as_asked_for_are_kept() {
    let cluster = cluster();
    let bouncer = Bouncer::over(&cluster, "transaction").setting("default_pool_size", "1").start();
    let manager = manager(&bouncer.url(), |options| options.pgbouncer = Some(PgBouncer::Transaction));
    let mut conn = open(&manager);
    conn.query_cached("SELECT 'kept'", &[]).unwrap();
    let held = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT ''kept'''";
    let row = &conn.query_typed(held, &[]).unwrap()[0];
    assert_eq!(row.get::<_, i64>(0), 1);
}
