//! etcd of other versions, in other images and in other layouts, each as a real pod.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::backup::Outcome;
use crate::harness::cluster::{Cluster, outcome, until};
use crate::harness::etcd_pod::{EtcdPod, Layout, PKI, command, flags, host_path};
use crate::harness::{Needs, Scenario, scenario};

pub fn scenarios() -> Vec<Scenario> {
    let mut found = Vec::new();
    let images = [
        ("etcd 3.4", "registry.k8s.io/etcd:3.4.23-0", "etcd-3.4", "3.4"),
        ("etcd 3.5", "registry.k8s.io/etcd:3.5.35-0", "etcd-3.5", "3.5"),
        ("etcd 3.7", "registry.k8s.io/etcd:3.7.3-0", "etcd-3.7", "3.7"),
        ("an image with only bash", "e2e.local/etcd:3.6.8-bash", "etcd-3.6-bash", "3.6"),
        ("an image with busybox", "e2e.local/etcd:3.6.8-busybox", "etcd-3.6-busybox", "3.6"),
    ];
    for (what, image, archive, version) in images {
        let run = move |cluster: &Cluster| {
            let layout = Layout { image, archive, version, ..Layout::default() };
            let etcd = cluster.with_etcd(&layout);
            verified_backup(cluster, &layout, &etcd, &[]);
            in_the_container(cluster, &layout, &etcd);
        };
        found.push(scenario(&format!("images: kubeadm with {what}"), Needs::One, run).needing(archive));
    }
    found.extend([
        scenario("layouts: minikube's paths", Needs::One, minikube),
        scenario("layouts: RKE2's configuration file, readable", Needs::One, configuration_file)
            .needing("etcd-3.6-busybox"),
        scenario("layouts: RKE2's configuration file, no cat to read it", Needs::One, unreadable_configuration_file),
        scenario("layouts: configured by environment", Needs::One, environment),
        scenario("layouts: openshift-etcd", Needs::One, openshift).needing("etcd-3.6-busybox"),
        scenario("layouts: a StatefulSet with its certificates in Secrets", Needs::One, stateful_set),
        scenario("layouts: a StatefulSet with its CA in a ConfigMap", Needs::One, stateful_set_with_config_map),
        scenario("layouts: plain http", Needs::One, plain_http),
        scenario("layouts: a sidecar", Needs::One, sidecar).needing("busybox"),
        scenario("layouts: ETCDCTL_* set in the container", Needs::One, etcdctl_variables),
        scenario("layouts: one of three members is left", Needs::One, one_of_three),
    ]);
    found
}

/// The image is a copy of the node's, whose name the plugin finds in the pod.
fn back_up(cluster: &Cluster, layout: &Layout, args: &[&str]) {
    let etcd = cluster.with_etcd(layout);
    verified_backup(cluster, layout, &etcd, args).says("Transport node");
}

fn verified_backup<'c>(cluster: &'c Cluster, layout: &Layout, etcd: &EtcdPod<'_>, args: &[&str]) -> Outcome<'c> {
    let mut words = vec!["-n", layout.namespace];
    words.extend(args);
    cluster.backup(&words).of(&etcd.truth).run().says_nothing_of("warning: ").verified()
}

/// With etcdctl in the container, where the image allows that.
fn in_the_container(cluster: &Cluster, layout: &Layout, etcd: &EtcdPod<'_>) {
    let refusal = match layout.archive {
        "etcd-3.6-busybox" => {
            verified_backup(cluster, layout, etcd, &["--transport", "exec"]).says("Transport exec");
            let files = "find / -path /proc -prune -o -path /sys -prune -o -name 'etcd-backup-*' -print";
            let left = cluster.kubectl(&["-n", layout.namespace, "exec", &layout.name, "--", "sh", "-c", files]);
            assert!(left.is_empty(), "left in the container: {left}");
            // The brackets keep the search from finding itself.
            let processes = "grep -lE 'etcd[-]backup-[^ ]*[.]db|etcdct[l]' /proc/[0-9]*/cmdline || true";
            let left = cluster.node("cp1").must(processes);
            assert!(left.is_empty(), "processes are left: {left}");
            return;
        }
        "etcd-3.6-bash" => "has no ",
        _ => "has no shell",
    };
    let refused = cluster.backup(&["-n", layout.namespace, "--transport", "exec"]).run().code(1).without_file();
    refused
        .says("Transport exec")
        .says(&format!("container etcd of pod {}/{} {refusal}", layout.namespace, layout.name));
}

