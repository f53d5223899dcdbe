//! Providers of databases, known by their hosts, and what each says to set so that a connection is encrypted and leads
//! nowhere else.

/// Somebody who runs PostgreSQL for others.
pub(crate) struct Provider {
    pub name: &'static str,
    /// Its hosts are these, or below them.
    domains: &'static [&'static str],
    /// The end of a sentence that begins with what there is to do: what to put into the URL.
    pub to_set: &'static str,
}

/// Supabase, of which the pool knows more than this.
pub(super) const SUPABASE: Provider = Provider {
    name: "Supabase",
    domains: &["supabase.co", "supabase.com"],
    to_set: "sslmode=verify-full, and sslrootcert to the certificate from the project's database settings",
};

/// As each documents it; the page on TLS has the same, and a test compares them.
const PROVIDERS: [Provider; 7] = [
    SUPABASE,
    Provider { name: "Neon", domains: &["neon.tech"], to_set: "sslmode=verify-full and sslrootcert=system" },
    Provider {
        name: "Amazon RDS",
        domains: &["rds.amazonaws.com", "rds.amazonaws.com.cn"],
        to_set: "sslmode=verify-full, and sslrootcert to the bundle that AWS publishes (global-bundle.pem)",
    },
    Provider {
        name: "Azure",
        domains: &["postgres.database.azure.com"],
        to_set: "sslmode=verify-full and sslrootcert=system",
    },
    Provider {
        name: "Cloud SQL",
        domains: &["sql.goog"],
        to_set: "sslmode=verify-full, and sslrootcert to the instance's server-ca.pem (verify-ca by its address)",
    },
    Provider {
        name: "Aiven",
        domains: &["aivencloud.com"],
        to_set: "sslmode=verify-full, and sslrootcert to the project's ca.pem",
    },
    Provider {
        name: "DigitalOcean",
        domains: &["db.ondigitalocean.com"],
        to_set: "sslmode=verify-full, and sslrootcert to the cluster's ca-certificate.crt",
    },
];

impl Provider {
    pub(super) fn has(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_below = |below: &str| below.is_empty() || below.ends_with('.');
        self.domains.iter().any(|domain| host.strip_suffix(domain).is_some_and(is_below))
    }
}

/// Whose host it is, if it is one of those.
pub(crate) fn provider_of(host: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.has(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_hosts_and_not_by_what_they_begin_or_end_like() {
        let name = |host| provider_of(host).map(|provider| provider.name);
        assert_eq!(name("db.abcdefgh.supabase.co"), Some("Supabase"));
        assert_eq!(name("aws-0-eu-central-1.POOLER.supabase.com."), Some("Supabase"));
        assert_eq!(name("ep-cool-1234-pooler.eu-central-1.aws.neon.tech"), Some("Neon"));
        assert_eq!(name("news.c1.cluster-x.eu-west-1.rds.amazonaws.com"), Some("Amazon RDS"));
        for other in ["db.example", "notsupabase.co", "neon.tech.example", "127.0.0.1", ""] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn the_page_on_tls_tells_of_each_of_them_what_the_log_does() {
        let page = include_str!("../../../guide/tls.md");
        for Provider { name, domains, to_set } in &PROVIDERS {
            let row = page.lines().find(|line| line.starts_with(&format!("| {name} |")));
            let row = row.unwrap_or_else(|| panic!("no row of {name}")).replace('`', "");
            assert!(row.contains(domains[0]), "{row}");
            assert!(row.contains(to_set), "{row} lacks: {to_set}");
        }
    }
}
