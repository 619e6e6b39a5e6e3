//! A connection to a port of a pod, through the API server (`pods/portforward`).
//!
//! Its end is always an error: the protocol has no way to say that the pod's side ended well, so whoever reads must
//! know by other means when everything has arrived.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::core::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::{ApiError, explain, no_websocket};
use super::websocket::Frames;
use super::{Access, KubeClient};

const DATA: u8 = 0;
const ERROR: u8 = 1;

/// The most that one message carries.
const MOST: usize = 64 << 10;

/// Bytes to and from a port of a pod.
#[derive(Debug)]
pub struct PortForwardStream {
    frames: Frames,
    port: u16,
    /// The first message of each channel, which repeats the port, has come.
    begun: [bool; 2],
    unread: Bytes,
}

impl KubeClient {
    /// The right that [`KubeClient::port_forward`] needs. The upgrade is a GET; from Kubernetes 1.35 it needs `create`,
    /// too.
    pub fn port_forward_access(namespace: &str) -> Access {
        Access::namespaced("get", "", "pods", namespace).subresource("portforward")
    }

    /// Opens a connection to `port` of a pod, as seen from inside the pod. Whether anybody listens there shows only
    /// when bytes are exchanged.
    ///
    /// # Errors
    /// A refusal, an unreachable API server, or something in between that lets no WebSocket through.
    pub async fn port_forward(&self, namespace: &str, pod: &str, port: u16) -> Result<PortForwardStream, ApiError> {
        let access = Self::port_forward_access(namespace);
        let request = Request::new(Pod::url_path(&(), Some(namespace)))
            .portforward(pod, &[port])
            .map_err(|error| explain(kube::Error::BuildRequest(error), None, self.server()))?;
        let client = self.client();
        match self.limited(&access, client.connect(request)).await? {
            Ok(connection) => {
                Ok(PortForwardStream { frames: Frames::new(connection), port, begun: [false; 2], unread: Bytes::new() })
            }
            Err(error) => Err(no_websocket(error, &access, self.server())),
        }
    }
}

/// The kubelet's words are Go's: nobody listens on the port, or the connection to it ended.
fn kind_of(said: &str) -> ErrorKind {
    if ["connection refused", "dial tcp", "no such host", "unable to find"].iter().any(|words| said.contains(words)) {
        ErrorKind::ConnectionRefused
    } else {
        ErrorKind::ConnectionAborted
    }
}

impl PortForwardStream {
    /// The next bytes of the pod.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            let (channel, bytes) = ready!(self.frames.poll_next(context))?;
            let Some(begun) = self.begun.get_mut(usize::from(channel)) else {
                continue;
            };
            if !*begun {
                if *bytes != self.port.to_le_bytes() {
                    let what = "the connection to the pod begins with something else than its port";
                    return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, what)));
                }
                *begun = true;
                continue;
            }
            match channel {
                DATA if !bytes.is_empty() => return Poll::Ready(Ok(bytes)),
                ERROR if !bytes.is_empty() => {
                    let said = String::from_utf8_lossy(&bytes).trim().chars().take(500).collect::<String>();
                    return Poll::Ready(Err(io::Error::new(kind_of(&said), said)));
                }
                _ => {}
            }
        }
    }
}

impl PortForwardStream {
    /// Why the other side closed, when it said so before a write failed on the closed connection.
    fn last_words(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        loop {
            match self.poll_bytes(context) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    let said = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionAborted, ErrorKind::UnexpectedEof];
                    return said.contains(&error.kind()).then_some(error);
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
        let length = bytes.len().min(MOST);
        match ready!(self.frames.poll_send(context, DATA, &bytes[..length])) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(error) => Poll::Ready(Err(self.last_words(context).unwrap_or(error))),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.frames.poll_flush(context));
        Poll::Ready(flushed.map_err(|error| self.last_words(context).unwrap_or(error)))
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
        assert_eq!(kind_of(refused), ErrorKind::ConnectionRefused);
        let ended = "error forwarding port 2379 to pod c86, uid : failed to execute portforward in network namespace \"host\": readfrom tcp4 127.0.0.1:40254->127.0.0.1:2379: write: broken pipe";
        assert_eq!(kind_of(ended), ErrorKind::ConnectionAborted);
    }
}
