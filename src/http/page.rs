//! The page and what it is drawn with: files of their own, and no other's.

use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};

use super::reply::{self, Reply};

/// What the page may do: load the files of this server, and ask it. `data:` is for its empty icon.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Html,
    Css,
    Script,
}

/// The file, with what the page may do.
pub(super) fn file(file: File) -> Reply {
    let (media_type, body) = match file {
        File::Html => ("text/html; charset=utf-8", include_str!("page/page.html")),
        File::Css => ("text/css; charset=utf-8", include_str!("page/page.css")),
        File::Script => ("text/javascript; charset=utf-8", include_str!("page/page.js")),
    };
    let file = reply::of_type(StatusCode::OK, media_type, body);
    let file = reply::with(file, CONTENT_SECURITY_POLICY, POLICY);
    reply::with(file, REFERRER_POLICY, "no-referrer")
}
