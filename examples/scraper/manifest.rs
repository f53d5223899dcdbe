//! Cargo manifests.

use toml::{Table, Value};

use super::document::storable;

/// What is kept of a `Cargo.toml`.
#[derive(Debug, PartialEq, Eq)]
pub struct Manifest {
    pub name: String,
    /// `None` for an unpublished package, which may leave it out.
    pub version: Option<String>,
    pub license: Option<String>,
    pub description: Option<String>,
    pub dependencies: Vec<Dependency>,
}

/// One entry of a dependency table; `kind`, `target` and `name` are unique together within a manifest.
#[derive(Debug, PartialEq, Eq)]
pub struct Dependency {
    /// `normal`, `dev` or `build`.
    pub kind: &'static str,
    /// The `cfg(…)` or triple it is limited to; empty for every target.
    pub target: String,
    /// The name used in the manifest.
    pub name: String,
    /// The package it stands for, the same as `name` unless renamed.
    pub package: String,
    /// `None` where the source is a path or a repository alone.
    pub requirement: Option<String>,
    pub optional: bool,
}

/// Reads a manifest.
///
/// # Errors
/// Text that is not TOML, a manifest without a package, values inherited from a workspace, and values of a wrong type;
/// all faults, one line each.
pub fn scrape(source: &str) -> Result<Manifest, Vec<String>> {
    let root: Table = source.parse().map_err(|error: toml::de::Error| vec![not_toml(source, &error)])?;
    let Some(package) = root.get("package").or_else(|| root.get("project")).and_then(Value::as_table) else {
        let kind =
            if root.contains_key("workspace") { "a workspace without a package" } else { "no package" };
        return Err(vec![format!("the manifest has no [package] table: {kind}")]);
    };
    let mut faults = Vec::new();
    let name = text(package, "name", "package", &mut faults);
    if name.is_none() && faults.is_empty() {
        faults.push("package.name is missing".into());
    }
    let manifest = Manifest {
        name: name.unwrap_or_default(),
        version: text(package, "version", "package", &mut faults),
        license: text(package, "license", "package", &mut faults),
        description: text(package, "description", "package", &mut faults),
        dependencies: dependencies(&root, &mut faults),
    };
    if faults.is_empty() { Ok(manifest) } else { Err(faults) }
}

/// One line; the parser's own message draws the place over several.
fn not_toml(source: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| source.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("not TOML, line {line}: {}", error.message().replace('\n', " "))
}

fn text(table: &Table, key: &str, place: &str, faults: &mut Vec<String>) -> Option<String> {
    match table.get(key)? {
        Value::String(text) => Some(storable(text)),
        Value::Table(inner) if inner.get("workspace").and_then(Value::as_bool) == Some(true) => {
            faults.push(format!("{place}.{key} is inherited from a workspace, which is not resolved"));
            None
        }
        other => {
            faults.push(format!("{place}.{key} is of type {}; allowed is a string", other.type_str()));
            None
        }
    }
}

/// The tables that hold dependencies, older spellings included.
const TABLES: [(&str, &str); 5] = [
    ("dependencies", "normal"),
    ("dev-dependencies", "dev"),
    ("dev_dependencies", "dev"),
    ("build-dependencies", "build"),
    ("build_dependencies", "build"),
];

fn dependencies(root: &Table, faults: &mut Vec<String>) -> Vec<Dependency> {
    let mut found = Vec::new();
    let targets = root.get("target").and_then(Value::as_table).into_iter().flatten();
    let targets = targets.filter_map(|(target, tables)| Some((target.as_str(), tables.as_table()?)));
    for (target, tables) in std::iter::once(("", root)).chain(targets) {
        for (table, kind) in TABLES {
            for (name, value) in tables.get(table).and_then(Value::as_table).into_iter().flatten() {
                found.extend(dependency(table, kind, target, name, value, faults));
            }
        }
    }
    found.sort_by(|a, b| (a.kind, &a.target, &a.name).cmp(&(b.kind, &b.target, &b.name)));
    // Both spellings of a table may name the same crate; the key of the database allows it once.
    found.dedup_by(|a, b| (a.kind, &a.target, &a.name) == (b.kind, &b.target, &b.name));
    found
}

fn dependency(
    table: &str,
    kind: &'static str,
    target: &str,
    name: &str,
    value: &Value,
    faults: &mut Vec<String>,
) -> Option<Dependency> {
    let place = format!("{table}.{name}");
    let (package, requirement, optional) = match value {
        Value::String(requirement) => (None, Some(storable(requirement)), false),
        Value::Table(entry) if entry.contains_key("workspace") => {
            faults.push(format!("{place} is inherited from a workspace, which is not resolved"));
            return None;
        }
        Value::Table(entry) => (
            text(entry, "package", &place, faults),
            text(entry, "version", &place, faults),
            entry.get("optional").and_then(Value::as_bool).unwrap_or(false),
        ),
        other => {
            faults.push(format!("{place} is of type {}; allowed is a string or a table", other.type_str()));
            return None;
        }
    };
    let name = storable(name);
    let package = package.unwrap_or_else(|| name.clone());
    Some(Dependency { kind, target: storable(target), name, package, requirement, optional })
}

#[cfg(test)]
mod tests {
    use super::scrape;

    #[test]
    fn reads_a_manifest_with_every_kind_of_dependency() {
        let source = "[package]\nname = 'a'\nversion = '1.2.3'\nlicense = 'MIT'\n\
            [dependencies]\nb = '1'\nd = { package = 'c', version = '2', optional = true }\np = { path = '../p' }\n\
            [dev-dependencies]\nb = '3'\n[target.'cfg(unix)'.build-dependencies.e]\nversion = '4'\n";
        let manifest = scrape(source).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.as_deref()), ("a", Some("1.2.3")));
        assert_eq!((manifest.license.as_deref(), manifest.description), (Some("MIT"), None));
        let found: Vec<_> = manifest
            .dependencies
            .iter()
            .map(|d| (d.kind, &*d.target, &*d.name, &*d.package, d.requirement.as_deref(), d.optional))
            .collect();
        assert_eq!(
            found,
            [
                ("build", "cfg(unix)", "e", "e", Some("4"), false),
                ("dev", "", "b", "b", Some("3"), false),
                ("normal", "", "b", "b", Some("1"), false),
                ("normal", "", "d", "c", Some("2"), true),
                ("normal", "", "p", "p", None, false),
            ]
        );
    }

    #[test]
    fn odd_manifests_give_all_their_faults() {
        let faults = scrape(
            "[package]\nname = 7\nversion.workspace = true\n[dependencies]\na.workspace = true\nb = 1\n",
        )
        .unwrap_err()
        .join("\n");
        for expected in [
            "package.name is of type integer",
            "package.version is inherited",
            "dependencies.a",
            "dependencies.b",
        ] {
            assert!(faults.contains(expected), "{expected:?} is missing in: {faults}");
        }
        let one_line = |source: &str| {
            let faults = scrape(source).unwrap_err();
            assert_eq!((faults.len(), faults[0].lines().count()), (1, 1), "{faults:?}");
            faults[0].clone()
        };
        assert!(one_line("[workspace]\n").contains("workspace without a package"));
        assert!(one_line("package = 1\n").contains("no [package] table"));
        assert!(one_line("[package]\n\n= x\n").contains("line 3"));
        assert!(one_line("[package]\n").contains("package.name is missing"));
    }
}
