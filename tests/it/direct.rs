//! The transport `direct`: etcd's own call through `pods/portforward`, with TLS and users, and a line that breaks.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::certs::Authority;
use crate::support::etcd::{Etcd, tool};
use crate::support::fake_cluster::container::Faults as Container;
use crate::support::fake_cluster::faults::Faults;
use crate::support::fake_cluster::members::FakeMember;
use crate::support::{KEYS, Outcome, Rig};

const DIRECT: [&str; 4] = ["--out", "x.db", "--transport", "direct"];

/// One etcd with TLS for all tests that only read it.
fn secured() -> &'static (Authority, Etcd) {
    static ETCD: OnceLock<(Authority, Etcd)> = OnceLock::new();
    ETCD.get_or_init(|| {
        let authority = Authority::new("etcd-ca");
        let etcd = Etcd::secured(&authority, &authority.issue("server", &["localhost", "127.0.0.1"], false));
        etcd.fill(200, 1000);
        (authority, etcd)
    })
}

/// A run with certificates of `keys`, trusting `ca`.
fn with_files<'r>(rig: &'r Rig, ca: &Authority, keys: &Authority, more: &[&str]) -> Outcome<'r> {
    let (cert, key) = keys.issue("client", &[], false);
    let (ca, cert, key) = (ca.ca(), cert.display().to_string(), key.display().to_string());
    let ca = ca.display().to_string();
    let mut words = vec!["--out", "x.db", "--etcd-cacert", &ca, "--etcd-cert", &cert, "--etcd-key", &key];
    words.extend(more);
    rig.run(&words)
}

fn is_a_snapshot(file: &Path) {
    let status = Command::new(tool("etcdutl")).args(["snapshot", "status"]).arg(file).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
}

fn fails(script: impl FnOnce(&mut Faults), code: i32, says: &[&str]) {
    let rig = Rig::with(script);
    let mut outcome = rig.run(&[&DIRECT[..], &["--stall-timeout", "2s"]].concat()).code(code);
    for text in says {
        outcome = outcome.says(text);
    }
    outcome.leaves_only(&[]);
    assert!(rig.cluster.requests("POST", "/jobs").is_empty(), "a failed copy moves on to nothing");
}

#[test]
fn a_scratch_etcd_booted_from_the_file_holds_every_key() {
    let rig = Rig::new();
    rig.run(&DIRECT).code(0).says("Transport direct").says("sha-256 matches").leaves_only(&["x.db"]);
    assert_eq!(Etcd::restored(&rig.path("x.db")).count(), KEYS);
    assert!(rig.cluster.requests("POST", "/jobs").is_empty());
    assert!(rig.cluster.requests("GET", "/proxy/").is_empty(), "nothing is asked of the node");
}

#[test]
fn a_reader_that_takes_nothing_does_not_outlast_the_deadline() {
    // More than the queue in front of the writer holds.
    let etcd = Etcd::start();
    etcd.fill(8000, 3000);
    let rig = Rig::in_front_of(&etcd, |_| ());
    let words = ["--out", "-", "--transport", "direct", "--deadline", "3s", "--stall-timeout", "60s"];
    let mut running = rig.start(&words);
    let start = Instant::now();
    // Its standard output is not read before it has ended.
    while running.child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "the copy does not stop");
        std::thread::sleep(Duration::from_millis(50));
    }
    running.end().code(1).says("longer than --deadline allows").leaves_only(&[]);
}

#[test]
fn the_document_names_the_transport_and_no_place() {
    let rig = Rig::new();
    let outcome = rig.run(&[&DIRECT[..], &["-o", "json"]].concat()).code(0);
    let document: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(document["transport"], "direct");
    assert!(document["nodeDirectory"].is_null() && document["containerFile"].is_null());
}

#[test]
fn certificates_from_files_are_enough_to_be_tried_first() {
    let (authority, etcd) = secured();
    let rig = Rig::in_front_of(etcd, |_| ());
    with_files(&rig, authority, authority, &[])
        .code(0)
        .says("Transport direct: a connection to etcd through the API server, with the files given")
        .leaves_only(&["x.db"]);
    is_a_snapshot(&rig.path("x.db"));
    assert!(rig.cluster.requests("POST", "/jobs").is_empty());
}

