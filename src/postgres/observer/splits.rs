//! Any split of a recorded byte stream gives the same observations.

use proptest::prelude::*;

use super::backend::{BackendEvent, BackendScanner};
use super::frontend::{FrontendEvent, FrontendScanner};
use super::malformed::Malformed;
use super::texts::TextScanner;

/// A message of the server: type, body.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], length.to_be_bytes().as_slice(), body].concat()
}

pub(in crate::postgres) fn server_message() -> impl Strategy<Value = Vec<u8>> {
    let text = || proptest::collection::vec(1u8.., 0..40);
    prop_oneof![
        prop_oneof![Just(b'I'), Just(b'T'), Just(b'E')].prop_map(|status| message(b'Z', &[status])),
        any::<[u8; 8]>().prop_map(|key| message(b'K', &key)),
        // Rows hold whatever bytes, those of other messages among them.
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|row| message(b'D', &row)),
        Just(message(b'G', &[0, 0, 0])),
        Just(message(b'n', &[])),
        prop_oneof![Just("SET"), Just("RESET"), Just("DISCARD ALL"), Just("SELECT 1")]
            .prop_map(|tag| message(b'C', format!("{tag}\0").as_bytes())),
        (prop_oneof![Just("in_hot_standby"), Just("TimeZone")], prop_oneof![Just("on"), Just("off")])
            .prop_map(|(name, value)| message(b'S', format!("{name}\0{value}\0").as_bytes())),
        (prop_oneof![Just("ERROR"), Just("FATAL")], "[0-9A-Z]{5}", text()).prop_map(
            |(severity, code, text)| {
                let fields = format!("S{severity}\0V{severity}\0C{code}\0RRevalidateCachedQuery\0M");
                message(b'E', &[fields.as_bytes(), &text, b"\0\0"].concat())
            }
        ),
    ]
}

fn client_message() -> impl Strategy<Value = Vec<u8>> {
    let tags = proptest::sample::select(b"QSPBEDCHFdcfpX".to_vec());
    (tags, proptest::collection::vec(any::<u8>(), 0..100)).prop_map(|(tag, body)| message(tag, &body))
}

/// Cuts `bytes` at the given places, whatever their order.
fn pieces(bytes: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    for cut in &mut cuts {
        *cut %= bytes.len() + 1;
    }
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn heard<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<BackendEvent>, bool, Option<Malformed>) {
    let mut scanner = BackendScanner::default();
    scanner.want_rows(true);
    let mut events = Vec::new();
    for piece in pieces {
        scanner.scan(piece, |event| events.push(event));
    }
    (events, scanner.at_boundary(), scanner.malformed())
}

fn asked<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<FrontendEvent> {
    let mut scanner = FrontendScanner::default();
    let mut events = Vec::new();
    for piece in pieces {
        scanner.scan(piece, |event| events.push(event));
    }
    events
}

fn texts<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, bool, bool)> {
    let mut scanner = TextScanner::default();
    let mut texts = Vec::new();
    for piece in pieces {
        scanner.scan(piece, |sent| texts.push((sent.text.bytes.clone(), sent.text.is_cut, sent.prepares)));
    }
    texts
}

/// Whether any split of what a server sends gives the same, and where it ends to be the protocol.
pub(in crate::postgres) fn is_read_as_one(bytes: &[u8], cuts: Vec<usize>) -> bool {
    heard(pieces(bytes, cuts)) == heard([bytes])
}

/// The same of what a client sends.
pub(in crate::postgres) fn is_sent_as_one(bytes: &[u8], cuts: Vec<usize>) -> bool {
    asked(pieces(bytes, cuts.clone())) == asked([bytes]) && texts(pieces(bytes, cuts)) == texts([bytes])
}

/// A message with a statement's text or name, from few names so that they meet again.
pub(in crate::postgres) fn statement_message() -> impl Strategy<Value = Vec<u8>> {
    let name = || prop_oneof![Just(""), Just("s1"), Just("s2")];
    let sets = vec![
        "SET LOCAL a = 1",
        "SET a = 1",
        "SELECT set_config(1, 2, true)",
        "SELECT set_config($1, $2, $3)",
        "SELECT t.typname, t.typtype, t.typelem, ",
    ];
    let sets = proptest::sample::select(sets).prop_map(str::to_owned);
    let text = move || prop_oneof!["[a-z ]{0,20}", "[a-z]{1000,1100}", sets.clone()];
    prop_oneof![
        text().prop_map(|text| message(b'Q', format!("{text}\0").as_bytes())),
        (name(), text()).prop_map(|(name, text)| message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())),
        (name(), proptest::collection::vec(any::<u8>(), 0..50)).prop_map(|(name, parameters)| {
            message(b'B', &[format!("\0{name}\0").as_bytes(), &parameters].concat())
        }),
        name().prop_map(|name| message(b'C', format!("S{name}\0").as_bytes())),
        Just(message(b'S', b"")),
        client_message(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_the_server(
        messages in proptest::collection::vec(server_message(), 1..30),
        cuts in proptest::collection::vec(any::<usize>(), 0..60),
    ) {
        let bytes = messages.concat();
        let whole = heard([bytes.as_slice()]);
        prop_assert!(whole.1, "the stream ends between two messages");
        let ready = messages.iter().filter(|message| message[0] == b'Z').count();
        prop_assert_eq!(whole.0.iter().filter(|e| matches!(e, BackendEvent::Ready(_))).count(), ready);
        prop_assert_eq!(&heard(pieces(&bytes, cuts)), &whole);
        prop_assert_eq!(&heard(bytes.chunks(1)), &whole);
    }

    #[test]
    fn of_the_client(
        messages in proptest::collection::vec(statement_message(), 0..30),
        cuts in proptest::collection::vec(any::<usize>(), 0..60),
    ) {
        let start_up = b"\0\0\0\x0f\0\x03\0\0user\0a\0".to_vec();
        let bytes = [vec![start_up], messages].concat().concat();
        let whole = asked([bytes.as_slice()]);
        prop_assert_eq!(&asked(pieces(&bytes, cuts)), &whole);
        prop_assert_eq!(&asked(bytes.chunks(1)), &whole);
    }

    #[test]
    fn of_statements(
        messages in proptest::collection::vec(statement_message(), 0..30),
        cuts in proptest::collection::vec(any::<usize>(), 0..60),
    ) {
        let start_up = b"\0\0\0\x0f\0\x03\0\0user\0a\0".to_vec();
        let bytes = [vec![start_up], messages].concat().concat();
        let whole = texts([bytes.as_slice()]);
        let asked = asked([bytes.as_slice()]);
        let requests = asked.iter().filter(|event| matches!(event, FrontendEvent::Request(_))).count();
        prop_assert_eq!(whole.len(), requests, "one for each request");
        prop_assert_eq!(&texts(pieces(&bytes, cuts)), &whole);
        prop_assert_eq!(&texts(bytes.chunks(1)), &whole);
    }

    #[test]
    fn of_anything_at_all(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        prop_assert!(is_read_as_one(&bytes, cuts.clone()));
        prop_assert!(is_sent_as_one(&bytes, cuts));
    }
}
