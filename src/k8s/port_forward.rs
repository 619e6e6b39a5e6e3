//! Connections to a port of a pod, through the API server (`pods/portforward`).
//!
//! The end of a connection is always an error, because the protocol cannot say that the pod's side finished. The reader
//! must know by other means when everything has arrived.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::core::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::access::Access;
use super::client::KubeClient;
use super::error::ApiError;
use super::websocket::Frames;

const DATA: u8 = 0;
const ERROR: u8 = 1;

/// The most that one message carries.
const MAX_MESSAGE: usize = 64 << 10;

/// Bytes to and from a port of a pod.
#[derive(Debug)]
pub struct PortForwardStream {
    frames: Frames,
    port: u16,
    /// The first message of each channel, which repeats the port, has arrived.
    started: [bool; 2],
    unread: Bytes,
}

impl KubeClient {
    /// Opens a connection to `port` of a pod, as seen from inside the pod. It opens even if the port has no listener;
    /// the first read or write then fails.
    ///
    /// # Errors
    /// The API server refuses or is unreachable, or a proxy blocks WebSockets.
    pub async fn port_forward(&self, namespace: &str, pod: &str, port: u16) -> Result<PortForwardStream, ApiError> {
        // The upgrade is a GET. From Kubernetes 1.35 on it needs `create`, too.
        let access = Access::namespaced("get", "", "pods", namespace).subresource("portforward");
        let request = Request::new(Pod::url_path(&(), Some(namespace)))
            .portforward(pod, &[port])
            .map_err(|error| ApiError::from_kube(kube::Error::BuildRequest(error), None, self.server()))?;
        let client = self.client();
        match self.limit(&access, client.connect(request)).await? {
            Ok(connection) => Ok(PortForwardStream {
                frames: Frames::new(connection),
                port,
                started: [false; 2],
                unread: Bytes::new(),
            }),
            Err(error) => Err(ApiError::from_upgrade(error, &access, self.server())),
        }
    }
}

/// Tells a port without a listener from a connection that ended, by the text of the kubelet's Go error.
fn error_kind(message: &str) -> ErrorKind {
    if ["connection refused", "dial tcp", "no such host", "unable to find"].iter().any(|text| message.contains(text)) {
        ErrorKind::ConnectionRefused
    } else {
        ErrorKind::ConnectionAborted
    }
}

impl PortForwardStream {
    /// Returns the next bytes from the pod.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            let (channel, bytes) = ready!(self.frames.poll_next(context))?;
            let Some(started) = self.started.get_mut(usize::from(channel)) else {
                continue;
            };
            if !*started {
                if *bytes != self.port.to_le_bytes() {
                    let message = "the first message of the connection to the pod does not repeat the port";
                    return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, message)));
                }
                *started = true;
                continue;
            }
            match channel {
                DATA if !bytes.is_empty() => return Poll::Ready(Ok(bytes)),
                ERROR if !bytes.is_empty() => {
                    let message = String::from_utf8_lossy(&bytes).trim().chars().take(500).collect::<String>();
                    return Poll::Ready(Err(io::Error::new(error_kind(&message), message)));
                }
                _ => {}
            }
        }
    }

    /// Returns why the other side closed, if it said so before a write failed on the closed connection.
    fn close_reason(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        loop {
            match self.poll_bytes(context) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    let reasons =
                        [ErrorKind::ConnectionRefused, ErrorKind::ConnectionAborted, ErrorKind::UnexpectedEof];
                    return reasons.contains(&error.kind()).then_some(error);
                }
                Poll::Pending => return None,
            }
        }
    }
}

impl AsyncRead for PortForwardStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            self.unread = ready!(self.poll_bytes(context))?;
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PortForwardStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = bytes.len().min(MAX_MESSAGE);
        match ready!(self.frames.poll_send(context, DATA, &bytes[..length])) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(error) => Poll::Ready(Err(self.close_reason(context).unwrap_or(error))),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.frames.poll_flush(context));
        Poll::Ready(flushed.map_err(|error| self.close_reason(context).unwrap_or(error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_listener_is_told_from_a_connection_that_ended() {
        let refused = "error forwarding port 2999 to pod c86, uid : failed to execute portforward in network namespace \"host\": failed to connect to localhost:2999 inside namespace: IPv4: dial tcp4 127.0.0.1:2999: connect: connection refused";
        assert_eq!(error_kind(refused), ErrorKind::ConnectionRefused);
        let ended = "error forwarding port 2379 to pod c86, uid : failed to execute portforward in network namespace \"host\": readfrom tcp4 127.0.0.1:40254->127.0.0.1:2379: write: broken pipe";
        assert_eq!(error_kind(ended), ErrorKind::ConnectionAborted);
    }
}
