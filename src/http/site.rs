//! Which path has which answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hyper::{Request, StatusCode};
use log::Level;

use super::check::Checks;
use super::clients::gate::Place;
use super::page::{self, File};
use super::reply::{self, Reply};
use super::ring::{EVERY, Ring};
use super::routes::{self, Given, Readers, health_status};
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

const ROUTES: [(&str, Route, Given); 8] = [
    ("/", Route::Page(File::Html), Given::InTurn),
    ("/page.css", Route::Page(File::Css), Given::InTurn),
    ("/page.js", Route::Page(File::Script), Given::InTurn),
    ("/health/pool", Route::PoolHealth, Given::Always),
    ("/healthz", Route::DatabaseHealth, Given::Always),
    ("/metrics", Route::Metrics, Given::InTurn),
    ("/admin/metrics/database", Route::Everything, Given::InTurn),
    ("/admin/metrics/history", Route::History, Given::InTurn),
];

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
        let route = match routes::route(&ROUTES, &request, place, &self.readers) {
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
}