fn minikube(cluster: &Cluster) {
    let certs = "/var/lib/minikube/certs/etcd";
    cluster.node("cp1").must(&format!("mkdir -p {certs} && cp -a {PKI}/. {certs}/"));
    let layout = Layout {
        name: "etcd-minikube".to_owned(),
        command: command(&flags(12379, certs)),
        volumes: vec![host_path(certs, certs)],
        ..Layout::default()
    };
    back_up(cluster, &layout, &[]);
}

const RKE2: &str = "/var/lib/rancher/rke2/server";

/// RKE2 mounts the files one by one.
fn rke2(cluster: &Cluster) -> Layout {
    let tls = format!("{RKE2}/tls/etcd");
    let flags = flags(12379, PKI);
    let flag = |name: &str| flags.iter().find(|(flag, _)| flag == name).expect("there is one").1.clone();
    let file = format!(
        "name: cp1\ndata-dir: /var/lib/etcd\nlisten-client-urls: {}\nadvertise-client-urls: {}\nlisten-peer-urls: {}\n\
         initial-advertise-peer-urls: {}\ninitial-cluster: {}\nclient-transport-security:\n  cert-file: {tls}/server-client.crt\n  \
         client-cert-auth: true\n  key-file: {tls}/server-client.key\n  trusted-ca-file: {tls}/server-ca.crt\n\
         peer-transport-security:\n  cert-file: {tls}/peer-server-client.crt\n  client-cert-auth: true\n  \
         key-file: {tls}/peer-server-client.key\n  trusted-ca-file: {tls}/peer-ca.crt\n",
        flag("listen-client-urls"),
        flag("advertise-client-urls"),
        flag("listen-peer-urls"),
        flag("initial-advertise-peer-urls"),
        flag("initial-cluster"),
    );
    cluster.node("cp1").must(&format!(
        "mkdir -p {tls} {RKE2}/db/etcd && cd {tls} && for end in crt key; do cp {PKI}/server.$end server-client.$end; \
         cp {PKI}/peer.$end peer-server-client.$end; done; cp {PKI}/ca.crt server-ca.crt; cp {PKI}/ca.crt peer-ca.crt; \
         cat > {RKE2}/db/etcd/config <<'END'\n{file}END\n"
    ));
    let files = [
        "server-ca.crt",
        "server-client.crt",
        "server-client.key",
        "peer-ca.crt",
        "peer-server-client.crt",
        "peer-server-client.key",
    ];
    let mut volumes: Vec<_> =
        files.iter().map(|name| format!("{tls}/{name}")).map(|path| host_path(&path, &path)).collect();
    let config = format!("{RKE2}/db/etcd/config");
    volumes.push(host_path(&config, &config));
    // Names that are too long for a volume are what RKE2 has to number, too.
    for (number, volume) in volumes.iter_mut().enumerate() {
        volume.0 = format!("file{number}");
    }
    Layout { command: vec!["etcd".to_owned(), format!("--config-file={config}")], volumes, ..Layout::default() }
}

fn configuration_file(cluster: &Cluster) {
    let layout = Layout { image: "e2e.local/etcd:3.6.8-busybox", archive: "etcd-3.6-busybox", ..rke2(cluster) };
    back_up(cluster, &layout, &[]);
}

fn unreadable_configuration_file(cluster: &Cluster) {
    // Its port is another one than RKE2's, which the cluster's own etcd has here.
    back_up(cluster, &rke2(cluster), &["--pod-endpoint", "https://127.0.0.1:12379"]);
}

fn environment(cluster: &Cluster) {
    let variable = |(name, value): (String, String)| json!({"name": format!("ETCD_{}", name.to_uppercase().replace('-', "_")), "value": value});
    let env = flags(12379, PKI).into_iter().map(variable).collect();
    back_up(cluster, &Layout { command: vec!["etcd".to_owned()], env, ..Layout::default() }, &[]);
}

