//! The module documentation at the top of Rust source files, which is Markdown.

/// Extracts the inner documentation (`//!`) a source file begins with.
///
/// Blank lines, other comments and inner attributes may stand before and between; the first line of code ends it.
/// `None` for a file without any.
pub fn module_docs(source: &str) -> Option<String> {
    let mut docs = String::new();
    for line in source.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if let Some(text) = line.strip_prefix("//!") {
            docs.push_str(text.strip_prefix(' ').unwrap_or(text));
            docs.push('\n');
        } else if !(line.is_empty() || line.starts_with("//") || line.starts_with("#!")) {
            break;
        }
    }
    (!docs.trim().is_empty()).then_some(docs)
}

#[cfg(test)]
mod tests {
    use super::module_docs;

    #[test]
    fn takes_the_inner_documentation_only() {
        let source =
            "// licence\n#![no_std]\n\n//! # Title\n//!\n//!   indented\nuse std::fmt;\n//! not this\n";
        assert_eq!(module_docs(source).as_deref(), Some("# Title\n\n  indented\n"));
        assert_eq!(module_docs("/// outer\nfn f() {}\n"), None);
        assert_eq!(module_docs("//!\n//!\n"), None);
    }
}
