//! Which path has which answer, and who may have it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hyper::header;
use hyper::{Method, Request, StatusCode};
use log::Level;

use super::check::Checks;
use super::clients::gate::Place;
use super::page::{self, File};
use super::reply::{self, Reply};
use super::ring::{EVERY, Ring};
use super::token::Token;
use super::view::View;
use crate::lines::say;
use crate::metrics::CONTENT_TYPE;

/// What there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    PoolHealth,
    DatabaseHealth,
    Metrics,
    Everything,
    History,
    Page(File),
}

const ROUTES: [(&str, Route); 8] = [
    ("/", Route::Page(File::Html)),
    ("/page.css", Route::Page(File::Css)),
    ("/page.js", Route::Page(File::Script)),
    ("/health/pool", Route::PoolHealth),
    ("/healthz", Route::DatabaseHealth),
    ("/metrics", Route::Metrics),
    ("/admin/metrics/database", Route::Everything),
    ("/admin/metrics/history", Route::History),
];

impl Route {
    fn is_health(self) -> bool {
        matches!(self, Route::PoolHealth | Route::DatabaseHealth)
    }
}

/// Who may read `/admin/*`.
pub(super) enum Readers {
    /// Who has the token.
    Holders(Token),
    /// Who is on this machine: the address is loopback.
    Local,
}

/// What a server shows.
pub(super) struct Site {
    view: Arc<dyn View>,
    checks: Arc<Checks>,
    ring: Ring,
    readers: Readers,
}

impl Site {
    pub(super) fn new(view: Arc<dyn View>, readers: Readers) -> Self {
        Site { checks: Checks::new(Arc::clone(&view)), view, ring: Ring::default(), readers }
    }

    /// Keeps the last minutes, for as long as it is polled.
    pub(super) async fn remember(&self) {
        loop {
            // One that panics is missing, and nothing else.
            let _ = catch_unwind(AssertUnwindSafe(|| self.ring.sample(&*self.view)));
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Answers a request. A handler that panics costs this answer and nothing else.
    pub(super) async fn answer<B>(&self, request: Request<B>, place: Place) -> Reply {
        let route = match self.route(&request, place) {
            Ok(route) => route,
            Err(refusal) => return *refusal,
        };
        // Probes come without a token, and learn no more than whether all is well.
        let may_read_all = self.readers.admit(&request).is_ok();
        if route == Route::DatabaseHealth {
            let shown = self.checks.shown(may_read_all).await;
            return reply::json(health_status(shown.healthy), &shown);
        }
        let told = catch_unwind(AssertUnwindSafe(|| self.tell(route, may_read_all)));
        match told {
            Ok(Some(reply)) => reply,
            Ok(None) => reply::text(StatusCode::SERVICE_UNAVAILABLE, "the pool is gone"),
            Err(_) => {
                let path = request.uri().path();
                say!(Level::Error, "tierpool", [path = path], "a handler of HTTP panicked: {path}");
                reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the handler panicked")
            }
        }
    }

    /// The route of a request that may have it.
    fn route<B>(&self, request: &Request<B>, place: Place) -> Result<Route, Box<Reply>> {
        let path = request.uri().path();
        let Some((_, route)) = ROUTES.iter().find(|(known, _)| *known == path) else {
            let known = ROUTES.map(|(path, _)| path).join(" ");
            return Err(Box::new(reply::text(StatusCode::NOT_FOUND, format!("there is only: {known}"))));
        };
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let refusal = reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            return Err(Box::new(reply::with(refusal, header::ALLOW, "GET, HEAD")));
        }
        if place != Place::Ordinary && !route.is_health() {
            let refusal = reply::text(StatusCode::SERVICE_UNAVAILABLE, "too many connections");
            return Err(Box::new(reply::with(refusal, header::RETRY_AFTER, "1")));
        }
        if path.starts_with("/admin/") {
            self.readers.admit(request)?;
        }
        Ok(*route)
    }

    fn tell(&self, route: Route, may_read_all: bool) -> Option<Reply> {
        match route {
            Route::PoolHealth => {
                let health = self.view.health()?;
                let health = if may_read_all { health } else { health.in_brief() };
                let status = StatusCode::from_u16(health.http_status()).unwrap_or_default();
                Some(reply::json(status, &health))
            }
            Route::Metrics => Some(reply::of_type(StatusCode::OK, CONTENT_TYPE, self.view.metrics()?)),
            Route::Everything => Some(reply::json(StatusCode::OK, &self.view.everything()?)),
            Route::History => Some(reply::json(StatusCode::OK, &self.ring.history())),
            Route::Page(file) => Some(page::file(file)),
            Route::DatabaseHealth => unreachable!("BUG: answered without a look at the pool"),
        }
    }
}

fn health_status(healthy: bool) -> StatusCode {
    if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

impl Readers {
    fn admit<B>(&self, request: &Request<B>) -> Result<(), Box<Reply>> {
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
    use super::super::view::{Everything, Sample, Tiers};
    use super::*;
    use crate::report::Health;
    use crate::tiers::Answer;

    /// A pool whose every answer panics.
    struct Panics;

    impl View for Panics {
        fn everything(&self) -> Option<Everything> {
            panic!("on purpose")
        }

        fn health(&self) -> Option<Health> {
            panic!("on purpose")
        }

        fn metrics(&self) -> Option<String> {
            panic!("on purpose")
        }

        fn sample(&self) -> Option<Tiers<Sample>> {
            panic!("on purpose")
        }

        fn check(&self) -> Option<Answer> {
            panic!("on purpose")
        }

        #[cfg(unix)]
        fn subscribe(&self) -> Option<Tiers<crate::event::EventReceiver>> {
            panic!("on purpose")
        }

        #[cfg(unix)]
        fn act(&self, _: &crate::http::acts::Act) -> Option<Result<bool, String>> {
            panic!("on purpose")
        }
    }

    fn status(site: &Site, path: &str) -> StatusCode {
        let request = Request::builder().uri(path).header("host", "localhost").body(()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(site.answer(request, Place::Ordinary)).status()
    }

    #[test]
    fn a_panic_costs_one_answer() {
        let site = Site::new(Arc::new(Panics), Readers::Local);
        for _ in 0..2 {
            assert_eq!(status(&site, "/health/pool"), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(status(&site, "/admin/metrics/database"), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(status(&site, "/healthz"), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(status(&site, "/nowhere"), StatusCode::NOT_FOUND);
        }
    }

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
