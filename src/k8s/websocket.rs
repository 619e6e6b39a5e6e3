//! Frames of the WebSockets that the API server opens to a pod: `pods/exec` and `pods/portforward`.
//!
//! Each message is a channel's number and bytes (Kubernetes `pkg/kubelet/cri/streaming/portforward/websocket.go` and
//! `k8s.io/apimachinery/pkg/util/remotecommand/constants.go`). They are read here rather than by the client library's
//! own adapters, because those end a broken connection like a finished one and keep nothing alive. Here every end is
//! an error with its cause, and a ping every 15 s keeps load balancers from cutting a line that is quiet.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::client::Connection;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Between two pings; the shortest idle limits of load balancers are 20 s.
const PING: Duration = Duration::from_secs(15);

/// The frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    ping: Interval,
    flushing: bool,
}

impl Frames {
    pub(super) fn new(connection: Connection) -> Self {
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Frames { socket: connection.into_stream(), ping, flushing: false }
    }

    /// The next message: its channel and bytes.
    ///
    /// # Errors
    /// Every end of the connection, a closing handshake too, with its cause.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(u8, Bytes)>> {
        self.keep_alive(context)?;
        loop {
            match ready!(self.socket.poll_next_unpin(context)) {
                Some(Ok(Message::Binary(mut bytes))) => {
                    if !bytes.is_empty() {
                        let rest = bytes.split_off(1);
                        return Poll::Ready(Ok((bytes[0], rest)));
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).filter(|reason| !reason.is_empty());
                    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                    return Poll::Ready(Err(ended(&format!("the API server closed the connection{reason}"))));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broke(&error))),
                None => return Poll::Ready(Err(ended("the connection ended"))),
            }
        }
    }

    /// The same, to wait for.
    pub(super) async fn next(&mut self) -> io::Result<(u8, Bytes)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn keep_alive(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.ping.poll_tick(context).is_ready() {
            // A sink that is not ready is sending something, which keeps the connection alive as well.
            if let Poll::Ready(Ok(())) = self.socket.poll_ready_unpin(context) {
                self.socket.start_send_unpin(Message::Ping(Bytes::new())).map_err(|error| broke(&error))?;
                self.flushing = true;
            }
        }
        if self.flushing
            && let Poll::Ready(flushed) = self.socket.poll_flush_unpin(context)
        {
            flushed.map_err(|error| broke(&error))?;
            self.flushing = false;
        }
        Ok(())
    }

    /// Sends a message when the connection takes one.
    pub(super) fn poll_send(&mut self, context: &mut Context<'_>, channel: u8, bytes: &[u8]) -> Poll<io::Result<()>> {
        ready!(self.socket.poll_ready_unpin(context)).map_err(|error| broke(&error))?;
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(channel);
        message.extend_from_slice(bytes);
        Poll::Ready(self.socket.start_send_unpin(Message::Binary(message.into())).map_err(|error| broke(&error)))
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush_unpin(context).map_err(|error| broke(&error))
    }

    pub(super) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close_unpin(context).map_err(|error| broke(&error))
    }
}

fn ended(what: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, what)
}

/// The innermost cause says why; the ones around it only say that there was one.
fn broke(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    io::Error::new(ErrorKind::ConnectionReset, format!("the connection broke: {innermost}"))
}
