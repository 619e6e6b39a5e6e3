//! A client of etcd's own API, over a connection to the member's pod.
//!
//! The client does not reconnect. A snapshot can only be taken as a whole, so a connection that breaks is an error.

mod error;
mod http2;
mod proto;
mod tls;
mod traced_stream;

use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status as GrpcStatus, Streaming};
use tonic_prost::ProstCodec;

pub use proto::{HashKvResponse, ListedMember, SnapshotResponse, StatusResponse};

use super::credentials::auth_user::AuthUser;
use super::credentials::client_config::ClientConfig;
use super::member::Member;
use super::url;
use crate::error::{Error, Result};
use crate::etcd::connect_error::ConnectError;
use crate::k8s::KubeClient;
use error::{explain_handshake, explain_status, or_no_reason, refused_error, timeout_error};
use http2::{GrpcChannel, start_http2};
use proto::{AuthenticateRequest, AuthenticateResponse, Empty, HashKvRequest, MemberListRequest, MemberListResponse};
use traced_stream::{DisconnectCause, DisconnectTrace, TracedStream};

/// A connection to one member.
pub struct EtcdClient {
    grpc: Grpc<GrpcChannel>,
    connection: JoinHandle<()>,
    trace: DisconnectTrace,
    token: Option<MetadataValue<Ascii>>,
    /// `namespace/pod`, for errors.
    pod: String,
    with_tls: bool,
}

impl Drop for EtcdClient {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl EtcdClient {
    /// Connects to `member`, and logs in if `config` has a user. `limit` is for each of the steps.
    ///
    /// # Errors
    /// The API server refuses, the TLS connection cannot be trusted or is not accepted, or the password is wrong.
    pub async fn connect(
        client: &KubeClient,
        member: &Member,
        config: &ClientConfig,
        limit: Duration,
    ) -> Result<Self, ConnectError> {
        let with_tls = config.endpoint().starts_with("https://");
        let port = url::port(config.endpoint());
        let pod = member.pod_path();
        let trace = DisconnectTrace::default();
        let stream = client.port_forward(&member.namespace, &member.pod_name, port).await?;
        let stream = TracedStream::new(stream, trace.clone());
        let (channel, connection) = if with_tls {
            let stream = tls_handshake(stream, member, config, &trace, limit).await?;
            start_http2(TracedStream::new(stream, trace.clone()), limit, &trace, &pod).await?
        } else {
            start_http2(stream, limit, &trace, &pod).await?
        };
        let scheme = if with_tls { "https" } else { "http" };
        let origin = Uri::try_from(format!("{scheme}://localhost:{port}"))
            .map_err(|error| Error::failed(format!("cannot address etcd: {error}")))?;
        let grpc = Grpc::with_origin(channel, origin);
        let mut etcd = EtcdClient { grpc, connection, trace, token: None, pod, with_tls };
        if let Some(user) = config.user() {
            let outcome = etcd.authenticate(user, limit).await;
            outcome.map_err(|error| ConnectError::Failed(error).unavailable_if(etcd.has_no_listener()))?;
        }
        Ok(etcd)
    }

    /// Reports whether nothing listens on the port, which may show only in the first call.
    pub fn has_no_listener(&self) -> bool {
        matches!(self.trace.cause(), Some(DisconnectCause::NoListener(_)))
    }

    /// Logs in. Only an administrator may ask whether authentication is on, but the response to a login tells, too.
    async fn authenticate(&mut self, user: &AuthUser, limit: Duration) -> Result<()> {
        let request = AuthenticateRequest { name: user.name.clone(), password: user.password.reveal().to_owned() };
        match self.unary_raw("/etcdserverpb.Auth/Authenticate", request, limit).await {
            Ok(AuthenticateResponse { token }) => {
                self.token = token.parse().ok();
                Ok(())
            }
            Err(CallError::Status(status)) if status.message().contains("authentication is not enabled") => Ok(()),
            Err(CallError::Status(status)) if status.code() == Code::InvalidArgument => {
                let reason = or_no_reason(status.message());
                Err(refused_error(format!("etcd refuses the user of --etcd-user: {reason}")))
            }
            Err(error) => Err(self.explain_call(error, limit)),
        }
    }

    /// Returns the status of the member. Works without a quorum.
    pub async fn status(&mut self, limit: Duration) -> Result<StatusResponse> {
        self.unary("/etcdserverpb.Maintenance/Status", Empty {}, limit).await
    }

