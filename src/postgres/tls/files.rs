//! Certificates and keys as they are on disk.

use std::fs::{self, Metadata};
use std::path::Path;
use std::sync::Arc;

use log::Level;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, RootCertStore};

use crate::config::{Faults, TlsOptions};
use crate::lines::say;
use crate::text::harmless;

const A_CERTIFICATE: &str = "must be a file with a certificate in PEM form (-----BEGIN CERTIFICATE-----)";
const A_KEY: &str = "must be a file with a key in PEM form (-----BEGIN PRIVATE KEY-----)";

/// The trusted authorities: of a file, or those of the system.
pub(super) fn roots(path: &Path, faults: &mut Faults) -> Option<RootCertStore> {
    if TlsOptions::is_system(path) {
        return system_roots(faults);
    }
    let found = certificates("sslrootcert", path, faults)?;
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(found) {
        (0, _) => {
            let found = format!("{} (holds no certificate that can be read)", path.display());
            faults.push("sslrootcert", found, A_CERTIFICATE);
            return None;
        }
        (_, 0) => {}
        // A bundle is of use without its exotic parts.
        (_, ignored) => {
            let path = harmless(path.display());
            say!(
                Level::Warn,
                "tierpool::tls",
                [path = path, ignored = ignored],
                "{ignored} certificates of {path} cannot be read"
            );
        }
    }
    Some(roots)
}

fn system_roots(faults: &mut Faults) -> Option<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems ship certificates that cannot be read; the others are no worse for it.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable > 0 {
        return Some(roots);
    }
    let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    faults.push(
        "sslrootcert",
        "system",
        format!(
            "this system has no trusted certificates{why}: install them (ca-certificates), or name a file"
        ),
    );
    None
}

/// The client's certificate with its key.
pub(super) fn identity(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
    faults: &mut Faults,
) -> Option<Arc<SingleCertAndKey>> {
    // Both before either is given up, so that one round mends both.
    let (chain, private) = (certificates("sslcert", cert, faults), private_key(key, faults));
    match CertifiedKey::from_der(chain?, private?, provider) {
        Ok(certified) => Some(Arc::new(SingleCertAndKey::from(certified))),
        Err(Error::InconsistentKeys(_)) => {
            let found = key.display();
            faults.push("sslkey", found, format!("must be the key of the certificate in {}", cert.display()));
            None
        }
        Err(error @ Error::InvalidCertificate(_)) => {
            faults.push("sslcert", format!("{} ({error})", cert.display()), A_CERTIFICATE);
            None
        }
        // The error speaks of the format; nothing of the key is in it.
        Err(error) => {
            faults.push(
                "sslkey",
                format!("{} ({error})", key.display()),
                "must be an RSA, ECDSA or Ed25519 key",
            );
            None
        }
    }
}

fn certificates(setting: &str, path: &Path, faults: &mut Faults) -> Option<Vec<CertificateDer<'static>>> {
    let text = read(setting, path, A_CERTIFICATE, faults)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let what = match found {
        Ok(certs) if !certs.is_empty() => return Some(certs),
        Ok(_) => "holds no certificate".to_owned(),
        Err(error) => shown(&error),
    };
    faults.push(setting, format!("{} ({what})", path.display()), A_CERTIFICATE);
    None
}

fn private_key(path: &Path, faults: &mut Faults) -> Option<PrivateKeyDer<'static>> {
    let text = read("sslkey", path, A_KEY, faults)?;
    if let Some(mode) = fs::metadata(path).ok().and_then(|metadata| too_open(&metadata)) {
        let found = format!("{} (permissions {mode:04o})", path.display());
        faults.push(
            "sslkey",
            found,
            "must have the permissions 0600 or less, or 0640 or less where root owns it",
        );
        return None;
    }
    let what = match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => return Some(key),
        Err(_) if is_encrypted(&text) => "encrypted".to_owned(),
        Err(pem::Error::NoItemsFound) => "holds no key".to_owned(),
        Err(error) => shown(&error),
    };
    let rule = format!("{A_KEY}, not encrypted");
    faults.push("sslkey", format!("{} ({what})", path.display()), rule);
    None
}

/// The kind of a fault in PEM; not all of its text, which may quote the file.
fn shown(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "cut off before its END line".to_owned(),
        pem::Error::Base64Decode(_) => "not base64 inside".to_owned(),
        _ => "not PEM".to_owned(),
    }
}

fn is_encrypted(text: &[u8]) -> bool {
    let holds = |mark: &[u8]| text.windows(mark.len()).any(|part| part == mark);
    holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"Proc-Type: 4,ENCRYPTED")
}

fn read(setting: &str, path: &Path, rule: &str, faults: &mut Faults) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(text) => Some(text),
        Err(error) => {
            faults.push(setting, format!("{} ({error})", path.display()), rule);
            None
        }
    }
}

/// The permissions of a key that too many may read. libpq's rule: nobody but the owner may, and where that is root its
/// group.
#[cfg(unix)]
fn too_open(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let (mode, owner) = (metadata.mode() & 0o777, metadata.uid());
    let forbidden = if owner == 0 { 0o037 } else { 0o077 };
    (mode & forbidden != 0).then_some(mode)
}

#[cfg(not(unix))]
fn too_open(_: &Metadata) -> Option<u32> {
    None
}
