//! A stream that records why it broke.
//!
//! HTTP/2 reports every failure as "transport error" or "broken pipe", without TLS alerts and the kubelet's messages. So
//! the first failure is recorded where it occurs.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The first byte that arrived and the first failure of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct DisconnectTrace(Arc<Mutex<TraceRecord>>);

#[derive(Debug, Default)]
struct TraceRecord {
    cause: Option<DisconnectCause>,
    first_byte: Option<u8>,
}

/// Why a connection broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DisconnectCause {
    /// The server sent this TLS alert.
    Alert(rustls::AlertDescription),
    /// The connection was closed.
    Closed(String),
    /// The kubelet could not connect to the port in the pod.
    NoListener(String),
    /// Any other failure.
    Broken(String),
}

impl DisconnectTrace {
    fn record(&self) -> std::sync::MutexGuard<'_, TraceRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first failure.
    pub(super) fn cause(&self) -> Option<DisconnectCause> {
        self.record().cause.clone()
    }

    /// Returns the first byte that the server sent.
    pub(super) fn first_byte(&self) -> Option<u8> {
        self.record().first_byte
    }

    fn record_failure(&self, error: &io::Error) {
        self.record().cause.get_or_insert_with(|| DisconnectCause::from_error(error));
    }
}

impl DisconnectCause {
    pub(super) fn from_error(error: &io::Error) -> Self {
        let tls_error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (tls_error, error.kind()) {
            (Some(rustls::Error::AlertReceived(alert)), _) => DisconnectCause::Alert(*alert),
            (None, io::ErrorKind::UnexpectedEof) => DisconnectCause::Closed(error.to_string()),
            (None, io::ErrorKind::ConnectionRefused) => DisconnectCause::NoListener(error.to_string()),
            _ => DisconnectCause::Broken(error.to_string()),
        }
    }
}

/// A stream that records its failures in a [`DisconnectTrace`].
#[derive(Debug)]
pub(super) struct TracedStream<S> {
    stream: S,
    trace: DisconnectTrace,
}

impl<S> TracedStream<S> {
    pub(super) fn new(stream: S, trace: DisconnectTrace) -> Self {
        TracedStream { stream, trace }
    }

    fn trace_failure<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.trace.record_failure(error))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TracedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if let Some(byte) = buffer.filled().get(before) {
            self.trace.record().first_byte.get_or_insert(*byte);
        }
        Poll::Ready(self.trace_failure(result))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TracedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.trace_failure(result))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.trace_failure(result))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
