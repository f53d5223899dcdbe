//! The stage without a connection: asks for a page, by the host's rules and at its pace, and reads it.

use std::sync::atomic::Ordering;

use fluent_uri::Uri;
use sha2::{Digest, Sha256};

use super::answer::{Answer, FetchError, Marks, Page, Target};
use super::client::{Client, ROBOT};
use super::hosts::{Host, Hosts};
use super::html;
use super::link::{resolve, split};
use super::robots::Robots;

/// What the threads that fetch share.
pub struct Fetcher {
    pub hosts: Hosts,
    pub client: Client,
}

impl Fetcher {
    /// Asks for `target` once.
    ///
    /// # Blocking
    /// For the host's turn and the answer, both bounded.
    ///
    /// # Errors
    /// No answer that lasts; the error says whether it may come to one.
    pub fn fetch(&self, target: &Target) -> Result<Answer, FetchError> {
        let unusable = || FetchError::Unusable(format!("{} is not an address of these hosts", target.url));
        let (name, path) = split(&target.url).ok_or_else(unusable)?;
        let host = self.hosts.get(name).ok_or_else(unusable)?;
        if !host.rules(|| self.read_rules(host, name))?.allows(path) {
            return Ok(Answer::Disallowed);
        }
        host.turn()?;
        // Alone: the store reads it after the page has come to it.
        target.requests.fetch_add(1, Ordering::Relaxed);
        let reply = self.client.get(&target.url, &target.known)?;
        match (reply.status, reply.location, reply.body) {
            (200, _, Some(body)) => self.page(&target.url, reply.marks, &body).map(Answer::Page),
            (200, _, None) => Ok(Answer::TooLarge),
            (304, _, _) => Ok(Answer::Unchanged),
            (301 | 302 | 303 | 307 | 308, Some(href), _) => {
                let target = self.resolve(&base(&target.url)?, &href);
                Ok(Answer::Moved { href, target })
            }
            (404 | 410, _, _) => Ok(Answer::Missing),
            (status, _, _) => {
                reply.retry_after.into_iter().for_each(|pause| host.pause(pause));
                Err(FetchError::Status(status))
            }
        }
    }

    /// As RFC 9309 has it: without a `robots.txt` everything is allowed; while the server cannot tell, nothing is.
    fn read_rules(&self, host: &Host, name: &str) -> Result<Robots, FetchError> {
        host.turn()?;
        let reply = self.client.get(&format!("http://{name}/robots.txt"), &Marks::default())?;
        match reply.status {
            200 => {
                let text = reply.body.unwrap_or_default();
                Ok(Robots::parse(&String::from_utf8_lossy(&text), ROBOT))
            }
            400..=499 => Ok(Robots::default()),
            status => Err(FetchError::Status(status)),
        }
    }

    fn page(&self, url: &str, marks: Marks, body: &[u8]) -> Result<Page, FetchError> {
        let base = base(url)?;
        let document = html::scrape(&String::from_utf8_lossy(body));
        let targets = document.links.iter().map(|link| self.resolve(&base, &link.href)).collect();
        let hash = Sha256::digest(body).to_vec();
        Ok(Page { marks, hash, bytes: body.len(), document, targets })
    }

    fn resolve(&self, base: &Uri<&str>, href: &str) -> Option<String> {
        resolve(base, href, |host| self.hosts.get(host).is_some())
    }
}

fn base(url: &str) -> Result<Uri<&str>, FetchError> {
    Uri::parse(url).map_err(|error| FetchError::Unusable(error.to_string()))
}
