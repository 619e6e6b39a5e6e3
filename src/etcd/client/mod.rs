//! etcd's own API, spoken over a connection to the member's pod.
//!
//! One connection and no second one: a snapshot can only be taken again as a whole, so a connection that breaks is an
//! error and nothing reconnects behind anybody's back.

mod error;
mod http2;
mod proto;
mod tls;
mod traced_stream;

use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use rustls::pki_types::ServerName;
use tokio::task::JoinHandle;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status as GrpcStatus, Streaming};
use tonic_prost::ProstCodec;

pub use error::ConnectError;
pub use proto::{HashKv, ListedMember, SnapshotPart, Status};

use super::Member;
use super::credentials::auth_user::AuthUser;
use super::credentials::client_config::ClientConfig;
use super::member::port_of;
use crate::error::{Error, Result};
use crate::k8s::KubeClient;
use error::{TLS_ALERT, broken, plain, refused, speaks_tls};
use http2::{Sender, http2};
use proto::{AuthenticateRequest, AuthenticateResponse, Empty, HashKvRequest, MemberListRequest, MemberListResponse};
use traced_stream::{DisconnectCause, DisconnectTrace, TracedStream};

/// A connection to one member.
pub struct EtcdClient {
    grpc: Grpc<Sender>,
    connection: JoinHandle<()>,
    trace: DisconnectTrace,
    token: Option<MetadataValue<Ascii>>,
    member: String,
    with_tls: bool,
}

impl Drop for EtcdClient {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl EtcdClient {
    /// Connects to `member` and logs in where `opening` says so; `limit` is for each of the steps.
    ///
    /// # Errors
    /// What the cluster refused; why the TLS connection cannot be trusted or was not accepted; a wrong password.
    pub async fn connect(
        cluster: &KubeClient,
        member: &Member,
        opening: &ClientConfig,
        limit: Duration,
    ) -> Result<Self, ConnectError> {
        let with_tls = opening.endpoint().starts_with("https://");
        let port = port_of(opening.endpoint());
        let stream = cluster.port_forward(&member.namespace, &member.pod_name, port).await?;
        let trace = DisconnectTrace::default();
        let stream = TracedStream::new(stream, trace.clone());
        let place = member.pod_path();
        let silent = || Error::failed(format!("etcd in pod {place} does not answer within {}s", limit.as_secs_f32()));

        let (sender, connection) = if with_tls {
            let Some(keys) = opening.keys() else {
                return Err(Error::usage("etcd serves https, and no certificates were given for it")
                    .hint("give --etcd-cacert, --etcd-cert and --etcd-key, or --etcd-cert-secret")
                    .into());
            };
            let names = match opening.server_name() {
                Some(name) => vec![
                    ServerName::try_from(name.to_owned())
                        .map_err(|_| Error::usage(format!("\"{name}\" is no name of a server (--etcd-server-name)")))?,
                ],
                None => tls::names_of(member),
            };
            let first = names[0].clone();
            let connector = tokio_rustls::TlsConnector::from(tls::configuration(keys, names)?);
            let handshake = tokio::time::timeout(limit, connector.connect(first, stream)).await;
            let stream = match handshake.map_err(|_| silent())? {
                Ok(stream) => stream,
                Err(error) => {
                    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                    if let Some(untrusted) = inner.and_then(|inner| tls::untrusted(inner, keys, opening.server_name()))
                    {
                        return Err(ConnectError::Failed(untrusted).unavailable_if(opening.is_found()));
                    }
                    let no_tls = matches!(
                        inner,
                        Some(rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. })
                    );
                    let cause = trace.cause().unwrap_or_else(|| traced_stream::cause_of(&error));
                    let cause = match inner {
                        Some(rustls::Error::AlertReceived(alert)) => DisconnectCause::Alert(*alert),
                        _ => cause,
                    };
                    return Err(match cause {
                        DisconnectCause::Ended(_) | DisconnectCause::Broke(_)
                            if no_tls || trace.first_byte().is_none() =>
                        {
                            ConnectError::Failed(
                                Error::failed(format!(
                                    "what listens on port {port} of pod {place} does not speak TLS: {error}"
                                ))
                                .hint("where etcd serves plain http, say so: --pod-endpoint http://127.0.0.1:PORT"),
                            )
                        }
                        cause => broken(&cause, &place, &error.to_string()),
                    }
                    .unavailable_if(opening.is_found()));
                }
            };
            let stream = TracedStream::new(stream, trace.clone());
            http2(stream, limit, &trace, &place).await?
        } else {
            http2(stream, limit, &trace, &place).await?
        };
        let scheme = if with_tls { "https" } else { "http" };
        let origin = format!("{scheme}://{}:{port}", "localhost");
        let origin = Uri::try_from(origin).map_err(|error| Error::failed(format!("cannot address etcd: {error}")))?;
        let mut rpc = EtcdClient {
            grpc: Grpc::with_origin(sender, origin),
            connection,
            trace,
            token: None,
            member: place,
            with_tls,
        };
        if let Some(user) = opening.user()
            && let Err(error) = rpc.authenticate(user, limit).await
        {
            return Err(ConnectError::Failed(error).unavailable_if(rpc.has_no_listener()));
        }
        Ok(rpc)
    }

