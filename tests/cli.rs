//! The program as a process: help, exit codes, options, `.env`, what it shows and what it does not.

mod support;

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use support::tool::{Ran, ran, tool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tierpool");

/// A password that nothing may show.
const SECRET: &str = "hush7secret";

fn run_in(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    ran(tool(PROGRAM, folder, arguments).envs(variables.iter().copied()))
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    run_in(tempfile::tempdir().unwrap().path(), arguments, variables)
}

fn url() -> String {
    format!("postgresql://scraper:{SECRET}@db.example/news")
}

/// The commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = run(&["--help"], &[]).out;
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names =
        listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_help_fits_eighty_columns_and_says_what_the_exit_codes_mean() {
    let mut asked = vec![vec!["--help".to_owned()]];
    asked.extend(commands().into_iter().map(|command| vec![command, "--help".to_owned()]));
    assert!(asked.len() > 3, "{asked:?}");
    for arguments in asked {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let told = run(&arguments, &[]);
        assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(told.out.contains("Exit codes"), "{}", told.out);
        let long: Vec<_> = told.out.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{arguments:?}: {long:#?}");
    }
}

#[test]
fn what_cannot_be_understood_is_told_with_exit_code_two_and_without_secrets() {
    for arguments in
        [&["--bogus"][..], &["bogus"], &[], &["config", "--bogus"], &["completions", "cmd"], &["man", "x"]]
    {
        let told = run(arguments, &[("DATABASE_URL", &url())]);
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{arguments:?}: {told:?}");
        assert!(!told.err.is_empty(), "{arguments:?}");
    }
    let told = run(&["config", &url(), &format!("password={SECRET}")], &[]);
    assert_eq!(told.code, Some(2));
    assert!(!told.tells(SECRET) && told.err.contains("unexpected argument"), "{told:?}");
}

#[test]
fn settings_are_told_with_where_they_came_from() {
    let told = run(&["config"], &[("DATABASE_URL", &url()), ("DB_POOL_SIZE", "20")]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    assert!(!told.tells(SECRET));
    let row = |name: &str| {
        let rows = told.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        rows.into_iter()
            .find(|row| row.starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("{told:?}"))
    };
    assert_eq!(row("url"), "url postgresql://scraper@db.example:5432/news environment DATABASE_URL");
    assert_eq!(row("base_size"), "base_size 20 environment DB_POOL_SIZE");
    assert_eq!(row("total_connections"), "total_connections 30 follows DB_POOL_SIZE");
    assert_eq!(row("app_name"), "app_name each program's own default");
}

#[test]
fn the_same_in_json_and_warnings_are_exit_code_one() {
    let variables = [("DATABASE_URL", &*url()), ("DATABASE_CONNECT_TIMEOUT", "90"), ("DB_POOL_SIZ", "7")];
    let told = run(&["config", "--env", "--json"], &variables);
    assert_eq!(told.code, Some(1), "{told:?}");
    let json = told.json();
    let timeout =
        json["settings"].as_array().unwrap().iter().find(|row| row["name"] == "connect_timeout").unwrap();
    assert_eq!(
        (&timeout["value"], &timeout["source"]),
        (&"90 s".into(), &"environment DATABASE_CONNECT_TIMEOUT".into())
    );
    assert!(json["warnings"][0].as_str().unwrap().contains("callers give up before a slow opening does"));
    let effects: Vec<_> =
        json["variables"].as_array().unwrap().iter().map(|row| (&row["name"], &row["effect"])).collect();
    let (counts, unknown) = (&"counts".into(), &"unknown".into());
    let names = ["DATABASE_CONNECT_TIMEOUT", "DATABASE_URL", "DB_POOL_SIZ"].map(serde_json::Value::from);
    assert_eq!(effects, [(&names[0], counts), (&names[1], counts), (&names[2], unknown)]);
    assert!(!told.tells(SECRET));
}

#[test]
fn settings_that_cannot_be_used_are_all_told_with_exit_code_two() {
    let nothing = run(&["config"], &[]);
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(2), ""));
    assert!(nothing.err.contains("server is not set: looked for DATABASE_URL"), "{nothing:?}");
    let hostless = run(&["config"], &[("DATABASE_URL", &format!("postgresql://scraper:{SECRET}@/news"))]);
    assert_eq!(hostless.code, Some(2));
    assert!(hostless.err.contains("DATABASE_URL is without host") && !hostless.tells(SECRET), "{hostless:?}");
    let two = [("DATABASE_URL", &*url()), ("DB_POOL_SIZE", "many"), ("DB_POOL_TIMEOUT", "soon")];
    let told = run(&["config"], &two);
    assert!(
        told.err.contains("DB_POOL_SIZE is many") && told.err.contains("DB_POOL_TIMEOUT is soon"),
        "{told:?}"
    );
    let json = run(&["config", "--json"], &two);
    assert_eq!((json.code, json.json()["faults"].as_array().unwrap().len()), (Some(2), 2));
}

#[test]
fn the_file_is_read_and_told_with_its_line_and_variables_win() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), format!("# a file\nDATABASE_URL={}\nDB_POOL_SIZE=7\n", url()))
        .unwrap();
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let told = run_in(&below, &["config", "--env"], &[("DB_POOL_SIZE", "9")]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let line = |start: &str| told.out.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(line("url ").ends_with("/.env, line 2"), "{told:?}");
    assert!(line("base_size ").ends_with("environment DB_POOL_SIZE"), "{told:?}");
    assert!(line("DB_POOL_SIZE ").contains("  the environment "), "{told:?}");
    assert!(!told.tells(SECRET));
}

