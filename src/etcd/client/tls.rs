//! TLS to etcd. The server certificate is always checked.
//!
//! The connection goes through the API server to a port of a pod, so the certificate has no host name to match. It must be
//! for one of the names of the member, and its chain must end at the given CA.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Result};
use crate::etcd::credentials::tls_material::TlsMaterial;
use crate::etcd::member::Member;
use crate::etcd::url;

/// Creates the configuration for a server that has one of `names` in its certificate.
pub(super) fn tls_config(material: &TlsMaterial, names: Vec<ServerName<'static>>) -> Result<Arc<ClientConfig>> {
    let unusable =
        |what: &str, cause: &str| Error::usage(format!("cannot use {what} of {}: {cause}", material.origin()));
    let mut roots = RootCertStore::empty();
    for certificate in material.ca() {
        roots.add(certificate.clone()).map_err(|error| unusable("the CA certificate", &error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| unusable("the CA certificate", &error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::failed(format!("cannot prepare TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyNameVerifier { inner, names }));
    let mut config = match material.client_cert() {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| unusable("the client certificate and key", &error.to_string()))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Returns the names that the server certificate of `member` may have.
pub(super) fn certificate_names(member: &Member) -> Vec<ServerName<'static>> {
    let spec = member.pod.spec.as_ref();
    let status = member.pod.status.as_ref();
    let mut names: Vec<String> =
        vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), member.node.clone()];
    names.extend([member.pod_name.clone(), member.name.clone()]);
    names.push(url::host(&member.local_endpoint()).to_owned());
    names.extend(member.advertised_urls().into_iter().map(|url| url::host(url).to_owned()));
    names.extend(status.and_then(|status| status.pod_ip.clone()));
    names.extend(status.and_then(|status| status.host_ip.clone()));
    if let Some(subdomain) = spec.and_then(|spec| spec.subdomain.as_deref()) {
        let host = spec.and_then(|spec| spec.hostname.as_deref()).unwrap_or(&member.pod_name);
        let service = format!("{subdomain}.{}.svc", member.namespace);
        names.extend([
            format!("{host}.{subdomain}"),
            format!("{host}.{service}"),
            format!("{host}.{service}.cluster.local"),
            format!("{service}.cluster.local"),
            service,
        ]);
    }
    let mut found: Vec<ServerName<'static>> = Vec::new();
    for name in names {
        if let Ok(name) = ServerName::try_from(name)
            && !found.contains(&name)
        {
            found.push(name);
        }
    }
    found
}

/// Explains why this side ended the handshake; `None` if the reason is not the server certificate. `expected` is the value
/// of `--etcd-server-name`.
pub(super) fn explain_untrusted(
    error: &rustls::Error,
    material: &TlsMaterial,
    expected: Option<&str>,
) -> Option<Error> {
    let rustls::Error::InvalidCertificate(reason) = error else {
        return None;
    };
    let origin = material.origin();
    Some(match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Error::failed(format!("etcd's certificate was not issued by the CA of {origin}"))
                .hint("give etcd's own CA with --etcd-cacert; kubeadm keeps it in /etc/kubernetes/pki/etcd/ca.crt")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Error::failed("the certificate of etcd has expired")
                .hint("renew it ('kubeadm certs renew etcd-server' on that node); until then, use --transport node")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Error::failed("the certificate of etcd is not valid yet").hint("check the clock of this machine")
        }
        CertificateError::NotValidForName => {
            Error::failed("the certificate of etcd has no name").hint("use --transport node, which does not need one")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = format_names(presented);
            let message = match expected {
                Some(expected) => format!("the certificate of etcd is not for {expected}, but for: {names}"),
                None => format!("the certificate of etcd is for other names than this member's: {names}"),
            };
            Error::failed(message).hint("if one of them is right, name it with --etcd-server-name")
        }
        other => Error::failed(format!("cannot trust the certificate of etcd: {other}")),
    })
}

/// Formats `DnsName("etcd")` as `etcd`.
fn format_names(presented: &[String]) -> String {
    let names: Vec<&str> = presented
        .iter()
        .map(|name| {
            name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.trim_end_matches(')')).trim_matches('"')
        })
        .collect();
    names.join(", ")
}

/// Checks the chain, and accepts any of several names.
#[derive(Debug)]
struct AnyNameVerifier {
    inner: Arc<WebPkiServerVerifier>,
    names: Vec<ServerName<'static>>,
}

impl ServerCertVerifier for AnyNameVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut mismatch = CertificateError::NotValidForName;
        for name in &self.names {
            match self.inner.verify_server_cert(certificate, intermediates, name, ocsp, now) {
                Err(rustls::Error::InvalidCertificate(
                    reason @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
                )) => mismatch = reason,
                result => return result,
            }
        }
        Err(rustls::Error::InvalidCertificate(mismatch))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    #[test]
    fn the_certificate_may_name_the_node_the_pod_and_the_addresses() {
        let mut pod = pod("etcd-0", &["etcd", "--advertise-client-urls=https://etcd-0.etcd.ns.svc:2379"], false);
        pod.spec.as_mut().expect("it has one").subdomain = Some("etcd".to_owned());
        let member = Member::from_pod(pod).expect("it runs etcd");
        let names: Vec<String> = certificate_names(&member).iter().map(|name| name.to_str().into_owned()).collect();
        for name in ["localhost", "127.0.0.1", "cp1", "etcd-0", "10.0.0.11", "etcd-0.etcd.kube-system.svc"] {
            assert!(names.contains(&name.to_owned()), "{name} is missing in {names:?}");
        }
    }

    #[test]
    fn presented_names_are_shown_without_their_kind() {
        assert_eq!(
            format_names(&["DnsName(\"etcd.local\")".to_owned(), "IpAddress(10.0.0.9)".to_owned()]),
            "etcd.local, 10.0.0.9"
        );
    }
}
