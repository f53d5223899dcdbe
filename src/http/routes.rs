//! Who may have which answer, whatever stands behind the paths.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::{Method, Request, StatusCode, header};

use super::clients::gate::Place;
use super::reply::{self, Reply};
use super::token::Token;

/// Who is given an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    /// A client in any place: whoever asks for health is never turned away.
    Always,
    /// One in an ordinary place.
    InTurn,
}

/// The route of a request that may have it.
pub(super) fn route<B, R: Copy>(
    routes: &[(&str, R, Given)],
    request: &Request<B>,
    place: Place,
    readers: &Readers,
) -> Result<R, Box<Reply>> {
    let path = request.uri().path();
    let Some((_, route, given)) = routes.iter().find(|(known, ..)| *known == path) else {
        let known: Vec<_> = routes.iter().map(|(path, ..)| *path).collect();
        let line = format!("there is only: {}", known.join(" "));
        return Err(Box::new(reply::text(StatusCode::NOT_FOUND, line)));
    };
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let refusal = reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        return Err(Box::new(reply::with(refusal, header::ALLOW, "GET, HEAD")));
    }
    if place != Place::Ordinary && *given == Given::InTurn {
        let refusal = reply::text(StatusCode::SERVICE_UNAVAILABLE, "too many connections");
        return Err(Box::new(reply::with(refusal, header::RETRY_AFTER, "1")));
    }
    if path.starts_with("/admin/") {
        readers.admit(request)?;
    }
    Ok(*route)
}

/// The status of a good answer or a bad one.
pub(super) fn health_status(healthy: bool) -> StatusCode {
    if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Who may read `/admin/*`.
pub(super) enum Readers {
    /// Who has the token.
    Holders(Token),
    /// Who is on this machine: the address is loopback.
    Local,
}

impl Readers {
    /// Whether a client may read what is not for all.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<(), Box<Reply>> {
        let headers = request.headers();
        match self {
            Readers::Holders(token) => {
                let told = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
                if token.is_in(told) {
                    return Ok(());
                }
                let refusal = reply::text(StatusCode::UNAUTHORIZED, "this path wants the bearer token");
                Err(Box::new(reply::with(refusal, header::WWW_AUTHENTICATE, "Bearer")))
            }
            Readers::Local => {
                // A target in the absolute form says whom it is for in place of the header (RFC 9112, section 3.2.2).
                let authority = request.uri().authority().map(|authority| authority.as_str());
                let host = || headers.get(header::HOST).and_then(|value| value.to_str().ok());
                if authority.or_else(host).is_some_and(is_own_name) {
                    return Ok(());
                }
                let line = "without a token this path is told only under an address or the name localhost";
                Err(Box::new(reply::text(StatusCode::FORBIDDEN, line)))
            }
        }
    }
}

/// Whether a `Host` is one that nobody else can have made to lead here: a page of another site, read in a browser of
/// this machine, can give its own name this address, but neither that of this machine nor an address.
fn is_own_name(host: &str) -> bool {
    let is_port = |rest: &str| {
        rest.is_empty()
            || rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return is_port(rest) && address.parse::<Ipv6Addr>().is_ok();
    }
    let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
    let is_own = ["localhost", "localhost."].iter().any(|own| name.eq_ignore_ascii_case(own));
    is_port(rest) && (is_own || name.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_anybody_can_point_here_is_not_this_machines() {
        for own in
            ["localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:80", "[::1]:80", "[::1]", "localhost."]
        {
            assert!(is_own_name(own), "{own}");
        }
        let lenient =
            ["[::1].evil.example", "localhost:evil.example", "127.0.0.1:x.evil", "localhost:80@evil"];
        let foreign = [
            "",
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[x]",
        ];
        for other in lenient.into_iter().chain(foreign) {
            assert!(!is_own_name(other), "{other}");
        }
    }
}
