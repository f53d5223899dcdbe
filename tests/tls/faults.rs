//! Files of TLS that cannot be used: each fault names the setting, the file and what was found in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tierpool::config::TlsMode::{Prefer, Require, VerifyCa, VerifyFull};
use tierpool::config::TlsOptions;
use tierpool::postgres::{PgManager, PgOptions};

use crate::place::{Files, options};
use crate::support::authority::Authority;
use crate::support::logged;

#[track_caller]
fn fault(tls: &TlsOptions, parts: &[&str]) -> String {
    let config = "host=db.example user=app password=hush-4711".parse().unwrap();
    let error = PgManager::with_tls(config, PgOptions::default(), tls).unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    assert!(!error.contains("hush"));
    error
}

fn client(cert: PathBuf, key: PathBuf) -> TlsOptions {
    let mut tls = options(Require, None);
    tls.client_cert = Some(cert);
    tls.client_key = Some(key);
    tls
}

#[test]
fn a_faulty_file_is_named_with_what_was_found() {
    let files = Files::new();
    let ours = Authority::new("ours");
    let app = ours.client("app");
    let root = |path| options(VerifyCa, Some(path));
    fault(&root(files.missing()), &["sslrootcert is", "missing.pem", "No such file", "PEM"]);
    fault(&root(files.put("empty.pem", "")), &["sslrootcert is", "empty.pem (holds no certificate)"]);
    fault(&root(files.put("der.pem", "\u{1}\u{2}")), &["der.pem (holds no certificate)"]);
    fault(&root(files.put("key.pem", &app.key)), &["key.pem (holds no certificate)"]);
    let cut = files.put("cut.pem", &app.cert[..200]);
    fault(&root(cut), &["cut.pem (cut off before its END line)"]);
    let garbled = app.cert.replace("\n-----END", "\n!!!!\n-----END");
    fault(&root(files.put("garbled.pem", &garbled)), &["garbled.pem (not base64 inside)"]);
    let other = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    fault(&root(files.put("other.pem", other)), &["other.pem (", "no certificate that can be read)"]);

    let (cert, key) = (files.put("app.crt", &app.cert), files.put("app.key", &app.key));
    let faults = fault(&client(files.missing(), files.missing()), &["sslcert is", "sslkey is"]);
    assert_eq!(faults.matches("No such file").count(), 2, "all at once: {faults}");
    let both = PgManager::with_tls(
        "host=db.example".parse().unwrap(),
        PgOptions::default(),
        &client(files.missing(), files.missing()),
    );
    let report = format!("{:?}", both.unwrap_err());
    assert!(report.starts_with("the PostgreSQL settings cannot be used:\n  sslcert is"), "{report}");
    assert!(report.lines().count() == 3 && report.contains("\n  sslkey is"), "{report}");
    fault(&client(cert.clone(), cert.clone()), &["sslkey is", "app.crt (holds no key)"]);
    let foreign = files.put("foreign.key", &ours.client("app").key);
    fault(&client(cert.clone(), foreign), &["sslkey is", "foreign.key", "must be the key of", "app.crt"]);
    let encrypted = app.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let encrypted = files.put("encrypted.key", &encrypted);
    fault(&client(cert.clone(), encrypted), &["sslkey is", "encrypted.key (encrypted)", "not encrypted"]);

    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let faults = fault(&client(cert, key), &["sslkey is", "app.key", "(permissions 0644)", "0600"]);
    assert!(!faults.contains(app.key.lines().nth(1).unwrap()), "nothing of the key");
}

#[test]
fn a_files_name_forges_no_line_of_a_log() {
    logged::capture(log::LevelFilter::Warn);
    let files = Files::new();
    let unreadable = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let bundle = format!("{}{unreadable}", Authority::new("ours").cert());
    let tls = options(VerifyCa, Some(files.put("ca\n\u{202e}.pem", &bundle)));
    PgManager::with_tls("host=db.example".parse().unwrap(), PgOptions::default(), &tls).unwrap();
    assert!(logged::anywhere(r"/ca\n\u{202e}.pem cannot be read"));
}

#[test]
fn settings_that_make_no_sense_together_are_refused() {
    for mode in [VerifyCa, VerifyFull] {
        fault(&options(mode, None), &["sslrootcert is not set", "system", mode.as_str()]);
    }
    for mode in [Prefer, Require, VerifyCa] {
        let tls = options(mode, Some("system".into()));
        fault(&tls, &["sslmode is", mode.as_str(), "must be verify-full with sslrootcert=system"]);
    }
    let mut half = options(Require, None);
    half.client_cert = Some("/app.crt".into());
    fault(&half, &["sslkey is not set"]);
    half.client_key = half.client_cert.take();
    fault(&half, &["sslcert is not set"]);
}