#[test]
fn what_shapes_the_server_counts_and_what_the_url_says_does_not() {
    let url = format!("{}?sslmode=prefer", url());
    let variables = [
        ("DATABASE_URL", &*url),
        ("PGSSLMODE", "require"),
        ("PGTARGETSESSIONATTRS", "standby"),
        ("PGPASSWORD", "other"),
        ("PGOPTIONS", "-c work_mem=1MB"),
        ("DB_POOL_HTTP_TOKEN", "a-token-of-some-length"),
    ];
    let told = run(&["config", "--env", "--json"], &variables).json();
    let effects = told["variables"].as_array().unwrap().iter();
    let effects: Vec<_> =
        effects.map(|row| (row["name"].as_str().unwrap(), row["effect"].as_str().unwrap())).collect();
    let expected = [
        ("DATABASE_URL", "counts"),
        ("DB_POOL_HTTP_TOKEN", "beside"),
        ("PGOPTIONS", "counts"),
        ("PGPASSWORD", "beside"),
        ("PGSSLMODE", "beside"),
        ("PGTARGETSESSIONATTRS", "counts"),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_line_and_not_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    std::fs::write(&file, format!("DB_POOL_SIZE=7\nPOSTGRES_PASSWORD={SECRET} {SECRET}\n")).unwrap();
    let told = run_in(folder.path(), &["config"], &[("DATABASE_URL", &url())]);
    assert_eq!((told.code, told.out.as_str()), (Some(2), ""));
    assert!(told.err.contains(".env, line 2: not NAME=value") && !told.tells(SECRET), "{told:?}");
    std::fs::write(&file, vec![b'#'; 2 << 20]).unwrap();
    let large = run_in(folder.path(), &["config"], &[("DATABASE_URL", &url())]);
    assert!(large.code == Some(2) && large.err.contains("is larger than 1048576 bytes"), "{large:?}");
    std::fs::write(&file, "\u{feff}DB_POOL_SIZE=7\r\n").unwrap();
    let marked = run_in(folder.path(), &["config"], &[("DATABASE_URL", &url())]);
    assert!(marked.code == Some(0) && marked.out.contains(".env, line 1"), "{marked:?}");
    std::fs::remove_file(&file).unwrap();
    #[cfg(unix)]
    for target in ["/nowhere/at/all", "/dev/null"] {
        std::os::unix::fs::symlink(target, &file).unwrap();
        let told = run_in(folder.path(), &["config"], &[("DATABASE_URL", &url())]);
        assert!(told.code == Some(2) && told.err.contains(".env is "), "{told:?}");
        std::fs::remove_file(&file).unwrap();
    }
    std::fs::create_dir(&file).unwrap();
    assert_eq!(
        run_in(folder.path(), &["config"], &[("DATABASE_URL", &url())]).code,
        Some(0),
        "a folder is no file"
    );
}

#[test]
fn a_reader_that_has_gone_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["config"][..], &["completions", "bash"], &["man"], &["--help"]] {
        let mut command = tool(PROGRAM, folder.path(), arguments);
        let mut child =
            command.env("DATABASE_URL", url()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(told, "", "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["config"][..], &["completions", "zsh"], &["man"], &["--help"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let told = ran(tool(PROGRAM, folder.path(), arguments).env("DATABASE_URL", url()).stdout(full));
        assert_eq!(told.code, Some(2), "{arguments:?}: {told:?}");
    }
}

#[test]
fn completions_and_pages_name_every_command() {
    let commands = commands();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let told = run(&["completions", shell], &[]);
        assert_eq!(told.code, Some(0), "{shell}");
        assert!(commands.iter().all(|command| told.out.contains(command.as_str())), "{shell}");
    }
    let page = run(&["man"], &[]);
    assert!(commands.iter().all(|command| page.out.contains(&format!("tierpool\\-{command}"))), "{page:?}");
    for command in &commands {
        let page = run(&["man", command], &[]);
        assert_eq!(page.code, Some(0), "{command}");
        assert!(page.out.contains("Exit codes"), "{command}");
    }
}