    /// Returns the hash of the member's keys at `revision`; 0 is the newest. The member blocks writes until it is computed.
    pub async fn hash_kv(&mut self, revision: i64, limit: Duration) -> Result<HashKvResponse> {
        self.unary("/etcdserverpb.Maintenance/HashKV", HashKvRequest { revision }, limit).await
    }

    /// Returns the member list of this member. Works without a quorum.
    pub async fn members(&mut self, limit: Duration) -> Result<Vec<ListedMember>> {
        let request = MemberListRequest { linearizable: false };
        let response: MemberListResponse = self.unary("/etcdserverpb.Cluster/MemberList", request, limit).await?;
        Ok(response.members)
    }

    /// Starts a snapshot.
    pub async fn snapshot(&mut self, limit: Duration) -> Result<Snapshot<'_>> {
        let request = self.request(Empty {});
        let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Snapshot");
        let started = tokio::time::timeout(limit, async {
            self.grpc.ready().await.map_err(|error| GrpcStatus::unavailable(error.to_string()))?;
            self.grpc.server_streaming(request, path, ProstCodec::<Empty, SnapshotResponse>::default()).await
        });
        match started.await {
            Ok(Ok(response)) => Ok(Snapshot { stream: response.into_inner(), etcd: self }),
            Ok(Err(status)) => Err(self.explain_call(CallError::Status(status), limit)),
            Err(_) => Err(self.explain_call(CallError::Timeout, limit)),
        }
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    async fn unary<M, A>(&mut self, path: &'static str, message: M, limit: Duration) -> Result<A>
    where
        M: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.unary_raw(path, message, limit).await.map_err(|error| self.explain_call(error, limit))
    }

    async fn unary_raw<M, A>(&mut self, path: &'static str, message: M, limit: Duration) -> Result<A, CallError>
    where
        M: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let request = self.request(message);
        let response = tokio::time::timeout(limit, async {
            self.grpc.ready().await.map_err(|error| GrpcStatus::unavailable(error.to_string()))?;
            self.grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<M, A>::default()).await
        });
        match response.await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(CallError::Status(status)),
            Err(_) => Err(CallError::Timeout),
        }
    }

    fn explain_call(&self, error: CallError, limit: Duration) -> Error {
        match error {
            CallError::Status(status) => explain_status(&status, &self.trace, &self.pod, self.with_tls),
            CallError::Timeout => timeout_error(&self.pod, limit),
        }
    }
}

/// Starts TLS with the certificates of `config`.
async fn tls_handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    member: &Member,
    config: &ClientConfig,
    trace: &DisconnectTrace,
    limit: Duration,
) -> Result<TlsStream<S>, ConnectError> {
    let Some(material) = config.tls() else {
        return Err(Error::usage("cannot connect to etcd: it serves https, and no certificates were given")
            .hint("give --etcd-cacert, --etcd-cert and --etcd-key, or --etcd-cert-secret")
            .into());
    };
    let names =
        match config.server_name() {
            Some(name) => {
                vec![ServerName::try_from(name.to_owned()).map_err(|_| {
                    Error::usage(format!("\"{name}\" is not the name of a server (--etcd-server-name)"))
                })?]
            }
            None => tls::certificate_names(member),
        };
    let first_name = names[0].clone();
    let connector = tokio_rustls::TlsConnector::from(tls::tls_config(material, names)?);
    let handshake = tokio::time::timeout(limit, connector.connect(first_name, stream)).await;
    handshake.map_err(|_| timeout_error(&member.pod_path(), limit))?.map_err(|error| {
        let tls_error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let untrusted = tls_error.and_then(|error| tls::explain_untrusted(error, material, config.server_name()));
        let error = match untrusted {
            Some(untrusted) => untrusted.into(),
            None => explain_handshake(&error, trace, &member.pod_path(), url::port(config.endpoint())),
        };
        // Certificates that were found in the pod may be the wrong ones.
        error.unavailable_if(config.is_found())
    })
}

/// Why a call failed.
enum CallError {
    Status(GrpcStatus),
    Timeout,
}

/// A snapshot that is being received.
pub struct Snapshot<'r> {
    stream: Streaming<SnapshotResponse>,
    etcd: &'r EtcdClient,
}

impl Snapshot<'_> {
    /// Returns the next part; `None` after the last one, if etcd reports success.
    ///
    /// # Errors
    /// The connection broke, or etcd ended the snapshot.
    pub async fn next(&mut self) -> Result<Option<SnapshotResponse>> {
        let part = self.stream.message().await;
        part.map_err(|status| explain_status(&status, &self.etcd.trace, &self.etcd.pod, self.etcd.with_tls))
    }
}
