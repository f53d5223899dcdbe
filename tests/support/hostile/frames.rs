//! The server's messages as bytes, well formed or not.

/// Announces 1 GiB, about the longest that a server may.
pub const GIB: i32 = 1 << 30;

/// A message of this type, with the length that its body has.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    announcing(tag, i32::try_from(body.len() + 4).expect("BUG: a body of more than 2 GiB"), body)
}

/// A message of this type that announces a length, whatever follows.
pub fn announcing(tag: u8, length: i32, body: &[u8]) -> Vec<u8> {
    [&[tag], length.to_be_bytes().as_slice(), body].concat()
}

/// Texts, each ended by a zero byte.
fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect()
}

pub fn authentication(kind: i32, data: &[u8]) -> Vec<u8> {
    frame(b'R', &[kind.to_be_bytes().as_slice(), data].concat())
}

pub fn authentication_ok() -> Vec<u8> {
    authentication(0, &[])
}

pub fn parameter(name: &str, value: &str) -> Vec<u8> {
    frame(b'S', &texts(&[name, value]))
}

pub fn key(pid: i32, secret: i32) -> Vec<u8> {
    frame(b'K', &[pid.to_be_bytes(), secret.to_be_bytes()].concat())
}

/// The end of a reply, with a transaction status.
pub fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}

fn fields(tag: u8, severity: &str, code: &str, message: &str) -> Vec<u8> {
    let fields = [format!("S{severity}"), format!("V{severity}"), format!("C{code}"), format!("M{message}")];
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    frame(tag, &[texts(&fields).as_slice(), &[0]].concat())
}

pub fn error(severity: &str, code: &str, message: &str) -> Vec<u8> {
    fields(b'E', severity, code, message)
}

pub fn notice(message: &str) -> Vec<u8> {
    fields(b'N', "NOTICE", "00000", message)
}

pub fn notification(pid: i32, channel: &str, payload: &str) -> Vec<u8> {
    frame(b'A', &[pid.to_be_bytes().as_slice(), &texts(&[channel, payload])].concat())
}

/// The type of a text.
const TEXT: u32 = 25;

/// The description of rows with text columns.
pub fn columns(names: &[&str]) -> Vec<u8> {
    description(names.iter().map(|name| (*name, TEXT)))
}

/// The description of rows with columns of these types.
pub fn typed_columns(types: &[u32]) -> Vec<u8> {
    description(types.iter().map(|oid| ("a", *oid)))
}

fn description<'a>(columns: impl ExactSizeIterator<Item = (&'a str, u32)>) -> Vec<u8> {
    let mut body = i16::try_from(columns.len()).expect("BUG: too many columns").to_be_bytes().to_vec();
    for (name, oid) in columns {
        body.extend(texts(&[name]));
        // No table and no column of one.
        body.extend([0; 6]);
        body.extend(oid.to_be_bytes());
        // Of any length, in text format.
        body.extend([255, 255, 255, 255, 255, 255, 0, 0]);
    }
    frame(b'T', &body)
}

pub fn row(values: &[&[u8]]) -> Vec<u8> {
    let values: Vec<_> = values.iter().copied().map(Some).collect();
    nullable_row(&values)
}

pub fn nullable_row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = i16::try_from(values.len()).expect("BUG: too many columns").to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("BUG: a value above 2 GiB"));
        body.extend(length.to_be_bytes());
        body.extend_from_slice(value.unwrap_or_default());
    }
    frame(b'D', &body)
}

pub fn complete(tag: &str) -> Vec<u8> {
    frame(b'C', &texts(&[tag]))
}

/// All that a healthy server says before its first request.
pub fn greeting(status: u8) -> Vec<u8> {
    [
        authentication_ok(),
        parameter("server_version", "15.4"),
        parameter("client_encoding", "UTF8"),
        key(4711, 815),
        ready(status),
    ]
    .concat()
}

/// A healthy answer to a request that gives no rows.
pub fn answer(status: u8) -> Vec<u8> {
    [complete("SELECT 0"), ready(status)].concat()
}
