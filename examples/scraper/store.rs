//! Writes one item to the tables, and only what changed.
//!
//! An unchanged item costs one read; a new document three round trips, however many headings and links it has.
//!
//! Two writers cannot deadlock, where each transaction writes one item: it locks at most one row of `packages`, then at
//! most one of `documents`, then rows below that one. Groups of items cannot either once their packages are
//! [placed](place_packages): then no two items of a run write to one row.

use tierpool::PgError;

use super::document::Document;
use super::kind::Kind;
use super::manifest::Manifest;
use super::scrape::{Page, Scraped};
use super::statements::Statements;

/// What writing an item did to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Inserted,
    Updated,
    /// The database held the same content already; nothing was written.
    Unchanged,
}

/// Writes `page` in the transaction `tx`.
///
/// # Blocking
/// For the server's replies.
///
/// # Errors
/// The server's own; the caller rolls back.
pub fn store(tx: &mut impl Statements, page: &Page) -> Result<Change, PgError> {
    let (known, package) = known(tx, page)?;
    if known.as_ref() == Some(&page.hash) {
        return Ok(Change::Unchanged);
    }
    let written = match &page.scraped {
        Scraped::Manifest(manifest) => write_package(tx, page, manifest)?,
        Scraped::Document(document) => {
            let package = match (package, page.package.as_deref()) {
                (None, Some(folder)) => Some(place_package(tx, folder)?),
                (package, _) => package,
            };
            write_document(tx, page, package, document)?
        }
    };
    Ok(match (written, known) {
        // Another program wrote the same content since the row was read.
        (false, _) => Change::Unchanged,
        (true, None) => Change::Inserted,
        (true, Some(_)) => Change::Updated,
    })
}

const KNOWN_MANIFEST: &str = "
SELECT manifest_hash, id FROM tierpool_scraper.packages WHERE folder = $1";

const KNOWN_DOCUMENT: &str = "
SELECT (SELECT hash FROM tierpool_scraper.documents WHERE path = $1),
       (SELECT id FROM tierpool_scraper.packages WHERE folder = $2)";

/// The hash the database holds of the item, and the row of its package, as far as there are any.
fn known(tx: &mut impl Statements, page: &Page) -> Result<(Option<Vec<u8>>, Option<i64>), PgError> {
    let rows = match page.kind {
        Kind::Manifest => tx.rows(KNOWN_MANIFEST, &[&page.package])?,
        _ => tx.rows(KNOWN_DOCUMENT, &[&page.path, &page.package])?,
    };
    Ok(rows.first().map_or((None, None), |row| (row.get(0), row.get(1))))
}

/// In one order, so that two programs that place the same packages take turns.
const PLACE_PACKAGES: &str = "
INSERT INTO tierpool_scraper.packages (folder)
SELECT DISTINCT f FROM unnest($1::text[]) AS f ORDER BY f
ON CONFLICT (folder) DO NOTHING";

/// Makes the rows of packages ahead of their manifests and documents.
///
/// # Errors
/// The server's.
pub fn place_packages(tx: &mut impl Statements, folders: &[&str]) -> Result<(), PgError> {
    tx.rows(PLACE_PACKAGES, &[&folders]).map(drop)
}

/// The update changes nothing: it makes the statement wait for, and return, a row inserted by another transaction.
const PLACE_PACKAGE: &str = "
INSERT INTO tierpool_scraper.packages AS p (folder) VALUES ($1)
ON CONFLICT (folder) DO UPDATE SET manifest_hash = p.manifest_hash
RETURNING id";

/// Makes the row of a package whose manifest has not been written yet.
fn place_package(tx: &mut impl Statements, folder: &str) -> Result<i64, PgError> {
    let rows = tx.rows(PLACE_PACKAGE, &[&folder])?;
    Ok(rows.first().expect("an upsert that always writes returns its row").get(0))
}

const UPSERT_PACKAGE: &str = "
INSERT INTO tierpool_scraper.packages AS p (folder, manifest_hash, name, version, license, description)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (folder) DO UPDATE SET
    manifest_hash = excluded.manifest_hash, name = excluded.name, version = excluded.version,
    license = excluded.license, description = excluded.description
WHERE p.manifest_hash IS DISTINCT FROM excluded.manifest_hash
RETURNING id";

