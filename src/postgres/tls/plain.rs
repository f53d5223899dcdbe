//! A build without TLS: plain text, and nothing that asks for more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use postgres::{Config, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::{Faults, TlsMode, TlsOptions};

/// How the connections of a manager are secured.
#[derive(Clone)]
pub(in crate::postgres) struct Security {
    mode: TlsMode,
}

impl Security {
    /// Refuses what demands encryption.
    pub fn new(config: &Config, options: Option<&TlsOptions>) -> Result<Security, Faults> {
        let asked = TlsOptions::asked(config, options);
        let faults = asked.check(config.get_ssl_negotiation());
        if faults.is_empty() { Ok(Security { mode: asked.mode }) } else { Err(faults) }
    }

    /// What is asked.
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// What is tried in turn, for one opening.
    pub fn attempts(&self) -> Vec<Secure> {
        vec![Secure]
    }
}

/// What secures a socket: nothing. Hands it through.
#[derive(Clone)]
pub(in crate::postgres) struct Secure;

impl Secure {
    /// Whether the last socket that it was given is encrypted now.
    pub fn is_encrypted(&self) -> bool {
        false
    }
}

impl MakeTlsConnect<Socket> for Secure {
    type Stream = Secured;
    type TlsConnect = Secure;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _domain: &str) -> io::Result<Secure> {
        Ok(Secure)
    }
}

impl TlsConnect<Socket> for Secure {
    type Stream = Secured;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Secured>>;

    fn connect(self, socket: Socket) -> Self::Future {
        std::future::ready(Ok(Secured(socket)))
    }
}

/// A socket in the place of a TLS stream.
pub(in crate::postgres) struct Secured(Socket);

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