/// A Secret with these entries, from files of `authority`.
fn secret(rig: &Rig, authority: &Authority, names: [&str; 3]) {
    let (cert, key) = authority.issue("from-secret", &[], false);
    let data: serde_json::Map<String, serde_json::Value> = names
        .iter()
        .zip([authority.ca(), cert, key])
        .map(|(name, path)| ((*name).to_owned(), base64(&std::fs::read(path).unwrap()).into()))
        .collect();
    let secret =
        serde_json::json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "etcd-certs"}, "data": data});
    rig.cluster.shared.state().secrets.insert("etcd-certs".to_owned(), secret);
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for piece in bytes.chunks(3) {
        let word = piece.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - piece.len()));
        for digit in 0..4 {
            let sextet = (word >> (18 - 6 * digit)) & 63;
            text.push(if digit <= piece.len() { char::from(DIGITS[sextet as usize]) } else { '=' });
        }
    }
    text
}

#[test]
fn certificates_from_a_secret_stay_in_memory() {
    let (authority, etcd) = secured();
    for names in [
        ["ca.crt", "tls.crt", "tls.key"],
        ["etcd-client-ca.crt", "etcd-client.crt", "etcd-client.key"],
        ["ca.pem", "cert.pem", "key.pem"],
    ] {
        let rig = Rig::in_front_of(etcd, |_| ());
        secret(&rig, authority, names);
        let outcome = rig.run(&["--out", "x.db", "--etcd-cert-secret", "kube-system/etcd-certs", "-v=6"]).code(0);
        assert!(!outcome.stderr.contains("PRIVATE KEY"), "no key is logged");
        outcome.says("with Secret kube-system/etcd-certs").leaves_only(&["x.db"]);
    }
}

/// A hosted control plane: its member mounts the Secret "own", in which the CA is `ca`, and over that CA perhaps a
/// ConfigMap.
fn hosted(authority: &Authority, ca: &Authority, ca_map: Option<&str>) -> (Etcd, Rig) {
    let etcd = Etcd::secured(authority, &authority.issue("server", &["localhost", "127.0.0.1"], false));
    let member = FakeMember {
        flags: etcd.flags.clone(),
        secret: Some(("own".to_owned(), authority.path().display().to_string())),
        ca_map: ca_map.map(str::to_owned),
        ..FakeMember::new("cp1", &etcd.url)
    };
    let rig = Rig::with_members(vec![member], |_| ());
    let own = |name: &str| authority.path().join(name);
    let files = [("ca.crt", ca.ca()), ("server.crt", own("server.crt")), ("server.key", own("server.key"))];
    let data: serde_json::Map<String, serde_json::Value> =
        files.into_iter().map(|(name, path)| (name.to_owned(), base64(&std::fs::read(path).unwrap()).into())).collect();
    let secret = serde_json::json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "own"}, "data": data});
    rig.cluster.shared.state().secrets.insert("own".to_owned(), secret);
    (etcd, rig)
}

/// With what it mounts, and by way of the node where `resource` may not be read.
fn opens_with_what_it_mounts(rig: &Rig, resource: &'static str) {
    rig.run(&["--out", "x.db"]).code(0).says("with the Secrets of the etcd pod").leaves_only(&["x.db"]);
    rig.cluster.shared.state().faults.forbid.push(("get", resource));
    rig.run(&["--out", "x.db", "--force"]).code(0).says("Transport node").leaves_only(&["x.db"]);
}

#[test]
fn a_hosted_control_plane_is_opened_with_the_secrets_that_it_mounts() {
    let authority = Authority::new("etcd-ca");
    let (_etcd, rig) = hosted(&authority, &authority, None);
    opens_with_what_it_mounts(&rig, "secrets");
}

/// As OpenShift's hosted control planes have it. The Secret holds another CA, which the mount of the ConfigMap hides.
#[test]
fn the_ca_of_a_hosted_control_plane_may_be_in_a_config_map() {
    let authority = Authority::new("etcd-ca");
    let (_etcd, rig) = hosted(&authority, &Authority::new("another-ca"), Some("etcd-ca"));
    let data = serde_json::json!({"ca.crt": std::fs::read_to_string(authority.ca()).unwrap()});
    let map =
        serde_json::json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "etcd-ca"}, "data": data});
    rig.cluster.shared.state().config_maps.insert("etcd-ca".to_owned(), map);
    opens_with_what_it_mounts(&rig, "configmaps");
}

/// What was found, and not given, may be wrong: then the next transport is tried.
#[test]
fn wrong_certificates_in_the_pods_secrets_lead_to_the_node() {
    let authority = Authority::new("etcd-ca");
    let (_etcd, rig) = hosted(&authority, &Authority::new("another-ca"), None);
    rig.run(&["--out", "x.db"])
        .code(0)
        .says("Transport direct")
        .says("because direct is not available: etcd's certificate was not issued by the CA of the Secrets")
        .leaves_only(&["x.db"]);
}