const CLEAR_PACKAGE: &str = "DELETE FROM tierpool_scraper.dependencies WHERE package_id = $1";

const INSERT_DEPENDENCIES: &str = "
INSERT INTO tierpool_scraper.dependencies (package_id, kind, target, name, package, requirement, optional)
SELECT $1, d.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[]) AS d";

/// Writes a package with its dependencies; `false` when the row was the same already.
fn write_package(tx: &mut impl Statements, page: &Page, manifest: &Manifest) -> Result<bool, PgError> {
    let Manifest { name, version, license, description, dependencies } = manifest;
    let rows = tx.rows(UPSERT_PACKAGE, &[&page.package, &page.hash, name, version, license, description])?;
    let Some(row) = rows.first() else { return Ok(false) };
    let id: i64 = row.get(0);
    tx.rows(CLEAR_PACKAGE, &[&id])?;
    if dependencies.is_empty() {
        return Ok(true);
    }
    let kinds: Vec<&str> = dependencies.iter().map(|d| d.kind).collect();
    let targets: Vec<&str> = dependencies.iter().map(|d| d.target.as_str()).collect();
    let names: Vec<&str> = dependencies.iter().map(|d| d.name.as_str()).collect();
    let packages: Vec<&str> = dependencies.iter().map(|d| d.package.as_str()).collect();
    let requirements: Vec<Option<&str>> = dependencies.iter().map(|d| d.requirement.as_deref()).collect();
    let optional: Vec<bool> = dependencies.iter().map(|d| d.optional).collect();
    tx.rows(INSERT_DEPENDENCIES, &[&id, &kinds, &targets, &names, &packages, &requirements, &optional])?;
    Ok(true)
}

const UPSERT_DOCUMENT: &str = "
INSERT INTO tierpool_scraper.documents AS d (path, package_id, kind, hash, bytes, title, words)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (path) DO UPDATE SET
    package_id = excluded.package_id, kind = excluded.kind, hash = excluded.hash,
    bytes = excluded.bytes, title = excluded.title, words = excluded.words
WHERE d.hash IS DISTINCT FROM excluded.hash
RETURNING id, xmax = 0 AS is_new";

const CLEAR_DOCUMENT: &str = "
WITH headings AS (DELETE FROM tierpool_scraper.headings WHERE document_id = $1)
DELETE FROM tierpool_scraper.links WHERE document_id = $1";

const INSERT_PARTS: &str = "
WITH headings AS (
    INSERT INTO tierpool_scraper.headings (document_id, position, level, text)
    SELECT $1, h.position, h.level, h.text
    FROM unnest($2::smallint[], $3::text[]) WITH ORDINALITY AS h (level, text, position)
)
INSERT INTO tierpool_scraper.links (document_id, position, href, text)
SELECT $1, l.position, l.href, l.text
FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS l (href, text, position)";

/// Writes a document with its headings and links; `false` when the row was the same already.
fn write_document(
    tx: &mut impl Statements,
    page: &Page,
    package: Option<i64>,
    document: &Document,
) -> Result<bool, PgError> {
    let kind = page.kind.as_str();
    let rows = tx.rows(
        UPSERT_DOCUMENT,
        &[&page.path, &package, &kind, &page.hash, &page.bytes, &document.title, &document.words],
    )?;
    let Some(row) = rows.first() else { return Ok(false) };
    let id: i64 = row.get(0);
    // A row version that was just inserted has no xmax; one that an upsert replaced carries its own transaction's.
    let is_new: bool = row.get(1);
    if !is_new {
        tx.rows(CLEAR_DOCUMENT, &[&id])?;
    }
    if document.headings.is_empty() && document.links.is_empty() {
        return Ok(true);
    }
    let levels: Vec<i16> = document.headings.iter().map(|h| h.level).collect();
    let headings: Vec<&str> = document.headings.iter().map(|h| h.text.as_str()).collect();
    let hrefs: Vec<&str> = document.links.iter().map(|l| l.href.as_str()).collect();
    let texts: Vec<&str> = document.links.iter().map(|l| l.text.as_str()).collect();
    tx.rows(INSERT_PARTS, &[&id, &levels, &headings, &hrefs, &texts])?;
    Ok(true)
}
