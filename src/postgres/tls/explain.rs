//! What to change when TLS fails.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription as Alert, CertificateError, Error};

use crate::config::TlsOptions;
use crate::text::harmless;

/// What a message is made of.
#[derive(Clone, Default)]
pub(in crate::postgres) struct Context {
    /// `sslrootcert` and `sslcert` as set.
    roots: Option<String>,
    client_cert: Option<String>,
    /// Of the connection at hand.
    host: String,
    direct: bool,
}

impl Context {
    /// The context of no connection yet.
    pub fn of(asked: &TlsOptions) -> Context {
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        Context {
            roots: shown(&asked.root_cert),
            client_cert: shown(&asked.client_cert),
            ..Context::default()
        }
    }

    /// The context of one connection.
    pub fn to(&self, host: &str, direct: bool) -> Context {
        Context { host: host.to_owned(), direct, ..self.clone() }
    }
}

/// TLS is not to be had as asked for; the text says what to change, so it has no cause of its own.
#[derive(Debug)]
pub(in crate::postgres) struct TlsFault(String);

impl TlsFault {
    /// The server has TLS switched off.
    pub fn no_tls() -> Self {
        let text = "the server does not speak TLS: set ssl=on there, or sslmode=prefer or disable here";
        TlsFault(text.to_owned())
    }

    /// The server answered something else than `S` or `N`.
    pub fn no_answer(byte: u8) -> Self {
        TlsFault(format!(
            "the server answered the question for TLS with {:?}: it is no PostgreSQL server, or one without TLS \
             (sslmode=disable)",
            byte.escape_ascii().to_string()
        ))
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&harmless(&self.0))
    }
}

impl StdError for TlsFault {}

/// Says what to change where rustls failed. An error of the transport stays as it is.
pub(super) fn explained(error: io::Error, context: &Context) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return error;
    };
    let text = match cause {
        Error::InvalidCertificate(fault) => of_certificate(fault, context),
        Error::AlertReceived(alert) => of_alert(*alert, context),
        Error::InvalidMessage(_) if context.direct => {
            direct(&format!("the server did not answer in TLS ({cause})"))
        }
        Error::InvalidMessage(_) => {
            format!(
                "the answer was not TLS ({cause}): something between here and {} meddles with it",
                context.host
            )
        }
        Error::PeerIncompatible(_) => {
            format!(
                "the server has no TLS in common with us, which is 1.2 and 1.3 ({cause}): let it allow these"
            )
        }
        _ => format!("TLS failed: {cause}"),
    };
    io::Error::new(error.kind(), TlsFault(text))
}

/// Says what to change where the handshake failed. A server that does not know direct TLS hangs up on it.
pub(super) fn failed(error: io::Error, context: &Context) -> io::Error {
    let error = explained(error, context);
    let kind = error.kind();
    match kind {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset if context.direct => {
            io::Error::new(kind, TlsFault(direct("the server hung up")))
        }
        _ => error,
    }
}

fn direct(what: &str) -> String {
    format!("{what}: before PostgreSQL 17 there is no sslnegotiation=direct")
}

fn of_certificate(fault: &CertificateError, context: &Context) -> String {
    use CertificateError as E;
    match fault {
        E::UnknownIssuer | E::BadSignature => {
            let whom = match context.roots.as_deref() {
                Some("system") => "that this system trusts",
                Some(file) => &format!("in {file}"),
                None => "known",
            };
            format!(
                "the server's certificate is not signed by an authority {whom}: name the file with its authority's \
                 certificate in sslrootcert, or let the server send the whole chain"
            )
        }
        E::NotValidForNameContext { presented, .. } => wrong_name(presented, context),
        E::NotValidForName => wrong_name(&[], context),
        E::ExpiredContext { time, not_after } => {
            let ago = since(*not_after, *time);
            format!("the server's certificate, or one of its authorities', expired {ago} ago: renew it")
        }
        E::Expired => "the server's certificate, or one of its authorities', has expired: renew it".to_owned(),
        E::NotValidYetContext { time, not_before } => {
            let left = since(*time, *not_before);
            format!("the server's certificate is not valid for another {left}: set the clocks right, or renew it")
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            format!("{fault}: issue one for servers (extended key usage serverAuth)")
        }
        other if is(other, "CaUsedAsEndEntity") => {
            "the server's certificate is that of an authority (basic constraint CA:TRUE): issue one with CA:FALSE, as \
             `openssl req -addext basicConstraints=critical,CA:FALSE` does"
                .to_owned()
        }
        other if is(other, "UnsupportedCertVersion") => {
            "the server's certificate is X.509 version 1: issue one with extensions, such as subjectAltName".to_owned()
        }
        other => format!("the server's certificate cannot be used: {}", Error::InvalidCertificate(other.clone())),
    }
}

/// Whether it is a certain error of the certificate parser, which rustls passes on as text.
fn is(fault: &CertificateError, name: &str) -> bool {
    matches!(fault, CertificateError::Other(other) if format!("{:?}", other.0).contains(name))
}

fn wrong_name(presented: &[String], context: &Context) -> String {
    let has = match presented {
        [] => "names no host (subjectAltName; a common name does not count)".to_owned(),
        names => {
            let names: Vec<_> = names.iter().map(|name| bare(name)).collect();
            format!("is for {}", names.join(", "))
        }
    };
    format!(
        "the server's certificate {has}, not for {}: connect by a name that it has, or set sslmode=verify-ca",
        context.host
    )
}

/// rustls gives names as `DnsName("db.example")` and `IpAddress(::1)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn of_alert(alert: Alert, context: &Context) -> String {
    match (alert, &context.client_cert) {
        (Alert::CertificateRequired, _) | (Alert::HandshakeFailure | Alert::BadCertificate, None) => {
            format!(
                "the server ended the TLS handshake ({alert:?}): if it wants a client certificate, sslcert and sslkey \
                 name it"
            )
        }
        (
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::AccessDenied
            | Alert::DecryptError,
            Some(cert),
        ) => format!(
            "the server refused the client certificate in {cert} ({alert:?}): set sslcert to one that an authority in \
             its ssl_ca_file signed and that has not expired"
        ),
        (Alert::NoApplicationProtocol, _) => {
            format!(
                "{} speaks TLS, but not PostgreSQL in it ({alert:?}): set host and port right",
                context.host
            )
        }
        _ => format!("the server ended the TLS handshake: {alert:?}"),
    }
}

/// The time between two moments, in the largest whole unit.
fn since(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    match seconds {
        s if s >= 2 * 86_400 => format!("{} days", s / 86_400),
        s if s >= 2 * 3_600 => format!("{} hours", s / 3_600),
        s => format!("{} minutes", s / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_certificate_says_is_shown_on_one_line() {
        let fault = TlsFault(wrong_name(&["DnsName(\"a\nb\u{202e}\")".to_owned()], &Context::default()));
        assert!(fault.to_string().contains(r"is for a\nb\u{202e}, not for"), "{fault}");
    }
}
