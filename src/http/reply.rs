//! An answer, with the headers that all have.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// What is sent.
pub(super) type Reply = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// An answer of a media type.
pub(super) fn of_type(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    // What is told is of this moment, and no browser is to guess what it is.
    add(&mut reply, header::CONTENT_TYPE, media_type);
    add(&mut reply, header::CACHE_CONTROL, "no-store");
    add(&mut reply, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    reply
}

/// A line for people.
pub(super) fn text(status: StatusCode, line: impl std::fmt::Display) -> Reply {
    of_type(status, TEXT, format!("{line}\n"))
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => of_type(status, JSON, body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// An answer with one more header.
pub(super) fn with(mut reply: Reply, name: HeaderName, value: &'static str) -> Reply {
    add(&mut reply, name, value);
    reply
}

fn add(reply: &mut Reply, name: HeaderName, value: &'static str) {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
}