#[test]
fn a_secret_that_is_missing_or_holds_something_else() {
    let (authority, etcd) = secured();
    let rig = Rig::in_front_of(etcd, |faults| faults.container.tools = Container::ALL.to_vec());
    rig.run(&["--out", "x.db", "--etcd-cert-secret", "nothing"])
        .code(2)
        .says("cannot read Secret kube-system/nothing")
        .leaves_only(&[]);
    rig.cluster.shared.state().faults.forbid.push(("get", "secrets"));
    rig.run(&["--out", "x.db", "--etcd-cert-secret", "etcd-certs"])
        .code(0)
        .says("Transport node: a job on the member's node, whose kubelet serves the file, because direct is not available")
        .says("not allowed to get secrets of etcd-certs")
        .leaves_only(&["x.db"]);
    rig.run(&["--out", "y.db", "--etcd-cert-secret", "etcd-certs", "--transport", "direct"])
        .code(3)
        .says("not allowed to get secrets of etcd-certs");
    std::fs::remove_file(rig.path("x.db")).unwrap();
    rig.cluster.shared.state().faults.forbid.clear();
    // Credentials that are not accepted would fail for every other transport, too.
    rig.cluster.shared.state().faults.unauthorized_for.push(("get", "secrets"));
    rig.run(&["--out", "x.db", "--etcd-cert-secret", "etcd-certs"]).code(3).says("refused the credentials");
    rig.run(&["members", "--etcd-cert-secret", "etcd-certs"]).code(3).leaves_only(&[]);
    rig.cluster.shared.state().faults.unauthorized_for.clear();
    secret(&rig, authority, ["a", "b", "c"]);
    rig.run(&["--out", "x.db", "--etcd-cert-secret", "etcd-certs"])
        .code(2)
        .says("its entries are: a, b, c")
        .leaves_only(&[]);
}

#[test]
fn the_wrong_ca() {
    let (authority, etcd) = secured();
    let rig = Rig::in_front_of(etcd, |_| ());
    let other = Authority::new("another-ca");
    with_files(&rig, &other, authority, &[])
        .code(1)
        .says("etcd's certificate was not issued by the CA of the files given")
        .leaves_only(&[]);
    assert!(rig.cluster.requests("POST", "/jobs").is_empty(), "what was given must work");
}

#[test]
fn an_expired_certificate_of_etcd() {
    let authority = Authority::new("etcd-ca");
    let etcd = Etcd::secured(&authority, &authority.issue("server", &["localhost", "127.0.0.1"], true));
    let rig = Rig::in_front_of(&etcd, |_| ());
    with_files(&rig, &authority, &authority, &[]).code(1).says("the certificate of etcd has expired").leaves_only(&[]);
}

#[test]
fn a_client_certificate_that_etcd_does_not_accept() {
    let (authority, etcd) = secured();
    let rig = Rig::in_front_of(etcd, |_| ());
    let other = Authority::new("another-ca");
    with_files(&rig, authority, &other, &[])
        .code(3)
        .says("does not accept the client certificate")
        .says("hint: give one that etcd's CA issued")
        .leaves_only(&[]);
    // None at all.
    let ca = authority.ca().display().to_string();
    rig.run(&[&DIRECT[..], &["--etcd-cacert", &ca]].concat())
        .code(3)
        .says("does not accept the client certificate")
        .leaves_only(&[]);
}

#[test]
fn a_certificate_for_other_names_says_for_which() {
    let authority = Authority::new("etcd-ca");
    let etcd = Etcd::secured(&authority, &authority.issue("server", &["etcd.elsewhere", "10.9.8.7"], false));
    let rig = Rig::in_front_of(&etcd, |_| ());
    with_files(&rig, &authority, &authority, &[])
        .code(1)
        .says("for other names than this member's: etcd.elsewhere, 10.9.8.7")
        .says("--etcd-server-name")
        .leaves_only(&[]);
    with_files(&rig, &authority, &authority, &["--etcd-server-name", "wrong.example"])
        .code(1)
        .says("the certificate of etcd is not for wrong.example, but for: etcd.elsewhere, 10.9.8.7")
        .leaves_only(&[]);
    with_files(&rig, &authority, &authority, &["--etcd-server-name", "etcd.elsewhere"]).code(0).leaves_only(&["x.db"]);
}

