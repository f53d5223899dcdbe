//! Writes one item to the tables, and only what changed: by one statement, however many rows it has, so that it can be
//! the last of a session and share its round trip with COMMIT.
//!
//! Each statement reads what the tables hold, writes nothing where that is the same, and else the item's own row and
//! those below it. All its parts see the tables as they were when it began, so rows that stay are written over and
//! only those beyond them are removed: no row is written twice.
//!
//! Two writers cannot deadlock, where each transaction writes one item: it locks at most one row of `packages`, then at
//! most one of `documents`, then rows below that one. Groups of items cannot either once their packages are
//! [placed](place_packages): then no two items of a run write to one row.

use postgres::Row;
use tierpool::postgres::Last;

use super::document::Document;
use super::manifest::Manifest;
use super::scrape::{Page, Scraped};

/// What writing an item did to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Inserted,
    Updated,
    /// Nothing was written: the database held the same content already, or another program wrote the item since the
    /// statement began, and its content stays.
    Unchanged,
}

/// What writes `page`.
pub fn store(page: &Page) -> Last<'_, Change> {
    let last = match &page.scraped {
        Scraped::Manifest(manifest) => write_manifest(page, manifest),
        Scraped::Document(document) => write_document(page, document),
    };
    last.map(|rows| change(&rows))
}

/// In one order, so that two programs that place the same packages take turns.
const PLACE_PACKAGES: &str = "
INSERT INTO tierpool_scraper.packages (folder)
SELECT DISTINCT f FROM unnest($1::text[]) AS f ORDER BY f
ON CONFLICT (folder) DO NOTHING";

