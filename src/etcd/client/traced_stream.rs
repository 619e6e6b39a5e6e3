//! A stream that remembers why it broke.
//!
//! HTTP/2 on top of it turns every failure into "transport error" or "broken pipe", and loses TLS alerts and the
//! kubelet's words on the way. So the first failure is written down where it happens.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known of a connection besides its bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct DisconnectTrace(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    cause: Option<DisconnectCause>,
    first_byte: Option<u8>,
}

/// Why a connection broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DisconnectCause {
    /// The other side sent this TLS alert.
    Alert(rustls::AlertDescription),
    /// It ended.
    Ended(String),
    /// The kubelet could not connect to the port in the pod.
    NoListener(String),
    /// Anything else.
    Broke(String),
}

impl DisconnectTrace {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first failure.
    pub(super) fn cause(&self) -> Option<DisconnectCause> {
        self.seen().cause.clone()
    }

    /// The first byte that the other side sent.
    pub(super) fn first_byte(&self) -> Option<u8> {
        self.seen().first_byte
    }

    fn failed(&self, error: &io::Error) {
        self.seen().cause.get_or_insert_with(|| cause_of(error));
    }
}

pub(super) fn cause_of(error: &io::Error) -> DisconnectCause {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(rustls::Error::AlertReceived(alert)), _) => DisconnectCause::Alert(*alert),
        (None, io::ErrorKind::UnexpectedEof) => DisconnectCause::Ended(error.to_string()),
        (None, io::ErrorKind::ConnectionRefused) => DisconnectCause::NoListener(error.to_string()),
        _ => DisconnectCause::Broke(error.to_string()),
    }
}

/// A stream whose failures a [`DisconnectTrace`] learns of.
#[derive(Debug)]
pub(super) struct TracedStream<S> {
    stream: S,
    trace: DisconnectTrace,
}

impl<S> TracedStream<S> {
    pub(super) fn new(stream: S, trace: DisconnectTrace) -> Self {
        TracedStream { stream, trace }
    }

    fn noting<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.inspect_err(|error| self.trace.failed(error))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TracedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if let Some(byte) = buffer.filled().get(before) {
            self.trace.seen().first_byte.get_or_insert(*byte);
        }
        Poll::Ready(self.noting(outcome))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TracedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.noting(outcome))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.noting(outcome))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
