//! What a host's `robots.txt` allows, as RFC 9309 says, with `Crawl-delay` besides.

use std::time::Duration;

/// A longer pause than this between two requests is taken for this: no page is worth a thread for longer.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// The rules of one host for one robot.
#[derive(Debug, Default, PartialEq)]
pub struct Robots {
    rules: Vec<Rule>,
    /// The least time between two requests that it asks for, 10 s at the most.
    pub delay: Option<Duration>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    allows: bool,
    pattern: String,
}

impl Robots {
    /// Reads the rules for `robot` from the text: those of the groups that name it, else of those for all.
    pub fn parse(text: &str, robot: &str) -> Robots {
        let (mut own, mut general) = (None, None);
        let mut named: Vec<String> = Vec::new();
        let mut in_names = false;
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if key == "user-agent" {
                // Names that follow each other share the rules after them.
                if !in_names {
                    named.clear();
                }
                named.push(value.to_ascii_lowercase());
                in_names = true;
                continue;
            }
            in_names = false;
            for name in &named {
                let group = match name.as_str() {
                    "*" => &mut general,
                    name if name == robot.to_ascii_lowercase() => &mut own,
                    _ => continue,
                };
                group.get_or_insert_with(Robots::default).add(&key, value);
            }
        }
        own.or(general).unwrap_or_default()
    }

    fn add(&mut self, key: &str, value: &str) {
        match key {
            // Without a value a rule is none.
            "allow" | "disallow" if !value.is_empty() => {
                self.rules.push(Rule { allows: key == "allow", pattern: value.to_owned() });
            }
            "crawl-delay" => {
                let seconds = value.parse().ok().filter(|seconds: &f64| *seconds > 0.0);
                let delay = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                self.delay = delay.map(|delay| delay.min(LONGEST_DELAY)).or(self.delay);
            }
            _ => {}
        }
    }

    /// Whether `path`, with its query, may be fetched: as the longest rule that fits says, and where two are as long,
    /// the one that allows.
    pub fn allows(&self, path: &str) -> bool {
        let fitting = self.rules.iter().filter(|rule| fits(&rule.pattern, path));
        fitting.max_by_key(|rule| (rule.pattern.len(), rule.allows)).is_none_or(|rule| rule.allows)
    }
}

/// Whether `path` begins as the pattern says; `*` stands for any text, and `$` for the end.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, to_the_end) = match pattern.strip_suffix('$') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let mut pieces = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return !to_the_end || rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if to_the_end && pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The earliest place leaves the most for the pieces that follow.
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Robots;

    #[test]
    fn the_longest_rule_decides_and_of_equal_ones_the_one_that_allows() {
        let robots =
            Robots::parse("User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /c\nAllow: /c\n", "me");
        for (path, allowed) in [("/a", false), ("/a/x", false), ("/a/b/c", true), ("/c", true), ("/", true)] {
            assert_eq!(robots.allows(path), allowed, "{path}");
        }
    }

    #[test]
    fn stars_and_ends_are_understood() {
        let robots =
            Robots::parse("user-agent:*\ndisallow: /*.php$\ndisallow: /x*y*z\ndisallow: /end$", "me");
        for (path, allowed) in [
            ("/a.php", false),
            ("/a.php?x", true),
            ("/a.php/b.php", false),
            ("/x1y2z3", false),
            ("/xyx", true),
            ("/end", false),
            ("/end/", true),
        ] {
            assert_eq!(robots.allows(path), allowed, "{path}");
        }
    }

    #[test]
    fn a_group_of_ones_own_counts_alone_and_groups_may_share_rules() {
        let text = "User-agent: *\nDisallow: /\n\nUser-agent: other\nUser-agent: ME # by name\nDisallow: /x\n\
                    Crawl-delay: 0.5\nCrawl-delay: none\n";
        let (mine, anybody) = (Robots::parse(text, "me"), Robots::parse(text, "nobody"));
        assert!(mine.allows("/") && !mine.allows("/x"));
        assert_eq!(mine.delay, Some(Duration::from_millis(500)));
        assert!(!anybody.allows("/") && anybody.delay.is_none());
        assert!(Robots::parse("<html>nonsense: 1</html>\nDisallow: /\n", "me").allows("/"));
        assert!(Robots::parse("User-agent: *\nDisallow:\n", "me").allows("/x"));
        assert_eq!(
            Robots::parse("User-agent: *\nCrawl-delay: 1e300", "me").delay,
            None,
            "a number beyond every duration is no number of seconds"
        );
    }
}