fn openshift(cluster: &Cluster) {
    let certs = "/etc/kubernetes/static-pod-certs/secrets/etcd-all-certs";
    cluster.node("cp1").must(&format!("mkdir -p {certs} && cp -a {PKI}/. {certs}/"));
    let script = format!("#!/bin/sh\nset -eu\nexec {}\n", command(&flags(12379, certs)).join(" \\\n  "));
    let env = |name: &str, value: &str| json!({"name": name, "value": value});
    let variables = vec![
        env("ETCDCTL_API", "3"),
        env("ETCDCTL_CACERT", &format!("{certs}/ca.crt")),
        env("ETCDCTL_CERT", &format!("{certs}/peer.crt")),
        env("ETCDCTL_KEY", &format!("{certs}/peer.key")),
        env("ETCDCTL_ENDPOINTS", "https://10.207.0.11:12379"),
    ];
    let (name, source, path) = host_path("/etc/kubernetes/static-pod-certs", "/etc/kubernetes/static-pod-certs");
    let layout = Layout {
        namespace: "openshift-etcd",
        name: "etcd-cp1.example.com".to_owned(),
        labels: json!({"app": "etcd", "etcd": "true", "k8s-app": "etcd", "revision": "3"}),
        image: "e2e.local/etcd:3.6.8-busybox",
        archive: "etcd-3.6-busybox",
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
        env: variables,
        volumes: vec![(name, source, path)],
        ..Layout::default()
    };
    let etcd = cluster.with_etcd(&layout);
    verified_backup(cluster, &layout, &etcd, &[]).says("Transport node");
    // Without its namespace it is found after kube-system, where the rig's own etcd has another label.
    cluster.backup(&["-l", "app=etcd"]).of(&etcd.truth).run().says("1 etcd member in openshift-etcd").verified();
}

fn stateful_set(cluster: &Cluster) {
    let layout = hosted(cluster, true);
    let etcd = cluster.with_etcd(&layout);
    let taken =
        verified_backup(cluster, &layout, &etcd, &[]).says("Transport direct").says("the Secrets of the etcd pod");
    taken.says_nothing_of("Transport node");
}

/// As OpenShift's hosted control planes have it; a certificate that is named is taken before.
fn stateful_set_with_config_map(cluster: &Cluster) {
    let layout = hosted(cluster, false);
    let etcd = cluster.with_etcd(&layout);
    let taken =
        verified_backup(cluster, &layout, &etcd, &[]).says("Transport direct").says("the Secrets of the etcd pod");
    taken.says_nothing_of("Transport node");
    let ca = cluster.node("cp1").path("etc/kubernetes/pki/etcd/ca.crt").display().to_string();
    let given = ["--etcd-cert-secret", "etcd-server-tls", "--etcd-cacert", &ca];
    let taken =
        verified_backup(cluster, &layout, &etcd, &given).says("Transport direct").says("Secret tenant/etcd-server-tls");
    taken.says_nothing_of("Transport node");
}

