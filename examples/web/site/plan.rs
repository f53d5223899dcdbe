//! Which hosts and paths there are, and how each of them behaves.
//!
//! Every page can be reached from the first one: each links its children in a tree over all hosts, but for a few that
//! are only where another address has moved to. What is no page is linked by the page of the same number. Whoever asks
//! for a page too early, or cannot get it whole, has to come again.

use std::fmt;
use std::time::Duration;

/// The hosts, of which the last one wants to be asked seldom.
pub const HOSTS: [&str; 4] = ["alpha.test", "beta.test", "gamma.test", "delta.test"];
/// The host with a `Crawl-delay`.
pub const SLOW_HOST: &str = HOSTS[3];
/// In its `robots.txt`, in seconds.
pub const CRAWL_DELAY: f64 = 0.05;
/// Links from a page to pages below it.
const CHILDREN: usize = 6;
/// What a page in trouble does to those who ask for it first.
const MAX_REFUSALS: u64 = 2;
/// Every so many pages, one of each kind of trouble.
const PERIOD: usize = 50;
/// Of each period, the page that links an address that has moved, and so the next one that nothing else links.
const MOVED: usize = 3;

/// A web.
#[derive(Clone, Debug)]
pub struct Site {
    pub pages: usize,
    pub seed: u64,
    pub edition: u64,
}

/// All that its pages follow from.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Site { pages, seed, edition } = self;
        write!(f, "{pages} pages, seed {seed}, edition {edition}")
    }
}

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Robots,
    /// A page by its number.
    Page(usize),
    /// 301 to the page after this number.
    Moved(usize),
    Missing,
    /// Never answers but with 503.
    Down,
    /// Larger than anybody should read; whether its length is told ahead.
    Large {
        told: bool,
    },
    /// What `robots.txt` forbids.
    Forbidden,
}

/// How a page answers, until those who ask have come often enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// 503 for the first requests.
    Busy {
        refusals: u64,
    },
    /// One 503 that says when to come again.
    BusyUntil {
        seconds: u64,
    },
    /// The first body ends halfway.
    Cut,
    /// The first body comes a byte at a time.
    Slow,
}

impl Site {
    /// The host of page `n`: the first one has two of five, the last one of twenty.
    pub fn host(&self, n: usize) -> &'static str {
        match self.dice(n, "host") % 20 {
            _ if n == 0 => HOSTS[0],
            0..8 => HOSTS[0],
            8..14 => HOSTS[1],
            14..19 => HOSTS[2],
            _ => SLOW_HOST,
        }
    }

    /// The path of page `n`.
    pub fn path(n: usize) -> String {
        if n == 0 { "/".to_owned() } else { format!("/pages/{n}") }
    }

    /// What `path` of `host` stands for.
    pub fn resource(&self, host: &str, path: &str) -> Resource {
        match path {
            "/" if host == HOSTS[0] => return Resource::Page(0),
            "/robots.txt" => return Resource::Robots,
            _ => {}
        }
        let Some((folder, n)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
            return Resource::Missing;
        };
        let Some(n) = n.parse().ok().filter(|n| *n < self.pages && *n > 0 && self.host(*n) == host) else {
            return if folder == "private" { Resource::Forbidden } else { Resource::Missing };
        };
        match folder {
            "pages" => Resource::Page(n),
            "old" => Resource::Moved(n),
            "down" => Resource::Down,
            "large" => Resource::Large { told: n.is_multiple_of(2) },
            "private" => Resource::Forbidden,
            _ => Resource::Missing,
        }
    }

    /// Where page `n` links to, as its text has it: absolute, from the root, and from the page's own folder.
    pub fn links(&self, n: usize) -> Vec<String> {
        let below = (n * CHILDREN + 1..=n * CHILDREN + CHILDREN).filter(|child| *child < self.pages);
        // Across the tree, so that most pages are found more than once.
        let across =
            [self.dice(n, "first") as usize % self.pages, self.dice(n, "second") as usize % self.pages];
        let linked = below.chain(across).filter(|to| to % PERIOD != MOVED + 1);
        let mut links: Vec<String> = linked.map(|to| self.reference(n, to)).collect();
        let leaves = ["old", "gone", "private", "large", "down"];
        let leaf = leaves.iter().zip([MOVED, 11, 17, 29, 41]).find(|(_, at)| n % PERIOD == *at);
        links.extend(leaf.map(|(folder, _)| format!("/{folder}/{n}")));
        links.extend(n.is_multiple_of(7).then(|| "https://elsewhere.example/page".to_owned()));
        links.push("mailto:somebody@alpha.test".to_owned());
        links
    }

    fn reference(&self, from: usize, to: usize) -> String {
        let path = Site::path(to);
        if self.host(from) != self.host(to) {
            return format!("http://{}{path}#part", self.host(to));
        }
        match to % 3 {
            0 if to > 0 && from > 0 => format!("../pages/./{to}"),
            _ => path,
        }
    }

    /// What happens to those who ask for page `n`.
    pub fn trouble(&self, n: usize) -> Trouble {
        if n % (10 * PERIOD) == 5 {
            return Trouble::BusyUntil { seconds: 1 };
        }
        match (n + self.seed as usize) % PERIOD {
            7 => Trouble::Busy { refusals: 1 + self.dice(n, "refusals") % MAX_REFUSALS },
            19 => Trouble::Cut,
            31 => Trouble::Slow,
            _ => Trouble::None,
        }
    }

    /// How long page `n` takes to answer.
    pub fn latency(&self, n: usize) -> Duration {
        Duration::from_millis(1 + self.dice(n, "latency") % 20)
    }

    /// The version of page `n` in this edition: one of forty is another in each.
    pub fn version(&self, n: usize) -> u64 {
        if n % 40 == 1 { self.edition } else { 1 }
    }

    /// A number that follows from the seed, `n` and what it is for.
    pub fn dice(&self, n: usize, what: &str) -> u64 {
        let mut x = self.seed ^ (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in what.bytes() {
            x = (x ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        // The last step of splitmix64: without it near numbers give near results.
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Resource, Site};

    #[test]
    fn every_page_is_linked_and_each_path_means_one_thing() {
        let site = Site { pages: 300, seed: 4, edition: 1 };
        let mut reached = BTreeSet::from([0]);
        for n in 0..site.pages {
            assert_eq!(site.resource(site.host(n), &Site::path(n)), Resource::Page(n));
            assert!(reached.contains(&n), "page {n}");
            for link in site.links(n) {
                let (folder, to) = link.trim_end_matches("#part").rsplit_once('/').unwrap_or_default();
                match to.parse::<usize>() {
                    Ok(to) if folder.ends_with("/old") => _ = reached.insert(to + 1),
                    Ok(to) => _ = reached.insert(to),
                    Err(_) => {}
                }
            }
        }
        assert_eq!(site.resource(site.host(1), "/private/nothing"), Resource::Forbidden);
        assert_eq!(site.resource(site.host(1), "/pages/300"), Resource::Missing);
    }
}
