//! The admin socket: one a process, of its user alone, gone with the last pool.
#![cfg(all(feature = "http", unix))]

mod support;

use support::admin::{alone, ask};
use support::wait::{BOUND, eventually, thread_names};
use tierpool::http::AdminOptions;
use tierpool::{MemoryManager, Tier, TieredPool};

fn pool() -> TieredPool<MemoryManager> {
    let builder = TieredPool::builder().total_connections(5).reserved(1);
    let pool = builder.automation(|tier| tier.base_size(4).max_overflow(0)).build(|_| MemoryManager).unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    pool
}

#[test]
fn one_socket_tells_of_all_pools_and_goes_with_the_last() {
    alone("one_socket_tells_of_all_pools_and_goes_with_the_last", |folder| {
        let (first, second) = (pool(), pool());
        let path = AdminOptions::new("news").open(&first).unwrap();
        assert_eq!(path, folder.join(format!("tierpool/news.{}.sock", std::process::id())));
        assert_eq!(AdminOptions::new("billing").open(&second).unwrap(), path);
        let mut held = second.get(Tier::Adhoc).unwrap();
        held.tag("a debugger");

        let status = ask(&path, "GET", "/status").json();
        assert_eq!(status["process"], std::process::id());
        let names: Vec<_> = status["pools"].as_array().unwrap().iter().map(|pool| &pool["name"]).collect();
        assert_eq!(names, ["news", "billing"]);
        assert_eq!(status["pools"][0]["told"]["total_possible"], 4);
        let id = &status["pools"][1]["id"];
        let holders = ask(&path, "GET", &format!("/holders?pool={id}")).json();
        assert_eq!(holders["pools"][0]["told"]["adhoc"][0]["tag"], "a debugger");
        assert_eq!(
            ask(&path, "GET", "/waiters").json()["pools"][0]["told"]["automation"].as_array().unwrap().len(),
            0
        );
        assert_eq!(ask(&path, "GET", "/stats").json()["pools"][1]["told"]["adhoc"]["lent"], 1);

        drop(held);
        drop(first);
        assert_eq!(ask(&path, "GET", "/status").json()["pools"].as_array().unwrap().len(), 1);
        let kept = second.clone();
        drop(second);
        assert!(path.exists());
        drop(kept);
        assert!(!path.exists(), "gone before the drop has returned");
        assert!(!thread_names().iter().any(|name| name.starts_with("tierpool-admin")));
        let third = pool();
        assert_eq!(AdminOptions::new("again").open(&third).unwrap().parent(), path.parent());
    });
}

#[test]
fn what_can_be_done_is_done_only_where_the_program_allows_it() {
    alone("what_can_be_done_is_done_only_where_the_program_allows_it", |_| {
        support::logged::capture(log::LevelFilter::Warn);
        let (open, shut) = (pool(), pool());
        let path = AdminOptions::new("open").write(true).open(&open).unwrap();
        AdminOptions::new("shut").open(&shut).unwrap();
        let post = |target: &str| ask(&path, "POST", target);
        assert_eq!(post("/suspend").status, 400, "of two pools one has to be named");
        let ids: Vec<_> = ask(&path, "GET", "/status").json()["pools"].as_array().unwrap().clone();
        let (open_id, shut_id) = (&ids[0]["id"], &ids[1]["id"]);
        assert_eq!(post(&format!("/suspend?pool={shut_id}")).status, 403);
        assert!(!shut.automation().is_suspended());
        let done = |target: String| {
            let answer = post(&target);
            assert_eq!(answer.status, 200, "{target}: {answer:?}");
            answer.json()["done"].as_bool().unwrap()
        };
        assert!(done(format!("/suspend?pool={open_id}&tier=automation")));
        assert!(!done(format!("/suspend?pool={open_id}&tier=automation")), "it was so already");
        assert!(open.automation().is_suspended() && !open.adhoc().is_suspended());
        assert!(done(format!("/resume?pool={open_id}")));
        assert!(!open.automation().is_suspended());
        assert!(done(format!("/drain?pool={open_id}")));
        eventually(BOUND, "its connections are closed", || open.automation().state().connections == 0);
        assert!(done(format!("/reconfigure?pool={open_id}&base_size=2&max_overflow=1")));
        assert_eq!(open.automation().max_size(), 3);
        let refused = post(&format!("/reconfigure?pool={open_id}&base_size=9"));
        assert_eq!((refused.status, refused.body.contains("total_connections")), (409, true), "{refused:?}");
        assert!(!done(format!("/cancel?pool={open_id}&connection=7")), "nobody has it");
        for wrong in ["tier=both", "base_size=1", "connection=x", "pool=x", "size"] {
            assert_eq!(post(&format!("/drain?{wrong}")).status, 400, "{wrong}");
        }
        for wrong in ["suspend?tier=adhoc&tier=automation", "resume?pool=1&pool=1", "reconfigure?"] {
            assert_eq!(post(&format!("/{wrong}&pool={open_id}")).status, 400, "{wrong}");
        }
        assert_eq!(post("/drain?pool=999").status, 404);
        for (pool, act, outcome) in [
            ("shut", "suspend both tiers", "refused: admin_write is not set"),
            ("open", "suspend automation", "nothing to do"),
            ("open", "reconfigure base_size=2 max_overflow=1", "done"),
            ("open", "reconfigure base_size=9", "refused: "),
            ("open", "cancel connection 7", "nothing to do"),
        ] {
            let asked =
                format!("{act}, of pool {pool}, asked for by process {} of user ", std::process::id());
            let lines = support::logged::at("tierpool");
            let is_meant = |line: &str| line.contains(&asked) && line.contains(&format!(": {outcome}"));
            assert!(lines.iter().any(|(_, line)| is_meant(line)), "{asked}: {outcome}: {lines:?}");
        }
        let (get, unknown) = (ask(&path, "GET", "/drain"), ask(&path, "GET", "/admin/metrics/database"));
        assert_eq!((get.status, get.header("allow"), unknown.status), (405, Some("POST"), 404));
        assert_eq!(post("/status").header("allow"), Some("GET"));
    });
}

