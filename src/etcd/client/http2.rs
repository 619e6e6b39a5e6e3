//! HTTP/2 over a stream that exists already, as what tonic calls.
//!
//! Windows are wide, since the way through the API server is long, and an idle line is kept alive.

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

use super::error::{ConnectError, broken};
use super::traced_stream::DisconnectTrace;
use crate::error::Error;

/// Bytes that may be on their way, for the stream and for the connection: 16 MiB are 160 MB/s at 100 ms.
const WINDOW: u32 = 16 << 20;

/// Between two pings on an idle line; etcd punishes more than one in 5 s (`--grpc-keepalive-min-time`).
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a ping may go unanswered.
const PATIENCE: Duration = Duration::from_secs(20);

/// Begins HTTP/2 on `stream`; the task carries the connection until it is aborted.
pub(super) async fn http2<S>(
    stream: S,
    limit: Duration,
    trace: &DisconnectTrace,
    place: &str,
) -> Result<(Sender, JoinHandle<()>), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(PATIENCE)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = tokio::time::timeout(limit, handshake)
        .await
        .map_err(|_| Error::failed(format!("etcd in pod {place} does not answer within {}s", limit.as_secs_f32())))?
        .map_err(|error| match trace.cause() {
            Some(cause) => broken(&cause, place, &error.to_string()),
            None => Error::failed(format!("etcd in pod {place} does not speak HTTP/2: {error}")).into(),
        })?;
    let connection = tokio::spawn(async move {
        // Its end shows in the calls, and its cause in the trace.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to etcd ended");
        }
    });
    Ok((Sender(sender), connection))
}

/// hyper's sender as what tonic calls.
pub(super) struct Sender(SendRequest<Body>);

impl GrpcService<Body> for Sender {
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
