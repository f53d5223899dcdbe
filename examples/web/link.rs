//! What the links of a page lead to.

use fluent_uri::{Uri, UriRef};

/// Longer addresses are traps rather than pages.
const LONGEST: usize = 1_024;

/// The address that `href` means on the page `base`: normalized and without its fragment, so that one page has one
/// address. `None` where it is none, or leads to a host that `is_ours` does not take.
pub fn resolve(base: &Uri<&str>, href: &str, is_ours: impl Fn(&str) -> bool) -> Option<String> {
    let reference = UriRef::parse(href.trim()).ok()?;
    let mut target = reference.resolve_against(base).ok()?.normalize();
    target.set_fragment(None);
    let host = target.authority()?.as_str();
    let is_page = target.scheme().as_str() == "http" && is_ours(host) && target.as_str().len() <= LONGEST;
    if !is_page {
        return None;
    }
    // "http://host" and "http://host/" are one page.
    let root = target.path().as_str().is_empty().then(|| {
        let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("http://{host}/{query}")
    });
    Some(root.unwrap_or_else(|| target.into_string()))
}

/// Host and path of an address, the path with its query.
pub fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let at = rest.find('/')?;
    Some(rest.split_at(at))
}

#[cfg(test)]
mod tests {
    use fluent_uri::Uri;

    use super::{resolve, split};

    #[test]
    fn one_page_has_one_address_and_others_hosts_have_none() {
        let base = Uri::parse("http://a.test/pages/7").unwrap();
        let resolved = |href| resolve(&base, href, |host| host.ends_with(".test"));
        for (href, expected) in [
            ("../pages/./8#part", Some("http://a.test/pages/8")),
            ("9", Some("http://a.test/pages/9")),
            ("/?q=1", Some("http://a.test/?q=1")),
            ("HTTP://B.TEST:80", Some("http://b.test/")),
            ("", Some("http://a.test/pages/7")),
            ("mailto:x@a.test", None),
            ("https://a.test/", None),
            ("http://elsewhere.example/", None),
            ("http://[", None),
            ("a b", None),
        ] {
            assert_eq!(resolved(href).as_deref(), expected, "{href:?}");
        }
        assert_eq!(resolved(&format!("/{}", "x".repeat(2_000))), None);
        assert_eq!(split("http://a.test/x?y"), Some(("a.test", "/x?y")));
    }
}
