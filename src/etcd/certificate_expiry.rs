//! The expiry of a member's server certificate.
//!
//! The file cannot be read, because etcd's image may have no tool that prints it. But a TLS server sends its certificate
//! to every client, before it asks for a client certificate. So this module starts a TLS handshake through the API server
//! and ends it when the certificate arrives. Nothing in the certificate is trusted.

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

use super::member::Member;
use super::url;
use crate::k8s::KubeClient;

/// When a certificate expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    /// There is no certificate, because etcd serves plain http.
    None,
    At(Timestamp),
    /// The reason why it is unknown.
    Unknown(String),
}

/// Asks `member` for its server certificate. `endpoint` is its URL inside its pod.
pub async fn query_expiry(client: &KubeClient, member: &Member, endpoint: Option<&str>, limit: Duration) -> Expiry {
    let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
    if endpoint.starts_with("http://") {
        return Expiry::None;
    }
    let certificate = async {
        let port = url::port(&endpoint);
        match client.port_forward(&member.namespace, &member.pod_name, port).await {
            Ok(stream) => fetch_certificate(stream).await,
            Err(failure) => Err(failure.error().message().to_owned()),
        }
    };
    let certificate = tokio::time::timeout(limit, certificate).await;
    match certificate.unwrap_or_else(|_| Err(format!("no answer within {}s", limit.as_secs()))) {
        Ok(certificate) => parse_expiry(&certificate),
        Err(reason) => Expiry::Unknown(reason),
    }
}

fn parse_expiry(certificate: &[u8]) -> Expiry {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return Expiry::Unknown("cannot read the certificate".to_owned());
    };
    let seconds = certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    match i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(time) => Expiry::At(time),
        None => Expiry::Unknown("the certificate has an invalid expiry".to_owned()),
    }
}

/// Returns the certificate that the server sends, in DER.
async fn fetch_certificate(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Vec<u8>, String> {
    let recorder = Arc::new(CertificateRecorder::default());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
    let handshake = TlsConnector::from(Arc::new(configuration)).connect(name, stream).await;
    let certificate = recorder.certificate.lock().unwrap_or_else(PoisonError::into_inner).take();
    certificate.ok_or_else(|| match handshake {
        Ok(_) => "the server sent no certificate".to_owned(),
        Err(error) => format!("cannot open a TLS connection: {error}"),
    })
}

/// Keeps the certificate and refuses it.
#[derive(Debug, Default)]
struct CertificateRecorder {
    certificate: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for CertificateRecorder {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate.to_vec());
        Err(rustls::Error::General("the certificate is only read".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("the certificate is not trusted".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("the certificate is not trusted".to_owned()))
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
        // Clients without a certificate are refused, as by an etcd with --client-cert-auth.
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
    async fn a_server_that_asks_for_a_certificate_sends_its_own_first() {
        for version in rustls::ALL_VERSIONS {
            let (here, there) = tokio::io::duplex(1 << 16);
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server(&[version])));
            let serving = tokio::spawn(async move { acceptor.accept(there).await.map(drop) });
            let received = fetch_certificate(here).await.expect("it is sent");
            assert_eq!(parse_expiry(&received), Expiry::At("2021-02-03T00:00:00Z".parse().expect("a time")));
            assert!(serving.await.expect("it ends").is_err(), "the connection must not come about");
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_sends_no_certificate() {
        let (here, mut there) = tokio::io::duplex(1 << 16);
        tokio::io::AsyncWriteExt::write_all(&mut there, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        drop(there);
        assert!(fetch_certificate(here).await.expect_err("no TLS").starts_with("cannot open a TLS connection"));
        assert!(matches!(parse_expiry(b"no certificate"), Expiry::Unknown(_)));
    }
}
