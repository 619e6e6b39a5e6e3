//! Frames of the WebSockets that the API server opens to a pod: `pods/exec` and `pods/portforward`.
//!
//! Each message is the number of a channel and bytes (Kubernetes `pkg/kubelet/cri/streaming/portforward/websocket.go`
//! and `k8s.io/apimachinery/pkg/util/remotecommand/constants.go`). The client library's own adapters are not used,
//! because they end a broken connection like a finished one and send no pings. Here every end is an error with its
//! cause, and a ping every 15 s keeps load balancers from closing an idle connection.

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

use crate::util::root_cause::root_cause;

/// Time between two pings. The shortest idle limits of load balancers are 20 s.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// The frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    ping: Interval,
    flushing: bool,
}

impl Frames {
    pub(super) fn new(connection: Connection) -> Self {
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING_INTERVAL, PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Frames { socket: connection.into_stream(), ping, flushing: false }
    }

    /// Returns the channel and the bytes of the next message.
    ///
    /// # Errors
    /// Every end of the connection, also after a closing handshake, with its cause.
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
                    return Poll::Ready(Err(closed_error(&format!("the API server closed the connection{reason}"))));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken_error(&error))),
                None => return Poll::Ready(Err(closed_error("the connection ended"))),
            }
        }
    }

    /// Waits for the next message.
    pub(super) async fn next(&mut self) -> io::Result<(u8, Bytes)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn keep_alive(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.ping.poll_tick(context).is_ready() {
            // A sink that is not ready is sending data, which keeps the connection alive as well.
            if let Poll::Ready(Ok(())) = self.socket.poll_ready_unpin(context) {
                self.socket.start_send_unpin(Message::Ping(Bytes::new())).map_err(|error| broken_error(&error))?;
                self.flushing = true;
            }
        }
        if self.flushing
            && let Poll::Ready(flushed) = self.socket.poll_flush_unpin(context)
        {
            flushed.map_err(|error| broken_error(&error))?;
            self.flushing = false;
        }
        Ok(())
    }

    /// Sends a message once the connection accepts one.
    pub(super) fn poll_send(&mut self, context: &mut Context<'_>, channel: u8, bytes: &[u8]) -> Poll<io::Result<()>> {
        ready!(self.socket.poll_ready_unpin(context)).map_err(|error| broken_error(&error))?;
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(channel);
        message.extend_from_slice(bytes);
        Poll::Ready(self.socket.start_send_unpin(Message::Binary(message.into())).map_err(|error| broken_error(&error)))
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush_unpin(context).map_err(|error| broken_error(&error))
    }

    pub(super) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close_unpin(context).map_err(|error| broken_error(&error))
    }
}

fn closed_error(message: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, message)
}

fn broken_error(error: &(dyn std::error::Error + 'static)) -> io::Error {
    io::Error::new(ErrorKind::ConnectionReset, format!("the connection broke: {}", root_cause(error)))
}
