//! The stage with a connection: writes what came of one address, and only to rows of its own.
//!
//! So no two stores wait for each other, in groups neither, whatever the order.

use std::fmt;

use tierpool::postgres::Last;

use super::answer::{Answer, Marks, Page, Target};

/// What became of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    New,
    Changed,
    /// The body came although it is the one that was stored.
    Needless,
    /// 304: no body came.
    Unchanged,
    /// There is no page: it moved, is gone, is too large, or must not be fetched.
    NoPage,
}

/// Addresses by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub new: u64,
    pub changed: u64,
    pub needless: u64,
    pub unchanged: u64,
    pub no_page: u64,
}

impl Tally {
    pub fn add(&mut self, stored: Stored) {
        *match stored {
            Stored::New => &mut self.new,
            Stored::Changed => &mut self.changed,
            Stored::Needless => &mut self.needless,
            Stored::Unchanged => &mut self.unchanged,
            Stored::NoPage => &mut self.no_page,
        } += 1;
    }

    /// Addresses in all.
    pub fn all(&self) -> u64 {
        let Tally { new, changed, needless, unchanged, no_page } = self;
        new + changed + needless + unchanged + no_page
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { new, changed, needless, unchanged, no_page } = self;
        write!(f, "pages fetched: {} (new {new}, changed {changed}, ", new + changed + needless)?;
        write!(f, "the same again {needless}), not modified: {unchanged}, no page: {no_page}")
    }
}

/// What writes the answer for `target`, as a part of the run: one statement, whatever came.
pub fn store<'a>(run: i64, target: &'a Target, answer: &'a Answer) -> Last<'a, Stored> {
    let id_and_requests = |sql| Last::execute(sql).with(target.id).with(target.requests());
    match answer {
        Answer::Page(page) => write_page(id_and_requests(WRITE_PAGE), run, target, page),
        Answer::Unchanged => id_and_requests(SETTLE).map(|_| Stored::Unchanged),
        Answer::Moved { href, target } => {
            id_and_requests(MOVE).with(href).with(target).map(|_| Stored::NoPage)
        }
        Answer::Missing => id_and_requests(CLEAR).with("missing").map(|_| Stored::NoPage),
        Answer::TooLarge => id_and_requests(CLEAR).with("too large").map(|_| Stored::NoPage),
        Answer::Disallowed => id_and_requests(CLEAR).with("disallowed").map(|_| Stored::NoPage),
    }
}

const SETTLE: &str = "
UPDATE tierpool_web.urls SET state = 'stored', requests = $2, note = NULL WHERE id = $1";

/// Nothing is kept of a page that is no more.
const CLEAR: &str = "
WITH page AS (DELETE FROM tierpool_web.pages WHERE url_id = $1),
     links AS (DELETE FROM tierpool_web.links WHERE url_id = $1)
UPDATE tierpool_web.urls
SET state = $3, requests = $2, etag = NULL, modified = NULL, hash = NULL, note = NULL
WHERE id = $1";

/// As of a page that is no more, but for one link, to where it went. One statement cannot remove a row and write it, so
/// the first link is written over.
const MOVE: &str = "
WITH page AS (DELETE FROM tierpool_web.pages WHERE url_id = $1),
     more AS (DELETE FROM tierpool_web.links WHERE url_id = $1 AND position > 1),
     link AS (
         INSERT INTO tierpool_web.links (url_id, position, href, text, target) VALUES ($1, 1, $3, '', $4)
         ON CONFLICT (url_id, position) DO UPDATE
         SET href = excluded.href, text = excluded.text, target = excluded.target
     )
UPDATE tierpool_web.urls
SET state = 'moved', requests = $2, etag = NULL, modified = NULL, hash = NULL, note = NULL
WHERE id = $1";

/// The links of an earlier version are overwritten, and what it had more is removed.
const WRITE_PAGE: &str = "
WITH url AS (
    UPDATE tierpool_web.urls
    SET state = 'stored', requests = $2, etag = $3, modified = $4, hash = $5, note = NULL
    WHERE id = $1
), more AS (
    DELETE FROM tierpool_web.links WHERE url_id = $1 AND position > cardinality($11::text[])
), links AS (
    INSERT INTO tierpool_web.links AS l (url_id, position, href, text, target)
    SELECT $1, n.position, n.href, n.text, n.target
    FROM unnest($11::text[], $12::text[], $13::text[]) WITH ORDINALITY AS n (href, text, target, position)
    ON CONFLICT (url_id, position) DO UPDATE
    SET href = excluded.href, text = excluded.text, target = excluded.target
)
INSERT INTO tierpool_web.pages (url_id, run, title, outline, words, bytes) VALUES ($1, $6, $7, $8, $9, $10)
ON CONFLICT (url_id) DO UPDATE SET
    run = excluded.run, title = excluded.title, outline = excluded.outline,
    words = excluded.words, bytes = excluded.bytes";

fn write_page<'a>(last: Last<'a, u64>, run: i64, target: &Target, page: &'a Page) -> Last<'a, Stored> {
    let Page { marks: Marks { etag, modified }, hash, document, targets, .. } = page;
    let outline: Vec<String> = document
        .headings
        .iter()
        .map(|heading| {
            format!("{} {}", "#".repeat(usize::try_from(heading.level).unwrap_or(1)), heading.text)
        })
        .collect();
    let bytes = i32::try_from(page.bytes).unwrap_or(i32::MAX);
    let hrefs: Vec<&str> = document.links.iter().map(|link| link.href.as_str()).collect();
    let texts: Vec<&str> = document.links.iter().map(|link| link.text.as_str()).collect();
    let stored = match &target.hash {
        None => Stored::New,
        Some(known) if known == hash => Stored::Needless,
        Some(_) => Stored::Changed,
    };
    let last = last.with(etag).with(modified).with(hash);
    let last = last.with(run).with(&document.title).with(outline).with(document.words).with(bytes);
    last.with(hrefs).with(texts).with(targets).map(move |_| stored)
}