/// A hosted control plane's etcd.
fn hosted(cluster: &Cluster, ca_in_secret: bool) -> Layout {
    let node = cluster.node("cp1");
    let pki = node.path("etc/kubernetes/pki/etcd").display().to_string();
    let made = std::process::Command::new(cluster.tool())
        .args(["certificate", &pki, "hosted", "both", "127.0.0.1", "10.208.1.0/24"])
        .output();
    outcome(made.expect("the tool starts")).expect("a certificate");
    let _ = cluster.try_kubectl(&["create", "namespace", "tenant"]);
    let file = |key: &str, name: &str| format!("--from-file={key}={pki}/{name}");
    cluster.kubectl(&["-n", "tenant", "delete", "secret", "etcd-server-tls", "--ignore-not-found"]);
    cluster.kubectl(&[
        "-n",
        "tenant",
        "create",
        "secret",
        "generic",
        "etcd-server-tls",
        &file("tls.crt", "hosted.crt"),
        &file("tls.key", "hosted.key"),
        &file("ca.crt", "ca.crt"),
    ]);
    cluster.kubectl(&["-n", "tenant", "delete", "configmap", "etcd-ca", "--ignore-not-found"]);
    cluster.kubectl(&["-n", "tenant", "create", "configmap", "etcd-ca", &file("ca.crt", "ca.crt")]);
    let words = [
        ("data-dir", "/var/lib/etcd"),
        ("name", "etcd-0"),
        ("listen-client-urls", "https://0.0.0.0:2379"),
        // The rig has no DNS for a name in its place.
        ("advertise-client-urls", "https://$(POD_IP):2379"),
        ("cert-file", "/etc/etcd/tls/server/tls.crt"),
        ("key-file", "/etc/etcd/tls/server/tls.key"),
        ("trusted-ca-file", if ca_in_secret { "/etc/etcd/tls/server/ca.crt" } else { "/etc/etcd/tls/ca/ca.crt" }),
        ("client-cert-auth", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Layout {
        namespace: "tenant",
        name: "etcd".to_owned(),
        labels: json!({"app": "etcd"}),
        command: command(&words),
        volumes: vec![
            (
                "server".to_owned(),
                json!({"secret": {"secretName": "etcd-server-tls"}}),
                "/etc/etcd/tls/server".to_owned(),
            ),
            ("ca".to_owned(), json!({"configMap": {"name": "etcd-ca"}}), "/etc/etcd/tls/ca".to_owned()),
        ],
        host_network: false,
        stateful_set: true,
        port: 2379,
        ..Layout::default()
    }
}

fn plain_http(cluster: &Cluster) {
    let words = [
        ("data-dir", "/var/lib/etcd"),
        ("listen-client-urls", "http://0.0.0.0:2379"),
        ("advertise-client-urls", "http://127.0.0.1:2379"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let layout = Layout {
        name: "etcd-plain".to_owned(),
        labels: json!({"app.kubernetes.io/name": "etcd"}),
        command: command(&words),
        volumes: Vec::new(),
        host_network: false,
        scheme: "http",
        port: 2379,
        ..Layout::default()
    };
    let etcd = cluster.with_etcd(&layout);
    verified_backup(cluster, &layout, &etcd, &[]).says("Transport node");
    // No certificate is needed for this one.
    let direct = verified_backup(cluster, &layout, &etcd, &["--transport", "direct"]);
    direct.says("Transport direct").says_nothing_of("Transport node");
}

fn sidecar(cluster: &Cluster) {
    cluster.node("cp1").import(&["busybox"]);
    let other = json!({"name": "metrics", "image": "e2e.local/busybox:1", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]});
    back_up(cluster, &Layout { sidecars: vec![other], ..Layout::default() }, &[]);
}

/// etcdctl refuses a flag whose variable is set as well.
fn etcdctl_variables(cluster: &Cluster) {
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    let env = vec![
        variable("ETCDCTL_API", "3"),
        variable("ETCDCTL_ENDPOINTS", "https://127.0.0.1:12379"),
        variable("ETCDCTL_CACERT", &format!("{PKI}/ca.crt")),
        variable("ETCDCTL_CERT", &format!("{PKI}/healthcheck-client.crt")),
        variable("ETCDCTL_KEY", &format!("{PKI}/healthcheck-client.key")),
    ];
    back_up(cluster, &Layout { env, ..Layout::default() }, &[]);
}

/// Without a quorum nothing can be written, and the survivor is all that there is.
fn one_of_three(cluster: &Cluster) {
    let all = [(1_u16, 12379_u16), (2, 22379), (3, 32379)];
    let peers: Vec<String> = all.iter().map(|(n, port)| format!("m{n}=https://10.207.0.11:{}", port + 1)).collect();
    let mut members: Vec<_> = all
        .iter()
        .map(|(n, port)| {
            let mut words = flags(*port, PKI);
            for (name, value) in &mut words {
                match name.as_str() {
                    "name" => *value = format!("m{n}"),
                    "initial-cluster" => *value = peers.join(","),
                    _ => {}
                }
            }
            let layout = Layout {
                namespace: "survivor",
                name: format!("etcd-m{n}"),
                command: command(&words),
                port: *port,
                ..Layout::default()
            };
            cluster.with_empty_etcd(&layout)
        })
        .collect();
    members[0].fill(cluster);
    members.truncate(1);
    // It knows a leader until the election timeout ends.
    let file = |name: &str| format!("{PKI}/{name}");
    until(Duration::from_secs(30), "the survivor knows no leader", || {
        let (ca, cert, key) = (file("ca.crt"), file("server.crt"), file("server.key"));
        let pod = ["-n", "survivor", "exec", "etcd-m1", "--", "etcdctl", "--endpoints=https://127.0.0.1:12379"];
        let etcdctl = ["--cacert", &ca, "--cert", &cert, "--key", &key, "endpoint", "status", "-w", "json"];
        let told = cluster.try_kubectl(&[pod.as_slice(), &etcdctl].concat()).unwrap_or_default();
        let status: Value = serde_json::from_str(&told).unwrap_or_default();
        status[0]["Status"].is_object() && status[0]["Status"]["leader"].as_u64().unwrap_or_default() == 0
    });
    let outcome = cluster.backup(&["-n", "survivor"]).of(&members[0].truth).run();
    outcome.says("etcd has lost its quorum: no member knows a leader; a member can still be backed up").verified();
}
