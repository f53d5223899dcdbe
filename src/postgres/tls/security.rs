//! Settings and files, made into what is tried in turn.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use log::Level;
use parking_lot::Mutex;
use postgres::Config;
use postgres::config::SslNegotiation;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::explain::Context;
use super::negotiate::{Negotiation, Secure, Way};
use super::{files, verify};
use crate::config::{Faults, TlsMode, TlsOptions};
use crate::lines::say;

/// What PostgreSQL is called in a TLS handshake. Needed for direct TLS, and harmless else.
const ALPN: &[u8] = b"postgresql";

/// How the connections of a manager are secured.
///
/// All files are read when it is made, and again when one of them has changed: certificates are renewed while a
/// program runs.
#[derive(Clone)]
pub(in crate::postgres) struct Security {
    asked: TlsOptions,
    direct: bool,
    /// Guards nothing but itself, and no file is read under it: two threads that find a change both read.
    current: Arc<Mutex<Current>>,
}

/// What the files gave when they were read last.
struct Current {
    stamps: Stamps,
    ways: Vec<Way>,
}

/// When each file was changed and how long it is; `None` for one that is not there.
type Stamps = Vec<Option<(SystemTime, u64)>>;

impl Security {
    /// Reads and checks the files that are named. Without `options` the mode of `config` is all that is asked.
    pub fn new(config: &Config, options: Option<&TlsOptions>) -> Result<Security, Faults> {
        let asked = TlsOptions::asked(config, options);
        let faults = asked.check(config.get_ssl_negotiation());
        if !faults.is_empty() {
            return Err(faults);
        }
        if matches!(asked.mode, TlsMode::Allow | TlsMode::Prefer) && asked.root_cert.is_some() {
            say!(
                Level::Warn,
                "tierpool::tls",
                [sslmode = asked.mode.as_str()],
                "sslrootcert checks nothing under sslmode={}: verify-full is the mode that does",
                asked.mode.as_str()
            );
        }
        let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        // Before the files themselves: a change in between is then found later, and not missed.
        let stamps = stamps(&asked);
        let ways = ways(&asked, direct)?;
        Ok(Security { asked, direct, current: Arc::new(Mutex::new(Current { stamps, ways })) })
    }

    /// What is asked.
    pub fn mode(&self) -> TlsMode {
        self.asked.mode
    }

    /// What is tried in turn, for one opening.
    pub fn attempts(&self) -> Vec<Secure> {
        self.ways().into_iter().map(Secure::by).collect()
    }

    /// Files that have become faulty are told in the log, and what they gave before stays in use until they change
    /// again.
    fn ways(&self) -> Vec<Way> {
        let now = stamps(&self.asked);
        {
            let current = self.current.lock();
            if current.stamps == now {
                return current.ways.clone();
            }
        }
        let read = ways(&self.asked, self.direct);
        let mut current = self.current.lock();
        current.stamps = now;
        match read {
            Ok(ways) => current.ways = ways,
            Err(faults) => say!(
                Level::Warn,
                "tierpool::tls",
                [faults = faults.to_string()],
                "the files of TLS have changed and cannot be used, so that what was read before stays in use: {faults}"
            ),
        }
        current.ways.clone()
    }
}

fn stamps(asked: &TlsOptions) -> Stamps {
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    asked.files().into_iter().filter_map(|(_, path)| path).map(stamp).collect()
}

fn ways(asked: &TlsOptions, direct: bool) -> Result<Vec<Way>, Faults> {
    if asked.mode == TlsMode::Disable {
        return Ok(vec![Way::Plain]);
    }
    let optional = asked.mode == TlsMode::Prefer;
    let tls = MakeRustlsConnect::new(client_config(asked)?);
    let negotiation = Negotiation { tls, direct, optional, context: Context::of(asked) };
    let secured = Way::Tls(Arc::new(negotiation));
    // As libpq: what fails one way may succeed the other.
    Ok(match asked.mode {
        TlsMode::Allow => vec![Way::Plain, secured],
        TlsMode::Prefer => vec![secured, Way::Plain],
        _ => vec![secured],
    })
}

fn client_config(asked: &TlsOptions) -> Result<ClientConfig, Faults> {
    // Named and not the default of the process: a program may have none, or one of its own for other purposes.
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let mut faults = Faults::new();
    // Under `prefer` it is read and not used: a file that is named and faulty is a mistake all the same.
    let roots = asked.root_cert.as_ref().and_then(|path| files::roots(path, &mut faults));
    let identity = match (&asked.client_cert, &asked.client_key) {
        (Some(cert), Some(key)) => files::identity(cert, key, &provider, &mut faults),
        _ => None,
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    let verifier = verify::verifier(asked.mode, roots, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|error| unreachable!("BUG: ring has ciphers for TLS 1.2 and 1.3: {error}"))
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
