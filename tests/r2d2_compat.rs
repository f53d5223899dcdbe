//! Programs written for r2d2 run after a change of their `use` lines, and managers made for it run as they are.

mod support;

/// The program as it was written.
#[path = "r2d2_compat"]
mod with_r2d2 {
    /// It tells of a connection's end while another thread may be telling of its successor already.
    pub const TELLS_OF_AN_END_FIRST: bool = false;

    use r2d2 as library;

    mod contract;
    mod program;
}

/// The same, moved to tierpool.
#[allow(clippy::duplicate_mod)] // That it is the same file is the point.
#[path = "r2d2_compat"]
mod with_tierpool {
    /// A successor is opened only when the end has been told of.
    pub const TELLS_OF_AN_END_FIRST: bool = true;

    use tierpool as library;

    mod ages;
    mod contract;
    mod program;
}

mod sqlite {
    use std::thread;

    use r2d2_sqlite::SqliteConnectionManager;
    use r2d2_sqlite::rusqlite::params;
    use tierpool::Pool;

    #[test]
    fn sqlite_through_r2d2_sqlite_works_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let manager = SqliteConnectionManager::file(folder.path().join("items.db"))
            .with_init(|conn| conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 10000;"));
        let pool = Pool::builder().max_size(4).build(manager).unwrap();
        let create = "CREATE TABLE item (thread INTEGER, number INTEGER)";
        pool.get().unwrap().execute(create, params![]).unwrap();
        thread::scope(|scope| {
            for thread in 0..8 {
                let pool = pool.clone();
                scope.spawn(move || {
                    for number in 0..10 {
                        let conn = pool.get().unwrap();
                        conn.execute("INSERT INTO item VALUES (?, ?)", params![thread, number]).unwrap();
                    }
                });
            }
        });
        let mut conn = pool.get().unwrap();
        let undone = conn.transaction().unwrap();
        undone.execute("DELETE FROM item", params![]).unwrap();
        drop(undone);
        let count: i64 = conn.query_row("SELECT count(*) FROM item", params![], |row| row.get(0)).unwrap();
        assert_eq!(count, 80);
        drop(conn);
        assert_eq!((pool.stats().opened, pool.state().idle_connections), (4, 4));
    }
}
