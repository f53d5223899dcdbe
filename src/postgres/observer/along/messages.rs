//! The bytes of what the pool sends for itself, and of what it says in the server's place.

/// COMMIT as a request of its own.
pub(in crate::postgres::observer) const UNHEARD_COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

fn put(out: &mut Vec<u8>, tag: u8, body: &[&[u8]]) {
    let length = body.iter().map(|part| part.len()).sum::<usize>() + 4;
    let Ok(length) = u32::try_from(length) else {
        unreachable!("BUG: a message of the pool's own is too long")
    };
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
    body.iter().for_each(|part| out.extend_from_slice(part));
}

/// Has a command without parameters run: Parse, Bind and Execute, without a Sync.
///
/// By the statement and the portal without a name. The client's own request may use them too: it parses and binds them
/// in the same request, and so behind a BEGIN and ahead of a COMMIT. It never counts on one of an earlier request.
pub(super) fn run(command: &str, out: &mut Vec<u8>) {
    put(out, b'P', &[b"\0", command.as_bytes(), b"\0\0\0"]);
    // No formats, no parameters, no formats of results.
    put(out, b'B', &[&[0; 8]]);
    put(out, b'E', &[&[0; 5]]);
}

/// The answer to a request that was not sent: an error, and the end of the answer.
pub(super) fn refusal(code: &str, message: &str, status: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let fields = format!("SERROR\0VERROR\0C{code}\0M{message}\0\0");
    put(&mut out, b'E', &[fields.as_bytes()]);
    put(&mut out, b'Z', &[&[status]]);
    out
}
