//! The stream that comes of a negotiation, encrypted or not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::explain::{Context, explained};

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A socket, or the TLS stream over it.
pub(in crate::postgres) enum Secured {
    /// Plain text.
    Plain(Socket),
    /// Boxed, since rustls keeps its buffers inside.
    Tls(Box<Encrypted>, Arc<Context>),
}

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Secured::Plain(_) => ChannelBinding::none(),
            Secured::Tls(stream, _) => stream.channel_binding(),
        }
    }
}

impl AsyncRead for Secured {
    /// In TLS 1.3 the server judges the client's certificate after the client is done, so that its verdict comes with
    /// the first read.
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Secured::Plain(socket) => Pin::new(socket).poll_read(task, buf),
            Secured::Tls(stream, context) => {
                Pin::new(stream).poll_read(task, buf).map_err(|error| explained(error, context))
            }
        }
    }
}

macro_rules! delegate {
    ($self:ident, $inner:ident => $call:expr) => {
        match &mut *$self {
            Secured::Plain($inner) => $call,
            Secured::Tls($inner, _) => $call,
        }
    };
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, inner => Pin::new(inner).poll_write(task, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => Pin::new(inner).poll_flush(task))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => Pin::new(inner).poll_shutdown(task))
    }
}
