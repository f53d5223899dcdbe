//! The tables, and how many rows they hold.

use postgres::{Client, Error, GenericClient};

use super::tables;

/// Any fixed number: two programs that make the tables at the same time take turns on it.
const LOCK: i64 = 0x7469_6572_7765;

/// `urls` is the frontier: whatever is pending there is to be fetched, also by the next program. A link comes with its
/// page, in one transaction, and its target into `urls` ahead of the next wave: no two writers ever meet on a row. Of
/// another web than its own a run goes on with nothing.
const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS tierpool_web;
CREATE TABLE IF NOT EXISTS tierpool_web.runs (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun timestamptz NOT NULL DEFAULT now(),
    ended timestamptz,
    web   text
);
ALTER TABLE tierpool_web.runs ADD COLUMN IF NOT EXISTS web text;
CREATE TABLE IF NOT EXISTS tierpool_web.urls (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url      text NOT NULL UNIQUE,
    depth    integer NOT NULL,
    state    text NOT NULL DEFAULT 'pending'
             CHECK (state IN ('pending', 'stored', 'moved', 'missing', 'too large', 'disallowed', 'failed')),
    requests integer NOT NULL DEFAULT 0,
    etag     text,
    modified text,
    hash     bytea,
    note     text
);
CREATE INDEX IF NOT EXISTS urls_pending ON tierpool_web.urls (depth, id) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS tierpool_web.pages (
    url_id  bigint PRIMARY KEY REFERENCES tierpool_web.urls ON DELETE CASCADE,
    run     bigint NOT NULL REFERENCES tierpool_web.runs,
    title   text,
    outline text[] NOT NULL,
    words   integer NOT NULL,
    bytes   integer NOT NULL
);
CREATE TABLE IF NOT EXISTS tierpool_web.links (
    url_id   bigint NOT NULL REFERENCES tierpool_web.urls ON DELETE CASCADE,
    position integer NOT NULL,
    href     text NOT NULL,
    text     text NOT NULL,
    target   text,
    PRIMARY KEY (url_id, position)
);
";

/// Makes the tables that are missing.
///
/// # Errors
/// The server's own, such as a role without the right to create.
pub fn create(client: &mut Client) -> Result<(), Error> {
    tables::make(client, LOCK, TABLES)
}

/// What the tables hold.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Addresses by their state.
    pub urls: Vec<(String, i64)>,
    pub pages: i64,
    pub links: i64,
}

/// Counts the rows.
///
/// # Errors
/// The server's own.
pub fn counts(client: &mut impl GenericClient) -> Result<Counts, Error> {
    let urls = client.query("SELECT state, count(*) FROM tierpool_web.urls GROUP BY 1 ORDER BY 1", &[])?;
    let sql = "SELECT (SELECT count(*) FROM tierpool_web.pages), (SELECT count(*) FROM tierpool_web.links)";
    let row = client.query_one(sql, &[])?;
    let urls = urls.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(Counts { urls, pages: row.get(0), links: row.get(1) })
}
