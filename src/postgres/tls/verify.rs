//! Which certificates of a server are taken.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::{Faults, TlsMode};

/// The verifier for a mode, with libpq's meanings: `verify-full` wants authority and host name, `verify-ca` and
/// `require` with a root certificate the authority, and anything else takes every certificate.
pub(super) fn verifier(
    mode: TlsMode,
    roots: Option<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Faults> {
    let algorithms = provider.signature_verification_algorithms;
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, roots) {
        // The strictest check is rustls' own, untouched.
        (TlsMode::VerifyFull, Some(roots)) => {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            builder.build().map_err(|error| unusable(&error))?
        }
        (TlsMode::VerifyCa | TlsMode::Require, Some(roots)) => {
            Arc::new(Lenient { authorities: Some(roots), algorithms })
        }
        (TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer | TlsMode::Require, _) => {
            Arc::new(Lenient { authorities: None, algorithms })
        }
        (TlsMode::VerifyCa | TlsMode::VerifyFull, None) => {
            unreachable!("BUG: {mode:?} without a root certificate passed the check of the settings")
        }
    };
    Ok(verifier)
}

fn unusable(error: &dyn std::error::Error) -> Faults {
    let mut faults = Faults::new();
    faults.push("sslrootcert", "of no use", error.to_string());
    faults
}

/// Takes certificates for any host: of `authorities`, or of anybody.
///
/// That the server holds the certificate's key is checked in any case: channel binding rests on it.
#[derive(Debug)]
struct Lenient {
    authorities: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.authorities {
            let cert = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&cert, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
