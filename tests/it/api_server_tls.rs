//! The API server's certificate: trusted by the kubeconfig's authority, for the server's own name, and in its time.

use crate::support::Rig;
use crate::support::certs::Authority;
use crate::support::tls;

/// A rig behind TLS whose certificate is for `name`; the kubeconfig trusts `trusted`.
fn behind_tls(server: &Authority, trusted: &Authority, name: &str, expired: bool) -> Rig {
    let rig = Rig::new();
    let port = tls::serve(server, rig.cluster.port, name, expired);
    let config = std::fs::read_to_string(rig.path("config")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    std::fs::copy(trusted.ca(), rig.path("ca.crt")).unwrap();
    config["clusters"][0]["cluster"]["server"] = format!("https://127.0.0.1:{port}").into();
    config["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt".into();
    std::fs::write(rig.path("config"), config.to_string()).unwrap();
    rig
}

#[test]
fn a_certificate_of_the_clusters_authority_is_trusted() {
    let authority = Authority::new("test");
    let rig = behind_tls(&authority, &authority, "127.0.0.1", false);
    rig.run(&["--out", "x.db"]).code(0).says("sha-256 matches").leaves_only(&["ca.crt", "x.db"]);
}

#[test]
fn a_certificate_of_another_authority_is_refused_unless_insecure() {
    let rig = behind_tls(&Authority::new("one"), &Authority::new("another"), "127.0.0.1", false);
    rig.run(&["--out", "x.db"])
        .code(1)
        .says("cannot trust the certificate of the API server https://127.0.0.1:")
        .says("hint: check certificate-authority of the cluster in the kubeconfig")
        .leaves_only(&["ca.crt"]);
    assert!(rig.cluster.shared.state().requests.is_empty(), "a request was sent to a server that is not trusted");
    rig.run(&["--out", "x.db", "--insecure-skip-tls-verify"]).code(0).leaves_only(&["ca.crt", "x.db"]);
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new("test");
    let rig = behind_tls(&authority, &authority, "127.0.0.1", true);
    rig.run(&["--out", "x.db"]).code(1).says("cannot trust the certificate").says("expired").leaves_only(&["ca.crt"]);
}

#[test]
fn a_certificate_for_another_name_needs_tls_server_name() {
    let authority = Authority::new("test");
    let rig = behind_tls(&authority, &authority, "kubernetes.internal", false);
    rig.run(&["--out", "x.db"])
        .code(1)
        .says("cannot trust the certificate of the API server https://127.0.0.1:")
        .says("certificate not valid for name \"127.0.0.1\"")
        .says("kubernetes.internal")
        .leaves_only(&["ca.crt"]);
    rig.run(&["--out", "x.db", "--tls-server-name", "kubernetes.internal"]).code(0).leaves_only(&["ca.crt", "x.db"]);
}
