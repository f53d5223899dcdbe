//! The checkout with a query once more, with TLS on both sides: the same library, the same check of the certificate.

use std::sync::Arc;

use r2d2_postgres::PostgresConnectionManager;
use r2d2_postgres::postgres::Config;
use r2d2_postgres::postgres::config::SslMode;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tierpool::{PgPool, Tier};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::checkout::{CONNECTIONS, QUERY, Work, compare, ours_asks, r2d2_asks};
use super::placement::Placement;
use super::pools;
use crate::common::mode::Mode;
use crate::common::table::{Row, Table, nanos};
use crate::support::authority::Authority;
use crate::support::cluster::{APP_PASSWORD, Cluster};

/// The name in the server's certificate.
const HOST: &str = "db.tierpool.test";

const IS_ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

type R2d2 = r2d2::Pool<PostgresConnectionManager<MakeRustlsConnect>>;

/// A server that has a certificate, and the file of its authority's.
struct Site {
    cluster: Cluster,
    authority: String,
    files: TempDir,
}

impl Site {
    fn new() -> Site {
        let authority = Authority::new("bench");
        let identity = authority.server(&[HOST]);
        let cluster = Cluster::builder()
            .setting("ssl", "on")
            .setting("ssl_cert_file", "own.crt")
            .setting("ssl_key_file", "own.key")
            .file("own.crt", &identity.cert)
            .file("own.key", &identity.key)
            .start()
            .unwrap();
        let site = Site { cluster, authority: authority.cert(), files: TempDir::new().unwrap() };
        std::fs::write(site.files.path().join("ca.pem"), &site.authority).unwrap();
        site
    }

    fn ours(&self) -> PgPool {
        let port = self.cluster.port();
        let root = self.files.path().join("ca.pem");
        let url = format!(
            "postgresql://app:{APP_PASSWORD}@{HOST}:{port}/app?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={}",
            root.display()
        );
        let pool = pools::ours_at(&url, CONNECTIONS);
        assert!(pool.get(Tier::Automation).unwrap().query_one(IS_ENCRYPTED, &[]).unwrap().get::<_, bool>(0));
        pool
    }

    /// r2d2 at its defaults but for its size.
    fn theirs(&self) -> R2d2 {
        let mut config = Config::new();
        config.host(HOST).hostaddr([127, 0, 0, 1].into()).port(self.cluster.port());
        config.user("app").password(APP_PASSWORD).dbname("app").ssl_mode(SslMode::Require);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let manager = PostgresConnectionManager::new(config, MakeRustlsConnect::new(client));
        let pool = r2d2::Pool::builder().max_size(CONNECTIONS).build(manager).unwrap();
        assert!(pool.get().unwrap().query_one(IS_ENCRYPTED, &[]).unwrap().get::<_, bool>(0));
        pool
    }
}

pub fn measure(mode: Mode, table: &mut Table) {
    let site = Site::new();
    let works: [Work<'_>; 2] = [
        (
            "tierpool",
            Box::new(|| {
                let pool = site.ours();
                Box::new(move || ours_asks(&pool))
            }),
        ),
        (
            "r2d2",
            Box::new(|| {
                let pool = site.theirs();
                Box::new(move || r2d2_asks(&pool))
            }),
        ),
    ];
    for placement in Placement::ALL {
        let group = format!("{QUERY} over TLS");
        let costs = compare(mode, &site.cluster, placement, &group, &works, mode.pick(300, 50));
        table.push(Row::new(
            format!("get + {QUERY} (cached) + return over TLS, {placement}"),
            nanos(costs.median(0)),
            format!("r2d2 {}", nanos(costs.median(1))),
            costs.ratio(1, 0),
        ));
    }
}
