//! `tierpool queue`: filled from arguments and lines, counted, dead items tried again, and what goes wrong.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::cluster::{APP_PASSWORD, Cluster, cluster};
use support::pools::pool_of;
use support::tool::{Ran, ran, tool};
use tierpool::batch::Options;
use tierpool::batch::queue::{Claims, Queue};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The tool beside a server, in a folder of its own.
struct Tool {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Tool {
    fn new() -> Self {
        Tool { cluster: cluster(), folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool(PROGRAM, self.folder.path(), &[&["queue"], arguments].concat());
        command.env("DATABASE_URL", self.cluster.url());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let told = ran(&mut self.command(arguments));
        assert!(!told.tells(APP_PASSWORD), "{told:?}");
        told
    }

    /// Fed by a producer that pauses before the last line.
    fn run_with_pause(&self, arguments: &[&str], before: &[u8], after: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.env("DB_STATEMENT_TIMEOUT", "200").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(before).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(1));
        input.write_all(after).unwrap();
        drop(input);
        child.wait_with_output().unwrap().into()
    }

    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who refuses does not read to the end.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }
}

#[track_caller]
fn assert_said(told: &Ran, code: i32, line: &str) {
    assert_eq!((told.code, told.out.trim_end(), told.err.as_str()), (Some(code), line, ""));
}

#[test]
fn items_are_pushed_counted_and_tried_again() {
    let tool = Tool::new();
    assert_said(&tool.run(&["push", "pages", "--create", "a", "b c"]), 0, "pages: 2 items pushed");
    // As much as begins the copy, so that the pause is one of its.
    let filler = format!("{}\n", "x".repeat(100_000));
    let told = tool.run_with_pause(&["push", "filler", "--create"], filler.as_bytes(), b"y");
    assert_said(&told, 0, "filler: 2 items pushed");
    assert_said(&tool.run_with(&["push", "pages"], b"d\n\ne\r\nf"), 0, "pages: 3 items pushed");
    let told = tool.run(&["stats", "pages", "--json"]);
    assert_eq!(told.code, Some(0));
    let told = told.json();
    assert_eq!((&told["queue"], &told["dead_letters"]), (&"pages".into(), &serde_json::json!([])));
    assert_eq!((&told["stats"]["ready"], &told["stats"]["delayed"]), (&5.into(), &0.into()));

    let pool = pool_of(2, "queue", tool.cluster.url(), |builder| builder);
    let queue = Queue::open(&pool, "pages").unwrap();
    let mut seen = std::sync::Mutex::new(Vec::new());
    let claims = Claims::new().attempts(1).until_empty(true);
    let report = queue.run(claims, Options::new(), |_, item| {
        seen.lock().unwrap().push(item.text().unwrap().to_owned());
        Err::<(), BoxError>("refused\n\u{1b}[31m".into())
    });
    assert_eq!(report.unwrap().dead, 5);
    seen.get_mut().unwrap().sort();
    assert_eq!(*seen.get_mut().unwrap(), ["a", "b c", "d", "e", "f"]);

    assert_said(&tool.run(&["push", "pages", "--after", "3600", "late"]), 0, "pages: 1 item pushed");
    let told = tool.run(&["stats", "pages"]);
    assert_eq!(told.code, Some(1), "items are dead");
    assert!(told.out.starts_with("pages: 0 ready, 1 delayed, 0 leased, 5 dead\n\ndead item"), "{}", told.out);
    assert_eq!(told.out.matches("refused").count(), 5, "{}", told.out);
    assert!(!told.out.contains('\u{1b}'), "{}", told.out);
    assert_said(&tool.run(&["retry", "pages"]), 0, "pages: 5 items to be tried again");
    assert_eq!(tool.run(&["retry", "pages", "--json"]).json()["retried"], 0);
    assert_eq!(tool.run(&["stats", "pages"]).code, Some(0));
}

#[test]
fn what_goes_wrong_is_told_with_exit_code_two_and_pushes_nothing() {
    let tool = Tool::new();
    let fails = |told: &Ran, why: &str| {
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{told:?}");
        assert!(told.err.starts_with("tierpool: ") && told.err.contains(why), "{told:?}");
    };
    for act in ["push", "stats", "retry"] {
        fails(&tool.run(&[act, "nowhere"]), "nowhere");
        fails(&tool.run(&[act, "no name"]), "no name");
    }
    tool.cluster.client().batch_execute("CREATE TABLE other (id int)").unwrap();
    fails(&tool.run(&["push", "other", "a"]), "no queue of this version");
    assert_eq!(
        tool.run(&["push", "pages", "--create"]).out,
        "pages: 0 items pushed\n",
        "nothing on standard input"
    );
    let mut large = b"small\n".to_vec();
    large.resize(large.len() + (17 << 20), b'x');
    fails(&tool.run_with(&["push", "pages"], &large), "line 2 has more than the 16777216 bytes");
    assert_eq!(tool.run(&["stats", "pages", "--json"]).json()["stats"]["ready"], 0, "all or none");

    // Whoever does it again would have it twice.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let told = tool.command(&["push", "pages", "a"]).stdout(full).output().unwrap();
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("; 1 item pushed all the same"), "{told}");
    for arguments in [&["push"][..], &["bogus"], &["push", "pages", "--after", "-1"], &["stats"], &[]] {
        assert_eq!(tool.run(arguments).code, Some(2), "{arguments:?}");
    }
    let nobody = "postgresql://u:hush@127.0.0.1:1/d";
    let told = ran(tool.command(&["stats", "pages"]).env("DATABASE_URL", nobody));
    fails(&told, "127.0.0.1");
    assert!(!told.tells("hush"), "{told:?}");
}
