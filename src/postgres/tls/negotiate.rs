//! Asks the server for TLS, and does the handshake.
//!
//! The driver could ask as well, but then a server without TLS would get plain text past the connector, and so past
//! the observer.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use postgres::Socket;
use postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::explain::{Context, TlsFault, failed};
use super::secured::Secured;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// `SSLRequest`: its length and, in the place of a protocol version, 1234.5679.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// What secures the sockets of one opening.
#[derive(Clone)]
pub(in crate::postgres) struct Secure {
    way: Way,
    /// Whether the last socket came out encrypted. `Relaxed` in all uses: it is read by the thread that has just run
    /// the opening to its end, so that nothing has to be published with it.
    is_encrypted: Arc<AtomicBool>,
}

/// How a socket is secured.
#[derive(Clone)]
pub(super) enum Way {
    /// Not at all.
    Plain,
    /// By TLS, or it is asked for at least.
    Tls(Arc<Negotiation>),
}

impl Secure {
    pub(super) fn by(way: Way) -> Secure {
        Secure { way, is_encrypted: Arc::default() }
    }

    /// Whether the last socket that it was given is encrypted now.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted.load(Relaxed)
    }
}

/// How TLS is come to.
pub(super) struct Negotiation {
    pub tls: MakeRustlsConnect,
    /// Without asking, which servers know from PostgreSQL 17 on.
    pub direct: bool,
    /// A server that has no TLS gets plain text.
    pub optional: bool,
    pub context: Context,
}

impl MakeTlsConnect<Socket> for Secure {
    type Stream = Secured;
    type TlsConnect = SecureHost;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<SecureHost, Infallible> {
        Ok(SecureHost { secure: self.clone(), host: host.to_owned() })
    }
}

/// Secures one socket to a host.
pub(in crate::postgres) struct SecureHost {
    secure: Secure,
    host: String,
}

impl TlsConnect<Socket> for SecureHost {
    type Stream = Secured;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Secured, BoxError>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let Secure { way, is_encrypted } = self.secure;
            let secured = match way {
                Way::Plain => Secured::Plain(socket),
                Way::Tls(negotiation) => negotiation.secure(socket, &self.host).await?,
            };
            is_encrypted.store(matches!(secured, Secured::Tls(..)), Relaxed);
            Ok(secured)
        })
    }
}

impl Negotiation {
    async fn secure(&self, mut socket: Socket, host: &str) -> Result<Secured, BoxError> {
        if !self.direct && !ask(&mut socket).await? {
            return if self.optional { Ok(Secured::Plain(socket)) } else { Err(TlsFault::no_tls().into()) };
        }
        let context = Arc::new(self.context.to(host, self.direct));
        let Ok(connect) = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls.clone(), host);
        let stream = connect.connect(socket).await.map_err(|error| failed(error, &context))?;
        Ok(Secured::Tls(Box::new(stream), context))
    }
}

/// Asks for TLS and returns whether the server is willing.
///
/// Exactly one byte is read, and straight from the socket: whatever somebody in between may have put behind it, in the
/// clear, goes to the TLS handshake, which fails of it, and is never taken for an answer given under TLS.
async fn ask(socket: &mut Socket) -> Result<bool, BoxError> {
    socket.write_all(&SSL_REQUEST).await?;
    socket.flush().await?;
    let mut answer = [0];
    match socket.read(&mut answer).await? {
        0 => {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up when it was asked for TLS")
                .into())
        }
        _ => match answer[0] {
            b'S' => Ok(true),
            b'N' => Ok(false),
            // Of another service at this port: the next answer may be PostgreSQL's. So it is an error of the transport,
            // and says nothing of TLS.
            other => Err(io::Error::other(TlsFault::no_answer(other)).into()),
        },
    }
}
