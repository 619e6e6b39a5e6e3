//! When a member's server certificate ends.
//!
//! It is not a file that could be read: etcd's image need not hold anything that prints one. But whoever connects is
//! shown it, with no certificate of their own and before anything is decided, so that is how it is asked for: a TLS
//! handshake through the API server that ends the moment the certificate is seen. Nothing in it is trusted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::Member;
use super::url;
use crate::k8s::KubeClient;

/// What is known of the end of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    /// There is none: etcd serves plain http.
    None,
    /// It ends then.
    At(Timestamp),
    /// Why it is not known.
    Unknown(String),
}

/// Asks `member` for its server certificate. `endpoint` is its URL as seen from inside its pod.
pub async fn expiry(cluster: &KubeClient, member: &Member, endpoint: Option<&str>, limit: Duration) -> Expiry {
    let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
    if endpoint.starts_with("http://") {
        return Expiry::None;
    }
    let shown = async {
        let port = url::port(&endpoint);
        match cluster.port_forward(&member.namespace, &member.pod_name, port).await {
            Ok(stream) => certificate(stream).await,
            Err(failure) => Err(failure.error().message().to_owned()),
        }
    };
    let shown = tokio::time::timeout(limit, shown).await;
    match shown.unwrap_or_else(|_| Err(format!("no answer within {}s", limit.as_secs()))) {
        Ok(certificate) => end_of(&certificate),
        Err(reason) => Expiry::Unknown(reason),
    }
}

fn end_of(certificate: &[u8]) -> Expiry {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return Expiry::Unknown("the certificate cannot be read".to_owned());
    };
    let seconds = certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    match i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(time) => Expiry::At(time),
        None => Expiry::Unknown("the certificate ends at a time that makes no sense".to_owned()),
    }
}

/// The certificate that the other side shows, in DER.
async fn certificate(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Vec<u8>, String> {
    let look = Arc::new(Look::default());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&look) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
    let ended = TlsConnector::from(Arc::new(configuration)).connect(name, stream).await;
    let seen = look.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    seen.ok_or_else(|| match ended {
        Ok(_) => "no certificate was shown".to_owned(),
        Err(error) => format!("no TLS connection: {error}"),
    })
}

/// Keeps the certificate and refuses it.
#[derive(Debug, Default)]
struct Look {
    seen: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate.to_vec());
        Err(rustls::Error::General("only looked at".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("never trusted".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("never trusted".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(versions: &[&'static rustls::SupportedProtocolVersion]) -> rustls::ServerConfig {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(vec!["etcd".to_owned()]).expect("parameters");
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2021, 2, 3);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // As etcd with --client-cert-auth: who has no certificate is refused.
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .expect("a server")
    }

    #[tokio::test]
    async fn a_server_that_wants_a_certificate_shows_its_own_first() {
        for version in rustls::ALL_VERSIONS {
            let (here, there) = tokio::io::duplex(1 << 16);
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server(&[version])));
            let serving = tokio::spawn(async move { acceptor.accept(there).await.map(drop) });
            let shown = certificate(here).await.expect("it is shown");
            assert_eq!(end_of(&shown), Expiry::At("2021-02-03T00:00:00Z".parse().expect("a time")));
            assert!(serving.await.expect("it ends").is_err(), "the connection must not come about");
        }
    }

    #[tokio::test]
    async fn what_speaks_no_tls_shows_nothing() {
        let (here, mut there) = tokio::io::duplex(1 << 16);
        tokio::io::AsyncWriteExt::write_all(&mut there, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        drop(there);
        assert!(certificate(here).await.expect_err("no TLS").starts_with("no TLS connection"));
        assert!(matches!(end_of(b"no certificate"), Expiry::Unknown(_)));
    }
}
