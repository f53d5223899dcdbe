//! Holds what the scraper says, and what the database holds, against what the server has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use postgres::{Client, Error};
use sha2::{Digest, Sha256};

use super::crawl::FETCHERS;
use super::link::split;
use super::report::Outcome;
use super::site::plan::{Resource, Site};
use super::site::seen::Count;
use super::site::serve::{Seen, Web};

/// One comparison.
pub struct Check {
    what: String,
    /// What disagrees; nothing where all agrees.
    faults: Vec<String>,
}

/// More faults of one check are counted only.
const SHOWN_FAULTS: usize = 5;

impl Check {
    fn new(what: impl Into<String>, faults: impl IntoIterator<Item = String>) -> Check {
        Check { what: what.into(), faults: faults.into_iter().collect() }
    }

    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} {}", if self.holds() { "ok    " } else { "FAILED" }, self.what)?;
        for fault in self.faults.iter().take(SHOWN_FAULTS) {
            write!(f, "\n           {fault}")?;
        }
        match self.faults.len().saturating_sub(SHOWN_FAULTS) {
            0 => Ok(()),
            more => write!(f, "\n           and {more} more"),
        }
    }
}

/// An address as the database has it.
struct Row {
    url: String,
    state: String,
    hash: Option<Vec<u8>>,
    /// The run in which its page was fetched; none without a page.
    run: Option<i64>,
}

const ROWS: &str = "
SELECT u.url, u.state, u.hash, p.run
FROM tierpool_web.urls u LEFT JOIN tierpool_web.pages p ON p.url_id = u.id";

/// Makes every comparison.
///
/// # Errors
/// The database cannot be read.
pub fn check(client: &mut Client, web: &Web, outcome: &Outcome) -> Result<Vec<Check>, Error> {
    let rows: Vec<Row> = client
        .query(ROWS, &[])?
        .iter()
        .map(|row| Row { url: row.get(0), state: row.get(1), hash: row.get(2), run: row.get(3) })
        .collect();
    let (seen, site) = (web.seen(), web.site());
    let mut checks = vec![contents(&rows, site), bodies(&rows, &seen, outcome)];
    if outcome.is_finished {
        checks.push(all_there(&rows, &seen, site));
    }
    checks.extend([needless(outcome), disallowed(&seen, site), rates(&seen), pauses(&seen)]);
    checks.push(requests(&seen, outcome));
    Ok(checks)
}

fn count<'a>(seen: &'a Seen, url: &str) -> Option<&'a Count> {
    let (host, path) = split(url)?;
    seen.get(host)?.paths.get(path)
}

fn resource(site: &Site, url: &str) -> Resource {
    split(url).map_or(Resource::Missing, |(host, path)| site.resource(host, path))
}

/// Each page that is stored is one of the web's, as the server sends it.
fn contents(rows: &[Row], site: &Site) -> Check {
    let stored: Vec<_> = rows.iter().filter(|row| row.run.is_some() && row.state == "stored").collect();
    let faults = stored.iter().filter_map(|row| match resource(site, &row.url) {
        Resource::Page(n) => {
            let body = Sha256::digest(site.body(n)).to_vec();
            (row.hash.as_ref() != Some(&body)).then(|| format!("another content: {}", row.url))
        }
        _ => Some(format!("no page of the web's: {}", row.url)),
    });
    Check::new(format!("{} pages are stored as they were served", stored.len()), faults)
}

/// What was fetched in this run is what was sent whole in it, each page once.
fn bodies(rows: &[Row], seen: &Seen, outcome: &Outcome) -> Check {
    let fetched: BTreeSet<&str> =
        rows.iter().filter(|row| row.run == Some(outcome.run.id)).map(|row| row.url.as_str()).collect();
    let sent = |url: &str| count(seen, url).is_some_and(|count| count.whole > 0);
    // What an earlier program of this run fetched, this server has not sent.
    let invented = fetched.iter().filter(|url| !outcome.run.is_resumed && !sent(url));
    let mut faults: Vec<_> = invented.map(|url| format!("stored, but not sent: {url}")).collect();
    let known: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.url.as_str(), row)).collect();
    let mut sent = 0;
    for (host, seen) in seen {
        for (path, _) in seen.paths.iter().filter(|(_, count)| count.whole > 0) {
            sent += 1;
            let url = format!("http://{host}{path}");
            // What was stopped may be pending: its page was not stored, and is fetched again.
            let is_pending = || known.get(url.as_str()).is_some_and(|row| row.state == "pending");
            if !fetched.contains(url.as_str()) && (outcome.is_finished || !is_pending()) {
                faults.push(format!("sent, but not stored: {url}"));
            }
        }
    }
    let stored = outcome.tally.new + outcome.tally.changed + outcome.tally.needless;
    if stored != sent {
        faults.push(format!("{stored} stored, {sent} sent"));
    }
    Check::new(format!("{sent} pages were sent to their end, and each is stored once"), faults)
}

