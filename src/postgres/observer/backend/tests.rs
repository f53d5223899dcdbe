use super::*;

fn events(chunks: &[&[u8]]) -> Vec<BackendEvent> {
    let mut scanner = BackendScanner::default();
    let mut found = Vec::new();
    for chunk in chunks {
        scanner.scan(chunk, |event| found.push(event));
    }
    found
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn the_status_byte_may_come_alone() {
    assert_eq!(events(&[b"Z\0\0\0\x05", b"T"]), [BackendEvent::Ready(b'T')]);
}

#[test]
fn a_status_that_is_none_ends_the_reading() {
    for body in [b"X".as_slice(), b"\0", b"", b"II"] {
        let mut scanner = BackendScanner::default();
        let mut found = Vec::new();
        scanner.scan(&[message(b'Z', body), message(b'Z', b"I")].concat(), |event| found.push(event));
        let status = Malformed::Status { first: body.first().copied().unwrap_or(0), length: body.len() };
        assert_eq!((found, scanner.malformed()), (Vec::new(), Some(status)), "{body:?}");
        let named = if body.len() == 1 {
            format!("status {:#04x}", body[0])
        } else {
            format!("{} bytes", body.len())
        };
        assert!(status.to_string().contains(&named), "{status}");
    }
}

#[test]
fn a_message_that_has_no_place_ends_the_reading() {
    let told = |messages: &[Vec<u8>]| {
        let mut scanner = BackendScanner::default();
        scanner.scan(&messages.concat(), |_| ());
        scanner.malformed()
    };
    let (ready, again) = (message(b'Z', b"I"), message(b'R', b"\0\0\0\0"));
    assert_eq!(told(&[again.clone(), again.clone(), ready.clone(), ready.clone()]), None);
    assert_eq!(told(&[ready, again]), Some(Malformed::Type(b'R')));
    assert_eq!(told(&[message(b'?', b"what")]), Some(Malformed::Type(b'?')));
}

#[test]
fn what_may_come_at_any_time_is_no_progress_of_a_reply() {
    let mut scanner = BackendScanner::default();
    let mut progress = |bytes: &[u8]| {
        scanner.scan(bytes, |_| ());
        scanner.take_progress()
    };
    assert!(!progress(&message(b'N', b"SNOTICE\0\0")));
    assert!(!progress(&message(b'S', b"a\0b\0")));
    assert!(!progress(&message(b'A', b"\0\0\0\x01a\0b\0")));
    let row = message(b'D', b"some row");
    assert!(!progress(&row[..4]), "a header that is not whole");
    assert!(progress(&row[4..6]) && progress(&row[6..]));
    assert!(!progress(b""));
}

#[test]
fn what_each_statement_is_answered_once_is_progress_as_often_as_there_can_be_statements() {
    let mut scanner = BackendScanner::default();
    let progress = |scanner: &mut BackendScanner, bytes: &[u8]| {
        scanner.scan(bytes, |_| ());
        scanner.take_progress()
    };
    let request = message(b'Q', b"BEGIN\0");
    let answer = message(b'I', b"");
    for anew in [true, false, true] {
        scanner.grant(request.len(), anew);
        for _ in 0..request.len() / FOR_EACH {
            assert!(progress(&mut scanner, &answer));
        }
        assert!(!progress(&mut scanner, &answer), "there are no more statements in it");
        assert!(progress(&mut scanner, &message(b'D', b"\0\0")), "of rows there may be any number");
    }
    scanner.grant(request.len(), true);
    assert!(progress(&mut scanner, &message(b'T', b"in pieces")[..8]));
}

#[test]
fn only_rows_and_data_may_have_any_length() {
    let announce = |tag: u8, length: usize| {
        let mut scanner = BackendScanner::default();
        let length = u32::try_from(length + 4).unwrap().to_be_bytes();
        scanner.scan(&[&[tag], length.as_slice(), b"some"].concat(), |_| ());
        scanner.malformed()
    };
    for tag in *b"DdV" {
        assert_eq!(announce(tag, 1 << 30), None);
    }
    for tag in *b"NETtCGA" {
        assert_eq!(announce(tag, NO_DATA), None);
        assert_eq!(announce(tag, NO_DATA + 1), Some(Malformed::NoData(NO_DATA + 1)));
    }
}

#[test]
fn reports_of_parameters_are_bounded_within_a_reply() {
    let mut scanner = BackendScanner::default();
    let report = message(b'S', b"application_name\0a worker\0");
    for _ in 0..10 {
        scanner.scan(&report.repeat(REPORTS / report.len() / 2), |_| ());
        scanner.scan(&message(b'Z', b"I"), |_| ());
    }
    assert_eq!(scanner.malformed(), None);
    scanner.scan(&report.repeat(REPORTS / 20), |_| ());
    assert_eq!(scanner.malformed(), Some(Malformed::Reports));
}

#[test]
fn a_large_error_keeps_its_code() {
    let mut body = b"SFATAL\0VFATAL\0M".to_vec();
    body.resize(body.len() + 100_000, b'x');
    body.extend_from_slice(b"\0C57P01\0\0");
    let bytes = message(b'E', &body);
    let chunks: Vec<&[u8]> = bytes.chunks(7).collect();
    assert_eq!(
        events(&chunks),
        [BackendEvent::Error { code: *b"57P01", ends_session: true, cached_plan: false }]
    );
}

#[test]
fn the_error_of_another_server_does_not_end_this_session() {
    let ends = |fields: &str| {
        let events = events(&[&message(b'E', format!("{fields}\0Mtext\0\0").as_bytes())]);
        matches!(events[..], [BackendEvent::Error { ends_session: true, .. }])
    };
    for code in ["08006", "57P01"] {
        assert!(!ends(&format!("SFEHLER\0VERROR\0C{code}")), "{code} by postgres_fdw");
        assert!(ends(&format!("SFATAL\0VFATAL\0C{code}")), "{code} by the server");
        assert!(ends(&format!("SFATAL\0C{code}")), "{code} by one that does not tell the severity");
    }
    assert!(!ends("SERROR\0C57014"));
}

#[test]
fn a_stale_plan_is_told_from_other_missing_features() {
    let of = |routine: &str| {
        let body = format!("SFEHLER\0VERROR\0C0A000\0Mtext\0R{routine}\0\0");
        events(&[&message(b'E', body.as_bytes())])[0]
    };
    let expected = |cached_plan| BackendEvent::Error { code: *b"0A000", ends_session: false, cached_plan };
    assert_eq!(of("RevalidateCachedQuery"), expected(true));
    assert_eq!(of("RevalidateCachedQuery2"), expected(false));
}

#[test]
fn a_command_that_sets_something_is_known_by_its_tag() {
    let sets = |tag: &str| !events(&[&message(b'C', format!("{tag}\0").as_bytes())]).is_empty();
    for tag in ["SET", "RESET", "DISCARD", "DISCARD ALL", "DISCARD TEMP"] {
        assert!(sets(tag), "{tag}");
    }
    for tag in ["SELECT 1", "SET CONSTRAINTS", "UPDATE 5", "", "RESETTLE", "INSERT 0 1"] {
        assert!(!sets(tag), "{tag}");
    }
}

#[test]
fn reported_settings_and_the_process_id_are_read() {
    let mut bytes = message(b'S', b"in_hot_standby\0off\0");
    bytes.extend(message(b'S', b"default_transaction_read_only\0on\0"));
    bytes.extend(message(b'S', b"TimeZone\0Europe/Berlin\0"));
    bytes.extend(message(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]));
    assert_eq!(
        events(&[&bytes]),
        [
            BackendEvent::Setting(ReportedSetting::HotStandby, false),
            BackendEvent::Setting(ReportedSetting::DefaultReadOnly, true),
            BackendEvent::ProcessId(258),
        ]
    );
}

#[test]
fn a_session_that_listens_is_known_by_the_tag() {
    let of = |tag: &str| events(&[&message(b'C', format!("{tag}\0").as_bytes())]);
    assert_eq!(of("LISTEN"), [BackendEvent::Listens]);
    assert_eq!(of("UNLISTEN"), [BackendEvent::Listens], "there may be others");
    assert_eq!(of("NOTIFY"), []);
    assert_eq!(events(&[&message(b'A', b"\0\0\0\x07c\0p\0")]), [BackendEvent::Notification]);
}
