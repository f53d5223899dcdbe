//! The tables, and how many rows they hold.

use postgres::{Client, Error, GenericClient};

use super::tables;

/// Any fixed number: two programs that make the tables at the same time take turns on it.
const LOCK: i64 = 0x7469_6572_7363;

/// A document's package row may come from the document itself, before the manifest is read, so that items can be
/// written in any order; `manifest_hash` is null until then.
const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS tierpool_scraper;
CREATE TABLE IF NOT EXISTS tierpool_scraper.packages (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    folder        text NOT NULL UNIQUE,
    manifest_hash bytea,
    name          text,
    version       text,
    license       text,
    description   text
);
CREATE TABLE IF NOT EXISTS tierpool_scraper.dependencies (
    package_id  bigint NOT NULL REFERENCES tierpool_scraper.packages ON DELETE CASCADE,
    kind        text NOT NULL CHECK (kind IN ('normal', 'dev', 'build')),
    target      text NOT NULL,
    name        text NOT NULL,
    package     text NOT NULL,
    requirement text,
    optional    boolean NOT NULL,
    PRIMARY KEY (package_id, kind, target, name)
);
CREATE TABLE IF NOT EXISTS tierpool_scraper.documents (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path       text NOT NULL UNIQUE,
    package_id bigint REFERENCES tierpool_scraper.packages ON DELETE CASCADE,
    kind       text NOT NULL,
    hash       bytea NOT NULL,
    bytes      integer NOT NULL,
    title      text,
    words      integer NOT NULL
);
CREATE INDEX IF NOT EXISTS documents_package ON tierpool_scraper.documents (package_id);
CREATE TABLE IF NOT EXISTS tierpool_scraper.headings (
    document_id bigint NOT NULL REFERENCES tierpool_scraper.documents ON DELETE CASCADE,
    position    integer NOT NULL,
    level       smallint NOT NULL CHECK (level BETWEEN 1 AND 6),
    text        text NOT NULL,
    PRIMARY KEY (document_id, position)
);
CREATE TABLE IF NOT EXISTS tierpool_scraper.links (
    document_id bigint NOT NULL REFERENCES tierpool_scraper.documents ON DELETE CASCADE,
    position    integer NOT NULL,
    href        text NOT NULL,
    text        text NOT NULL,
    PRIMARY KEY (document_id, position)
);
";

/// Makes the tables that are missing.
///
/// # Errors
/// The server's own, such as a role without the right to create.
pub fn create(client: &mut Client) -> Result<(), Error> {
    tables::make(client, LOCK, TABLES)
}

/// The tables in the order in which they are reported.
pub const NAMES: [&str; 5] = ["packages", "dependencies", "documents", "headings", "links"];

/// Counts the rows of every table, in the order of [`NAMES`].
///
/// # Errors
/// The server's own.
pub fn counts(client: &mut impl GenericClient) -> Result<[i64; 5], Error> {
    let columns = NAMES.map(|name| format!("(SELECT count(*) FROM tierpool_scraper.{name})"));
    let row = client.query_one(&format!("SELECT {}", columns.join(", ")), &[])?;
    Ok(std::array::from_fn(|column| row.get(column)))
}