/// The frontier came to its end: every page is stored, and what failed could not be had.
fn all_there(rows: &[Row], seen: &Seen, site: &Site) -> Check {
    let of = |state| rows.iter().filter(move |row| row.state == state);
    let stored: BTreeSet<&str> = of("stored").map(|row| row.url.as_str()).collect();
    let pages = (0..site.pages).map(|n| format!("http://{}{}", site.host(n), Site::path(n)));
    let lacking = pages.filter(|url| !stored.contains(url.as_str())).map(|url| format!("not stored: {url}"));
    let answered = |url: &str| count(seen, url).is_some_and(|count| count.whole + count.unchanged > 0);
    let failed = of("failed").filter(|row| answered(&row.url) || resource(site, &row.url) != Resource::Down);
    let failed = failed.map(|row| format!("failed, though it can be had: {}", row.url));
    let pending = of("pending").map(|row| format!("still pending: {}", row.url));
    let expected = [("moved", "moved"), ("missing", "missing"), ("too large", "too large")];
    let strange = rows.iter().filter(|row| {
        expected.iter().any(|(state, _)| row.state == *state)
            && matches!(resource(site, &row.url), Resource::Page(_))
    });
    let strange = strange.map(|row| format!("a page, but {}: {}", row.state, row.url));
    Check::new(
        format!("all {} pages of the web are there, and nothing is pending", site.pages),
        lacking.chain(failed).chain(pending).chain(strange),
    )
}

fn needless(outcome: &Outcome) -> Check {
    let needless = outcome.tally.needless;
    let fault = (needless > 0).then(|| format!("{needless} bodies were the same again"));
    Check::new("nothing was fetched that had not changed", fault)
}

fn disallowed(seen: &Seen, site: &Site) -> Check {
    let paths = seen.iter().flat_map(|(host, seen)| seen.paths.keys().map(move |path| (*host, path)));
    let forbidden = paths.filter(|(host, path)| site.resource(host, path) == Resource::Forbidden);
    let faults = forbidden.map(|(host, path)| format!("asked for: http://{host}{path}"));
    Check::new("nothing that robots.txt disallows was asked for", faults)
}

/// The scraper keeps to the rate when it lets a request go; on its way to the server each thread's one may be late, and
/// meet those after it. So the server may see that many more than the rate allows, one for `robots.txt`, which came
/// before its delay was known, and one that came at the very beginning, and no more over any span of time.
fn rates(seen: &Seen) -> Check {
    let allowance = (FETCHERS + 2) as f64;
    let faults = seen.iter().filter(|(_, seen)| seen.ahead > allowance).map(|(host, seen)| {
        format!("{host}: {:.0} requests more than {:.0} a second allow", seen.ahead, seen.limit)
    });
    Check::new("no host was asked faster than its limit", faults)
}

fn pauses(seen: &Seen) -> Check {
    let faults = seen.iter().filter(|(_, seen)| seen.in_pauses > seen.pauses * FETCHERS as u64);
    let faults = faults.map(|(host, seen)| format!("{host}: {} requests in its pauses", seen.in_pauses));
    let asked: u64 = seen.values().map(|seen| seen.pauses).sum();
    Check::new(format!("the {asked} pauses asked for were kept, but by requests under way"), faults)
}

fn requests(seen: &Seen, outcome: &Outcome) -> Check {
    let arrived: u64 = seen.values().map(|seen| seen.requests()).sum();
    let faults = seen.iter().filter_map(|(host, seen)| {
        let made = outcome.requests.get(*host).copied().unwrap_or_default();
        // Fewer where one could not be sent in time.
        (seen.requests() > made).then(|| format!("{host}: {} arrived, {made} were counted", seen.requests()))
    });
    Check::new(format!("the server's {arrived} requests are among those counted here"), faults)
}
