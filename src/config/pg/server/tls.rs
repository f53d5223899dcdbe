//! What the connection string asks of TLS, as values; libpq's names and meanings.

use std::path::{Path, PathBuf};

use postgres::Config;
use postgres::config::{SslMode, SslNegotiation};

use super::libpq::{A_PATH, Param, TLS, is_path};
use crate::config::faults::Faults;

/// The `sslrootcert` that stands for the authorities that the system trusts.
const SYSTEM: &str = "system";

/// The rule about a mode that demands encryption, where there is none.
const NEEDS_TLS: &str = "needs the feature `tls`; without it, must be disable, allow or prefer";

/// How far the server's encryption is demanded and checked; the later, the stronger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// Plain text, and TLS where the server lets nobody in without. No check of the certificate.
    Allow,
    /// TLS where crate and server can, plain text otherwise, and no check of the certificate. The default, as in
    /// libpq.
    #[default]
    Prefer,
    /// TLS, without a check of the certificate. With a root certificate it is as `VerifyCa`, as in libpq.
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
            TlsMode::Allow | TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        }
    }

    /// libpq's name of the mode.
    ///
    /// ```
    /// assert_eq!(tierpool::config::TlsMode::VerifyFull.as_str(), "verify-full");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            TlsMode::Disable => "disable",
            TlsMode::Allow => "allow",
            TlsMode::Prefer => "prefer",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        }
    }
}

/// The TLS part of a server's address.
///
/// The files in a home folder that libpq looks for (`~/.postgresql/root.crt` and others) are not read: what is not
/// set here is not there.
///
/// ```
/// use tierpool::config::{TlsMode, TlsOptions};
///
/// let mut tls = TlsOptions::default();
/// tls.mode = TlsMode::VerifyFull;
/// tls.root_cert = Some("/etc/news/ca.pem".into());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsOptions {
    /// `sslmode`.
    pub mode: TlsMode,
    /// `sslrootcert`: a file of trusted certificates, or `system`.
    pub root_cert: Option<PathBuf>,
    /// `sslcert`: the client's certificate, in PEM form, with the authorities between it and the server's.
    pub client_cert: Option<PathBuf>,
    /// `sslkey`: the key of the client's certificate, in PEM form, not encrypted. Nobody but its owner may read it.
    pub client_key: Option<PathBuf>,
}

impl TlsOptions {
    /// Whether a root certificate stands for those that the system trusts.
    pub(crate) fn is_system(root_cert: &Path) -> bool {
        root_cert.as_os_str() == SYSTEM
    }

    /// What a configuration and, if given, options ask for together: the options, but no less than the configuration
    /// demands.
    pub(crate) fn asked(config: &Config, options: Option<&TlsOptions>) -> TlsOptions {
        let demanded = match config.get_ssl_mode() {
            SslMode::Disable => TlsMode::Disable,
            SslMode::Prefer => TlsMode::Prefer,
            _ => TlsMode::Require,
        };
        let mut asked = options.cloned().unwrap_or(TlsOptions { mode: demanded, ..TlsOptions::default() });
        if demanded == TlsMode::Require {
            asked.mode = asked.mode.max(demanded);
        }
        asked
    }

    /// The rules between the settings. Reads no file.
    pub(crate) fn check(&self, negotiation: SslNegotiation) -> Faults {
        let mut faults = Faults::new();
        for (setting, file) in self.files() {
            let holds = file.is_none_or(|file| is_path(&file.to_string_lossy()));
            faults.require(holds, setting, "[redacted]", A_PATH);
        }
        if !faults.is_empty() {
            return faults;
        }
        let mode = self.mode.as_str();
        let direct = negotiation == SslNegotiation::Direct;
        if !TLS {
            faults.require(self.mode <= TlsMode::Prefer, "sslmode", mode, NEEDS_TLS);
            let rule = "needs the feature `tls`; without it, leave it out";
            faults.require(!direct, "sslnegotiation", "direct", rule);
            for (setting, file) in self.files() {
                if let Some(file) = file {
                    faults.push(setting, file.display(), rule);
                }
            }
            return faults;
        }
        let rule = "must be require or stronger with sslnegotiation=direct";
        faults.require(!direct || self.mode >= TlsMode::Require, "sslmode", mode, rule);
        match &self.root_cert {
            None => {
                let rule =
                    format!("must name the authority's certificate, or be system, with sslmode={mode}");
                faults.require(self.mode < TlsMode::VerifyCa, "sslrootcert", "not set", rule);
            }
            // Such authorities sign for anybody, so that without the host's name the check says nothing.
            Some(file) if TlsOptions::is_system(file) => {
                let rule = "must be verify-full with sslrootcert=system";
                faults.require(self.mode == TlsMode::VerifyFull, "sslmode", mode, rule);
            }
            Some(_) => {}
        }
        let rule = "must name the key of the certificate in sslcert";
        faults.require(self.client_cert.is_none() || self.client_key.is_some(), "sslkey", "not set", rule);
        let rule = "must name the certificate for the key in sslkey";
        faults.require(self.client_key.is_none() || self.client_cert.is_some(), "sslcert", "not set", rule);
        faults
    }

    /// The files with the names of their settings.
    pub(crate) fn files(&self) -> [(&'static str, Option<&PathBuf>); 3] {
        [
            ("sslrootcert", self.root_cert.as_ref()),
            ("sslcert", self.client_cert.as_ref()),
            ("sslkey", self.client_key.as_ref()),
        ]
    }

    /// Without a mode, `sslrootcert=system` stands for `verify-full`, as in libpq.
    pub(super) fn default_mode(&mut self, given: bool) {
        if !given && self.root_cert.as_deref().is_some_and(TlsOptions::is_system) {
            self.mode = TlsMode::VerifyFull;
        }
    }

    /// Takes over a parameter when it is one of TLS.
    pub(super) fn take(&mut self, param: &Param, faults: &mut Faults) {
        let file = match param.key {
            "sslmode" => return self.take_mode(param, faults),
            "sslrootcert" => &mut self.root_cert,
            "sslcert" => &mut self.client_cert,
            "sslkey" => &mut self.client_key,
            _ => return,
        };
        if TLS {
            *file = Some(PathBuf::from(&param.value));
        } else {
            faults.push(param.spelled(), param.shown(), "needs the feature `tls`; without it, leave it out");
        }
    }

    fn take_mode(&mut self, param: &Param, faults: &mut Faults) {
        let mode = match param.value.as_str() {
            "disable" => Some(TlsMode::Disable),
            "allow" => Some(TlsMode::Allow),
            "prefer" => Some(TlsMode::Prefer),
            "require" => Some(TlsMode::Require),
            "verify-ca" => Some(TlsMode::VerifyCa),
            "verify-full" => Some(TlsMode::VerifyFull),
            _ => None,
        };
        let rule = match mode {
            Some(mode) if TLS || mode <= TlsMode::Prefer => None,
            Some(_) => Some(NEEDS_TLS),
            None if TLS => Some("must be disable, allow, prefer, require, verify-ca or verify-full"),
            None => Some(
                "must be disable, allow or prefer (with the feature `tls` also require, verify-ca, verify-full)",
            ),
        };
        match rule {
            Some(rule) => faults.push(param.spelled(), param.shown(), rule),
            None => self.mode = mode.unwrap_or_default(),
        }
    }
}
