//! HTTP/2 over an open stream, for tonic.
//!
//! The windows are large because the way through the API server is long, and pings keep an idle connection open.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::client::GrpcService;

use super::error::{explain_disconnect, timeout_error};
use super::traced_stream::DisconnectTrace;
use crate::error::Error;
use crate::etcd::connect_error::ConnectError;

/// Bytes in flight, for the stream and for the connection. 16 MiB are 160 MB/s at 100 ms.
const WINDOW: u32 = 16 << 20;

/// Time between two pings on an idle connection. etcd refuses more than one in 5 s (`--grpc-keepalive-min-time`).
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The longest time without an answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts HTTP/2 on `stream`. The task drives the connection until it is aborted.
pub(super) async fn start_http2<S>(
    stream: S,
    limit: Duration,
    trace: &DisconnectTrace,
    pod: &str,
) -> Result<(GrpcChannel, JoinHandle<()>), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = tokio::time::timeout(limit, handshake)
        .await
        .map_err(|_| timeout_error(pod, limit))?
        .map_err(|error| match trace.cause() {
            Some(cause) => explain_disconnect(&cause, pod, &error.to_string()),
            None => Error::failed(format!("etcd in pod {pod} does not speak HTTP/2: {error}")).into(),
        })?;
    let connection = tokio::spawn(async move {
        // The calls fail when it ends, and the trace has the cause.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to etcd ended");
        }
    });
    Ok((GrpcChannel(sender), connection))
}

/// hyper's sender as a service that tonic calls.
pub(super) struct GrpcChannel(SendRequest<Body>);

impl GrpcService<Body> for GrpcChannel {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