/// What makes the rows of packages ahead of their manifests and documents.
pub fn place_packages<'a>(folders: &'a [&'a str]) -> Last<'a, u64> {
    Last::execute(PLACE_PACKAGES).with(folders)
}

/// A row that is no more as `known` has seen it belongs to another program's transaction, committed meanwhile. Its
/// dependencies cannot be seen from here and so not be removed: it is left as it is.
const WRITE_MANIFEST: &str = "
WITH known AS (
    SELECT manifest_hash FROM tierpool_scraper.packages WHERE folder = $1
), package AS (
    INSERT INTO tierpool_scraper.packages AS p (folder, manifest_hash, name, version, license, description)
    SELECT $1, $2, $3, $4, $5, $6
    WHERE NOT EXISTS (SELECT FROM known WHERE manifest_hash = $2)
    ON CONFLICT (folder) DO UPDATE SET
        manifest_hash = excluded.manifest_hash, name = excluded.name, version = excluded.version,
        license = excluded.license, description = excluded.description
    WHERE p.manifest_hash IS NOT DISTINCT FROM (SELECT manifest_hash FROM known)
    RETURNING id
), listed AS (
    SELECT package.id, d.* FROM package,
        unnest($7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::boolean[])
        AS d (kind, target, name, package, requirement, optional)
), removed AS (
    DELETE FROM tierpool_scraper.dependencies AS d USING package
    WHERE d.package_id = package.id AND NOT EXISTS (
        SELECT FROM listed WHERE (listed.kind, listed.target, listed.name) = (d.kind, d.target, d.name))
), written AS (
    INSERT INTO tierpool_scraper.dependencies AS d
        (package_id, kind, target, name, package, requirement, optional)
    SELECT * FROM listed
    ON CONFLICT (package_id, kind, target, name) DO UPDATE SET
        package = excluded.package, requirement = excluded.requirement, optional = excluded.optional
    WHERE (d.package, d.requirement, d.optional)
        IS DISTINCT FROM (excluded.package, excluded.requirement, excluded.optional)
)
SELECT EXISTS (SELECT FROM package), EXISTS (SELECT FROM known WHERE manifest_hash IS NOT NULL)";

fn write_manifest<'a>(page: &'a Page, manifest: &'a Manifest) -> Last<'a, Vec<Row>> {
    let Manifest { name, version, license, description, dependencies } = manifest;
    let kinds: Vec<&str> = dependencies.iter().map(|d| d.kind).collect();
    let targets: Vec<&str> = dependencies.iter().map(|d| d.target.as_str()).collect();
    let names: Vec<&str> = dependencies.iter().map(|d| d.name.as_str()).collect();
    let packages: Vec<&str> = dependencies.iter().map(|d| d.package.as_str()).collect();
    let requirements: Vec<Option<&str>> = dependencies.iter().map(|d| d.requirement.as_deref()).collect();
    let optional: Vec<bool> = dependencies.iter().map(|d| d.optional).collect();
    Last::query(WRITE_MANIFEST)
        .with(&page.package)
        .with(&page.hash)
        .with(name)
        .with(version)
        .with(license)
        .with(description)
        .with(kinds)
        .with(targets)
        .with(names)
        .with(packages)
        .with(requirements)
        .with(optional)
}

/// A package without a row is given one: its update changes nothing and makes the statement wait for, and return, a row
/// inserted by another transaction. As in [`WRITE_MANIFEST`], another program's document stays.
const WRITE_DOCUMENT: &str = "
WITH known AS (
    SELECT hash FROM tierpool_scraper.documents WHERE path = $1
), news AS (
    SELECT WHERE NOT EXISTS (SELECT FROM known WHERE hash = $4)
), package AS (
    SELECT id FROM tierpool_scraper.packages WHERE folder = $2
), placed AS (
    INSERT INTO tierpool_scraper.packages AS p (folder)
    SELECT $2 FROM news WHERE $2 IS NOT NULL AND NOT EXISTS (SELECT FROM package)
    ON CONFLICT (folder) DO UPDATE SET manifest_hash = p.manifest_hash
    RETURNING id
), document AS (
    INSERT INTO tierpool_scraper.documents AS d (path, package_id, kind, hash, bytes, title, words)
    SELECT $1, (SELECT id FROM package UNION ALL SELECT id FROM placed), $3, $4, $5, $6, $7 FROM news
    ON CONFLICT (path) DO UPDATE SET
        package_id = excluded.package_id, kind = excluded.kind, hash = excluded.hash,
        bytes = excluded.bytes, title = excluded.title, words = excluded.words
    WHERE d.hash = (SELECT hash FROM known)
    RETURNING id
), fewer_headings AS (
    DELETE FROM tierpool_scraper.headings AS h USING document
    WHERE h.document_id = document.id AND h.position > cardinality($8::smallint[])
), headings AS (
    INSERT INTO tierpool_scraper.headings AS h (document_id, position, level, text)
    SELECT document.id, n.position, n.level, n.text
    FROM document, unnest($8::smallint[], $9::text[]) WITH ORDINALITY AS n (level, text, position)
    ON CONFLICT (document_id, position) DO UPDATE SET level = excluded.level, text = excluded.text
    WHERE (h.level, h.text) IS DISTINCT FROM (excluded.level, excluded.text)
), fewer_links AS (
    DELETE FROM tierpool_scraper.links AS l USING document
    WHERE l.document_id = document.id AND l.position > cardinality($10::text[])
), links AS (
    INSERT INTO tierpool_scraper.links AS l (document_id, position, href, text)
    SELECT document.id, n.position, n.href, n.text
    FROM document, unnest($10::text[], $11::text[]) WITH ORDINALITY AS n (href, text, position)
    ON CONFLICT (document_id, position) DO UPDATE SET href = excluded.href, text = excluded.text
    WHERE (l.href, l.text) IS DISTINCT FROM (excluded.href, excluded.text)
)
SELECT EXISTS (SELECT FROM document), EXISTS (SELECT FROM known)";

fn write_document<'a>(page: &'a Page, document: &'a Document) -> Last<'a, Vec<Row>> {
    let levels: Vec<i16> = document.headings.iter().map(|h| h.level).collect();
    let headings: Vec<&str> = document.headings.iter().map(|h| h.text.as_str()).collect();
    let hrefs: Vec<&str> = document.links.iter().map(|l| l.href.as_str()).collect();
    let texts: Vec<&str> = document.links.iter().map(|l| l.text.as_str()).collect();
    Last::query(WRITE_DOCUMENT)
        .with(&page.path)
        .with(&page.package)
        .with(page.kind.as_str())
        .with(&page.hash)
        .with(page.bytes)
        .with(&document.title)
        .with(document.words)
        .with(levels)
        .with(headings)
        .with(hrefs)
        .with(texts)
}

/// What a statement says of itself: whether it wrote, and whether there was an older version.
fn change(rows: &[Row]) -> Change {
    let row = rows.first().expect("a SELECT without FROM returns one row");
    match (row.get(0), row.get(1)) {
        (false, _) => Change::Unchanged,
        (true, false) => Change::Inserted,
        (true, true) => Change::Updated,
    }
}
