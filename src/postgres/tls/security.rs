//! Settings and files, made into what is tried in turn.

use std::sync::Arc;

use postgres::Config;
use postgres::config::SslNegotiation;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::explain::Context;
use super::negotiate::{Negotiation, Secure};
use super::{files, verify};
use crate::config::{Faults, TlsMode, TlsOptions};

/// What PostgreSQL is called in a TLS handshake. Needed for direct TLS, and harmless else.
const ALPN: &[u8] = b"postgresql";

/// How the connections of a manager are secured. All files are read when it is made.
#[derive(Clone)]
pub(in crate::postgres) struct Security {
    attempts: Vec<Secure>,
}

impl Security {
    /// Reads and checks the files that are named. Without `options` the mode of `config` is all that is asked.
    pub fn new(config: &Config, options: Option<&TlsOptions>) -> Result<Security, Faults> {
        let asked = TlsOptions::asked(config, options);
        let faults = asked.check(config.get_ssl_negotiation());
        if !faults.is_empty() {
            return Err(faults);
        }
        let attempts = match asked.mode {
            TlsMode::Disable => vec![Secure::Plain],
            // As libpq: what fails with TLS may succeed without.
            TlsMode::Prefer => vec![Secure::Tls(negotiation(&asked, config)?), Secure::Plain],
            _ => vec![Secure::Tls(negotiation(&asked, config)?)],
        };
        Ok(Security { attempts })
    }

    /// What is tried in turn.
    pub fn attempts(&self) -> &[Secure] {
        &self.attempts
    }
}

fn negotiation(asked: &TlsOptions, config: &Config) -> Result<Arc<Negotiation>, Faults> {
    Ok(Arc::new(Negotiation {
        tls: MakeRustlsConnect::new(client_config(asked)?),
        direct: config.get_ssl_negotiation() == SslNegotiation::Direct,
        optional: asked.mode == TlsMode::Prefer,
        context: Context::of(asked),
    }))
}

fn client_config(asked: &TlsOptions) -> Result<ClientConfig, Faults> {
    // Named and not the default of the process: a program may have none, or one of its own for other purposes.
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let mut faults = Faults::new();
    // libpq reads no root certificate that it will not use; a file that is named and wrong is a mistake all the same.
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
