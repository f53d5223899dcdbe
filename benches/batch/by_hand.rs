//! The main job as a careful user of r2d2 writes it: threads, a common counter, a pool; for each item a transaction,
//! which reads whether the item is there, and writes it and its rows by one statement a table or two.
//!
//! It loses what fails, repeats nothing, and reports nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use postgres::types::ToSql;
use postgres::{Error, NoTls, Row, Statement, Transaction};
use r2d2_postgres::PostgresConnectionManager;

use super::scraper::discover::Item;
use super::scraper::document::Document;
use super::scraper::kind::Kind;
use super::scraper::manifest::Manifest;
use super::scraper::scrape::{Page, Scraped, scrape};

pub type Pool = r2d2::Pool<PostgresConnectionManager<NoTls>>;
type Conn = r2d2::PooledConnection<PostgresConnectionManager<NoTls>>;
type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How statements are run.
#[derive(Clone, Copy)]
pub enum Style {
    /// By their text: the client has the server parse each anew.
    Text,
    /// Each is prepared once for a connection, in whose extensions it is kept: as far as one can go.
    Prepared,
}

/// The statements of a connection, by their text.
#[derive(Default)]
struct Prepared(HashMap<&'static str, Statement>);

/// A transaction in which statements are run.
struct Tx<'a> {
    inner: Transaction<'a>,
    prepared: Option<&'a mut Prepared>,
}

impl Tx<'_> {
    fn rows(&mut self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        let Some(prepared) = &mut self.prepared else { return self.inner.query(sql, params) };
        let known = prepared.0.get(sql).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => prepared.0.entry(sql).or_insert(self.inner.prepare(sql)?).clone(),
        };
        self.inner.query(&statement, params)
    }
}

/// Writes all items, by as many threads as there are connections.
pub fn run(pool: &Pool, items: &[Item], style: Style) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..pool.max_size() {
            scope.spawn(|| {
                // Relaxed: a counter of which every value is drawn once.
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let page = scrape(item).unwrap();
                    write(&mut pool.get().unwrap(), &page, style).unwrap();
                }
            });
        }
    });
}

fn write(conn: &mut Conn, page: &Page, style: Style) -> Result<(), Error> {
    let mut kept = Conn::extensions_mut(conn).remove::<Prepared>().unwrap_or_default();
    {
        let prepared = matches!(style, Style::Prepared).then_some(&mut kept);
        let mut tx = Tx { inner: conn.transaction()?, prepared };
        store(&mut tx, page)?;
        tx.inner.commit()?;
    }
    Conn::extensions_mut(conn).insert(kept);
    Ok(())
}

fn store(tx: &mut Tx<'_>, page: &Page) -> Result<(), Error> {
    let (known, package) = known(tx, page)?;
    if known.as_ref() == Some(&page.hash) {
        return Ok(());
    }
    match &page.scraped {
        Scraped::Manifest(manifest) => write_package(tx, page, manifest),
        Scraped::Document(document) => {
            let package = match (package, page.package.as_deref()) {
                (None, Some(folder)) => Some(place_package(tx, folder)?),
                (package, _) => package,
            };
            write_document(tx, page, package, document)
        }
    }
}

const KNOWN_MANIFEST: &str = "
SELECT manifest_hash, id FROM tierpool_scraper.packages WHERE folder = $1";

const KNOWN_DOCUMENT: &str = "
SELECT (SELECT hash FROM tierpool_scraper.documents WHERE path = $1),
       (SELECT id FROM tierpool_scraper.packages WHERE folder = $2)";

/// The hash the database holds of the item, and the row of its package, as far as there are any.
fn known(tx: &mut Tx<'_>, page: &Page) -> Result<(Option<Vec<u8>>, Option<i64>), Error> {
    let rows = match page.kind {
        Kind::Manifest => tx.rows(KNOWN_MANIFEST, &[&page.package])?,
        _ => tx.rows(KNOWN_DOCUMENT, &[&page.path, &page.package])?,
    };
    Ok(rows.first().map_or((None, None), |row| (row.get(0), row.get(1))))
}

/// The update changes nothing: it makes the statement wait for, and return, a row inserted by another transaction.
const PLACE_PACKAGE: &str = "
INSERT INTO tierpool_scraper.packages AS p (folder) VALUES ($1)
ON CONFLICT (folder) DO UPDATE SET manifest_hash = p.manifest_hash
RETURNING id";

/// Makes the row of a package whose manifest has not been written yet.
fn place_package(tx: &mut Tx<'_>, folder: &str) -> Result<i64, Error> {
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

/// Writes a package with its dependencies.
fn write_package(tx: &mut Tx<'_>, page: &Page, manifest: &Manifest) -> Result<(), Error> {
    let Manifest { name, version, license, description, dependencies } = manifest;
    let rows = tx.rows(UPSERT_PACKAGE, &[&page.package, &page.hash, name, version, license, description])?;
    let Some(row) = rows.first() else { return Ok(()) };
    let id: i64 = row.get(0);
    tx.rows(CLEAR_PACKAGE, &[&id])?;
    if dependencies.is_empty() {
        return Ok(());
    }
    let kinds: Vec<&str> = dependencies.iter().map(|d| d.kind).collect();
    let targets: Vec<&str> = dependencies.iter().map(|d| d.target.as_str()).collect();
    let names: Vec<&str> = dependencies.iter().map(|d| d.name.as_str()).collect();
    let packages: Vec<&str> = dependencies.iter().map(|d| d.package.as_str()).collect();
    let requirements: Vec<Option<&str>> = dependencies.iter().map(|d| d.requirement.as_deref()).collect();
    let optional: Vec<bool> = dependencies.iter().map(|d| d.optional).collect();
    tx.rows(INSERT_DEPENDENCIES, &[&id, &kinds, &targets, &names, &packages, &requirements, &optional])?;
    Ok(())
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

/// Writes a document with its headings and links.
fn write_document(
    tx: &mut Tx<'_>,
    page: &Page,
    package: Option<i64>,
    document: &Document,
) -> Result<(), Error> {
    let kind = page.kind.as_str();
    let rows = tx.rows(
        UPSERT_DOCUMENT,
        &[&page.path, &package, &kind, &page.hash, &page.bytes, &document.title, &document.words],
    )?;
    let Some(row) = rows.first() else { return Ok(()) };
    let id: i64 = row.get(0);
    // A row version that was just inserted has no xmax; one that an upsert replaced carries its own transaction's.
    let is_new: bool = row.get(1);
    if !is_new {
        tx.rows(CLEAR_DOCUMENT, &[&id])?;
    }
    if document.headings.is_empty() && document.links.is_empty() {
        return Ok(());
    }
    let levels: Vec<i16> = document.headings.iter().map(|h| h.level).collect();
    let headings: Vec<&str> = document.headings.iter().map(|h| h.text.as_str()).collect();
    let hrefs: Vec<&str> = document.links.iter().map(|l| l.href.as_str()).collect();
    let texts: Vec<&str> = document.links.iter().map(|l| l.text.as_str()).collect();
    tx.rows(INSERT_PARTS, &[&id, &levels, &headings, &hrefs, &texts])?;
    Ok(())
}
