//! What the connection string asks of TLS, as values; libpq's names and meanings.

use std::path::PathBuf;

use postgres::config::SslMode;

use super::Faults;
use super::libpq::{Param, TLS};

/// How far the server's encryption is demanded and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS where crate and server can, plain text otherwise. The default, as in libpq.
    #[default]
    Prefer,
    /// TLS, without a check of the certificate unless a root certificate is given.
    Require,
    /// TLS, with a certificate that a trusted authority signed.
    VerifyCa,
    /// As `VerifyCa`, and the certificate is for the host's name.
    VerifyFull,
}

impl TlsMode {
    /// The driver's mode; it leaves the checks to the TLS connector.
    pub(super) fn driver(self) -> SslMode {
        match self {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        }
    }
}

/// The TLS part of a server's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsOptions {
    /// `sslmode`.
    pub mode: TlsMode,
    /// `sslrootcert`: a file of trusted certificates, or `system`.
    pub root_cert: Option<PathBuf>,
    /// `sslcert`: the client's certificate.
    pub client_cert: Option<PathBuf>,
    /// `sslkey`: the key of the client's certificate.
    pub client_key: Option<PathBuf>,
}

impl TlsOptions {
    /// Takes over a parameter when it is one of TLS, and says whether it was.
    pub(super) fn take(&mut self, param: &Param, faults: &mut Faults) -> bool {
        let place = match param.key {
            "sslmode" => {
                self.take_mode(param, faults);
                return true;
            }
            "sslrootcert" => &mut self.root_cert,
            "sslcert" => &mut self.client_cert,
            "sslkey" => &mut self.client_key,
            _ => return false,
        };
        if TLS {
            *place = Some(PathBuf::from(&param.value));
        } else {
            faults.push(&param.spelled, param.shown(), "needs the feature `tls`; without it, leave it out");
        }
        true
    }

    fn take_mode(&mut self, param: &Param, faults: &mut Faults) {
        let mode = match param.value.as_str() {
            "disable" => Some(TlsMode::Disable),
            "prefer" => Some(TlsMode::Prefer),
            "require" => Some(TlsMode::Require),
            "verify-ca" => Some(TlsMode::VerifyCa),
            "verify-full" => Some(TlsMode::VerifyFull),
            _ => None,
        };
        let rule = match mode {
            Some(TlsMode::Disable | TlsMode::Prefer) => None,
            Some(_) if TLS => None,
            Some(_) => Some("needs the feature `tls`; without it, must be disable or prefer"),
            None if TLS => Some("must be disable, prefer, require, verify-ca or verify-full"),
            None => Some(
                "must be disable or prefer (with the feature `tls` also require, verify-ca, verify-full)",
            ),
        };
        match rule {
            Some(rule) => faults.push(&param.spelled, param.shown(), rule),
            None => self.mode = mode.unwrap_or_default(),
        }
    }
}