    /// Returns whether nothing listens on the port, which may show only in the first call.
    pub fn has_no_listener(&self) -> bool {
        matches!(self.trace.cause(), Some(DisconnectCause::NoListener(_)))
    }

    /// Whether authentication is on, only an administrator may ask; the answer to a login tells as well.
    async fn authenticate(&mut self, user: &AuthUser, limit: Duration) -> Result<()> {
        let request = AuthenticateRequest { name: user.name.clone(), password: user.password.reveal().to_owned() };
        match self.unary_raw("/etcdserverpb.Auth/Authenticate", request, limit).await {
            Ok(AuthenticateResponse { token }) => {
                self.token = token.parse().ok();
                Ok(())
            }
            Err(Unanswered::Status(status)) if status.message().contains("authentication is not enabled") => Ok(()),
            Err(Unanswered::Status(status)) if status.code() == Code::InvalidArgument => {
                Err(refused(&format!("etcd refuses the user of --etcd-user: {}", plain(status.message()))))
            }
            Err(timeout) => Err(self.explain(timeout, limit)),
        }
    }

    /// How the member fares. Works without a quorum.
    pub async fn status(&mut self, limit: Duration) -> Result<Status> {
        self.unary("/etcdserverpb.Maintenance/Status", Empty {}, limit).await
    }

    /// The hash of the member's keys at `revision`; 0 is the newest. The member holds a lock while it computes.
    pub async fn hash_kv(&mut self, revision: i64, limit: Duration) -> Result<HashKv> {
        self.unary("/etcdserverpb.Maintenance/HashKV", HashKvRequest { revision }, limit).await
    }

    /// The members as this one knows them. Works without a quorum.
    pub async fn members(&mut self, limit: Duration) -> Result<Vec<ListedMember>> {
        let request = MemberListRequest { linearizable: false };
        let answer: MemberListResponse = self.unary("/etcdserverpb.Cluster/MemberList", request, limit).await?;
        Ok(answer.members)
    }

    /// Begins a snapshot.
    pub async fn snapshot(&mut self, limit: Duration) -> Result<Snapshot<'_>> {
        let request = self.request(Empty {});
        let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Snapshot");
        let started = tokio::time::timeout(limit, async {
            self.grpc.ready().await.map_err(|error| GrpcStatus::unavailable(error.to_string()))?;
            self.grpc.server_streaming(request, path, ProstCodec::<Empty, SnapshotPart>::default()).await
        });
        match started.await {
            Ok(Ok(answer)) => Ok(Snapshot { stream: answer.into_inner(), rpc: self }),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(self.silent(limit)),
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
        self.unary_raw(path, message, limit).await.map_err(|timeout| self.explain(timeout, limit))
    }

    async fn unary_raw<M, A>(&mut self, path: &'static str, message: M, limit: Duration) -> Result<A, Unanswered>
    where
        M: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let request = self.request(message);
        let answered = tokio::time::timeout(limit, async {
            self.grpc.ready().await.map_err(|error| GrpcStatus::unavailable(error.to_string()))?;
            self.grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<M, A>::default()).await
        });
        match answered.await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Unanswered::Status(status)),
            Err(_) => Err(Unanswered::Silence),
        }
    }

    fn explain(&self, timeout: Unanswered, limit: Duration) -> Error {
        match timeout {
            Unanswered::Status(status) => self.failed(&status),
            Unanswered::Silence => self.silent(limit),
        }
    }

    fn silent(&self, limit: Duration) -> Error {
        Error::failed(format!("etcd in pod {} does not answer within {}s", self.member, limit.as_secs_f32()))
    }

    /// A failed call in words: what broke the connection, or what etcd said.
    fn failed(&self, status: &GrpcStatus) -> Error {
        if let Some(cause) = self.trace.cause() {
            if let DisconnectCause::Ended(said) | DisconnectCause::Broke(said) = &cause
                && !self.with_tls
                && self.trace.first_byte().is_none()
            {
                return speaks_tls(&self.member, said);
            }
            return broken(&cause, &self.member, status.message()).into();
        }
        if !self.with_tls && self.trace.first_byte() == Some(TLS_ALERT) {
            return speaks_tls(&self.member, "it sent a TLS alert");
        }
        let said = status.message();
        match status.code() {
            _ if said.contains("user name is empty") => refused(&format!("etcd has authentication on: {said}"))
                .hint("name a user that has the role root with --etcd-user, or give the certificate of one"),
            Code::PermissionDenied | Code::Unauthenticated => refused(&format!("etcd refuses: {said}"))
                .hint("a snapshot needs a user that has the role root: --etcd-user"),
            code => Error::failed(format!("etcd in pod {} failed: {} ({code})", self.member, plain(said))),
        }
    }
}

/// Why a call has no answer.
enum Unanswered {
    Status(GrpcStatus),
    Silence,
}

/// A snapshot on its way.
pub struct Snapshot<'r> {
    stream: Streaming<SnapshotPart>,
    rpc: &'r EtcdClient,
}

impl Snapshot<'_> {
    /// The next part; `None` after the last one, when etcd has said that all is well.
    ///
    /// # Errors
    /// The connection broke, or etcd said why it stops.
    pub async fn next(&mut self) -> Result<Option<SnapshotPart>> {
        self.stream.message().await.map_err(|status| self.rpc.failed(&status))
    }
}