#[test]
fn events_are_told_while_somebody_listens_and_cost_nothing_after() {
    alone("events_are_told_while_somebody_listens_and_cost_nothing_after", |_| {
        let pool = pool();
        let path = AdminOptions::new("events").open(&pool).unwrap();
        std::thread::scope(|scope| {
            let listening = scope.spawn(|| ask(&path, "GET", "/events?seconds=2").json());
            while !listening.is_finished() {
                drop(pool.get(Tier::Automation).unwrap());
                std::thread::yield_now();
            }
            let told = listening.join().unwrap();
            let events = told["pools"][0]["told"]["automation"].as_array().unwrap().clone();
            assert!(events.iter().any(|event| event["checked_out"]["id"].is_u64()), "{told}");
            assert!(events.len() <= 1000);
        });
        assert_eq!(ask(&path, "GET", "/events?seconds=6").status, 400);
    });
}

#[test]
fn a_folder_that_others_can_open_is_a_fault_at_start_and_so_is_a_path_that_is_too_long() {
    let name = "a_folder_that_others_can_open_is_a_fault_at_start_and_so_is_a_path_that_is_too_long";
    alone(name, |folder| {
        use std::os::unix::fs::PermissionsExt;
        let (pool, own) = (pool(), folder.join("tierpool"));
        let long = AdminOptions::new("n".repeat(107)).open(&pool).unwrap_err();
        assert!(long.is_invalid_config() && long.to_string().contains("107 bytes"), "{long}");
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
        let open = AdminOptions::new("news").open(&pool).unwrap_err();
        assert!(open.is_invalid_config() && open.to_string().contains("open to others"), "{open}");
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o700)).unwrap();
        // As a process of this number has left it that was killed.
        let stale = own.join(format!("news.{}.sock", std::process::id()));
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        assert_eq!(AdminOptions::new("news").open(&pool).unwrap(), stale);
        assert_eq!(ask(&stale, "GET", "/status").status, 200);
    });
}

#[test]
fn who_looks_on_or_says_nothing_keeps_no_write_out() {
    alone("who_looks_on_or_says_nothing_keeps_no_write_out", |_| {
        let pool = pool();
        let path = AdminOptions::new("busy").write(true).open(&pool).unwrap();
        let connect = |_| std::os::unix::net::UnixStream::connect(&path).unwrap();
        let silent: Vec<_> = (0..16).map(connect).collect();
        eventually(BOUND, "all places are taken", || ask(&path, "GET", "/status").status == 503);
        assert_eq!(ask(&path, "POST", "/resume").status, 200);
        drop(silent);
    });
}

#[test]
fn a_pools_name_is_escaped_and_cut_before_anybody_is_told() {
    alone("a_pools_name_is_escaped_and_cut_before_anybody_is_told", |_| {
        support::logged::capture(log::LevelFilter::Warn);
        let (first, second) = (pool(), pool());
        let path = AdminOptions::new("ev\"il\n\u{1b}[31m\u{202e}").write(true).open(&first).unwrap();
        AdminOptions::new("x".repeat(1 << 20)).open(&second).unwrap();
        let status = ask(&path, "GET", "/status").json();
        let escaped = r#"ev"il\n\u{1b}[31m\u{202e}"#;
        assert_eq!(status["pools"][0]["name"], escaped);
        assert!(status["pools"][1]["name"].as_str().unwrap().len() <= 1024);
        let target = format!("/suspend?pool={}", status["pools"][0]["id"]);
        assert_eq!(ask(&path, "POST", &target).status, 200);
        assert!(support::logged::anywhere(escaped));
        assert!(!support::logged::anywhere("\u{1b}"));
    });
}

#[cfg(feature = "postgres")]
#[test]
fn a_pool_of_settings_stands_behind_it_where_builder_or_environment_say_so() {
    use tierpool::PgPool;

    let name = "a_pool_of_settings_stands_behind_it_where_builder_or_environment_say_so";
    alone(name, |folder| {
        let builder = || PgPool::builder().url("postgresql://app:hush@127.0.0.1:1/news").app_name("scraper");
        let path = folder.join(format!("tierpool/scraper.{}.sock", std::process::id()));
        drop(builder().admin(false).build_unchecked().unwrap());
        assert!(!path.exists(), "the builder is stronger than the environment");
        let pool = builder().admin_write(true).build_unchecked().unwrap();
        let status = ask(&path, "GET", "/status").json();
        assert_eq!(
            (&status["pools"][0]["name"], &status["pools"][0]["admin_write"]),
            (&"scraper".into(), &true.into())
        );
        assert!(!status.to_string().contains("hush"), "{status}");
        assert_eq!(ask(&path, "POST", "/suspend").status, 200);
        assert!(pool.automation().is_suspended() && pool.adhoc().is_suspended());
        drop(pool);
        assert!(!path.exists());
    });
}