#[test]
fn https_where_etcd_serves_http_and_the_reverse() {
    let rig = Rig::new();
    let authority = Authority::new("etcd-ca");
    let port = rig.cluster.shared.members[0].url.rsplit_once(':').unwrap().1.to_owned();
    with_files(&rig, &authority, &authority, &["--pod-endpoint", &format!("https://127.0.0.1:{port}")])
        .code(1)
        .says("does not speak TLS")
        .leaves_only(&[]);
    let rig = Rig::in_front_of(&secured().1, |_| ());
    let port = rig.cluster.shared.members[0].url.rsplit_once(':').unwrap().1.to_owned();
    rig.run(&[&DIRECT[..], &["--pod-endpoint", &format!("http://127.0.0.1:{port}")]].concat())
        .code(1)
        .says("does not answer to http, it may serve https")
        .leaves_only(&[]);
}

#[test]
fn authentication_needs_a_user_and_its_password() {
    let etcd = Etcd::start();
    etcd.fill(50, 100);
    let etcd = etcd.with_user("secret-of-root");
    let rig = Rig::in_front_of(&etcd, |_| ());
    rig.run(&DIRECT).code(3).says("etcd has authentication on").says("--etcd-user").leaves_only(&[]);
    let user = [&DIRECT[..], &["--etcd-user", "root"]].concat();
    rig.run(&user)
        .code(2)
        .says("cannot log in as etcd user root: there is no password")
        .says("ETCDCTL_PASSWORD")
        .leaves_only(&[]);
    rig.run_with(("ETCDCTL_PASSWORD", "wrong"), &user)
        .code(3)
        .says("etcd refuses the user of --etcd-user")
        .leaves_only(&[]);
    let loud = [&user[..], &["-v=6"]].concat();
    let outcome = rig.run_with(("ETCDCTL_PASSWORD", "secret-of-root"), &loud).code(0).leaves_only(&["x.db"]);
    assert!(!outcome.stderr.contains("secret-of-root"), "no password is logged");
    is_a_snapshot(&rig.path("x.db"));
    rig.run(&["--etcd-user", "root:pw"]).code(2).says("expected a name without a password");
}

#[test]
fn a_line_that_breaks_at_any_byte_gives_no_file() {
    let size = {
        let rig = Rig::new();
        rig.run(&DIRECT).code(0);
        rig.cluster.shared.state().served
    };
    for cut in [0, 1, 9, 100, 5_000, 40_000, size / 2, size - 200, size - 20, size - 1] {
        fails(move |faults| faults.forward.cuts = vec![cut], 1, &["the connection", "broke"]);
    }
}

#[test]
fn a_line_that_is_closed_in_good_order_is_no_end_either() {
    for at in [0, 300_000] {
        fails(move |faults| faults.forward.close_at = Some(at), 1, &["the API server closed the connection"]);
    }
}

#[test]
fn a_silent_peer() {
    fails(|faults| faults.forward.silent_at = Some(0), 1, &["does not answer within 2s"]);
    fails(|faults| faults.forward.silent_at = Some(3_000_000), 1, &["the copy stalled: no byte from etcd for 2s"]);
}

#[test]
fn a_pod_that_is_replaced_in_the_middle() {
    fails(
        |faults| {
            faults.forward.cuts = vec![2_000_000];
            faults.forward.replaces_pod = true;
        },
        1,
        &["pod kube-system/etcd-cp1 was replaced while the snapshot was taken"],
    );
}

#[test]
fn a_port_forward_that_is_refused() {
    fails(
        |faults| faults.forbid.push(("get", "pods/portforward")),
        3,
        &["not allowed to get pods/portforward", "- pods/portforward"],
    );
    fails(
        |faults| faults.forward.refused = Some("connect: connection refused"),
        1,
        &[
            "cannot reach the port of etcd from inside pod kube-system/etcd-cp1",
            "connect: connection refused",
            "--pod-endpoint",
        ],
    );
    fails(
        |faults| faults.forward.no_upgrade = Some(426),
        1,
        &["cannot open a WebSocket through the API server", "--server"],
    );
}

/// The port shows only in the first call, which is the login if there is a user.
#[test]
fn a_port_without_a_listener_leads_to_the_node() {
    let rig = Rig::with(|faults| faults.forward.refused = Some("connect: connection refused"));
    rig.run_with(("ETCDCTL_PASSWORD", "x"), &["--out", "x.db", "--etcd-user", "root"])
        .code(0)
        .says("Transport direct")
        .says("because direct is not available: cannot reach the port of etcd from inside pod kube-system/etcd-cp1")
        .leaves_only(&["x.db"]);
}

#[test]
fn a_signal_while_copying_leaves_nothing() {
    let rig = Rig::with(|faults| faults.forward.throttle = Some(1_000_000));
    rig.start(&DIRECT).copying().signal("INT").end().code(130).leaves_only(&[]);
}
