//! Nodes and certificates that are not as usual, and what stands between the workstation and the API server.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::cluster::{Cluster, outcome, until};
use crate::harness::etcd_pod::PKI;
use crate::harness::restore::Truth;
use crate::harness::undo::Undo;
use crate::harness::{Needs, Scenario, scenario};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("nodes: the kubelet's log endpoint is off", Needs::One, no_log_handler),
        scenario("nodes: another podLogsDir below /var/log", Needs::One, other_directory),
        scenario("nodes: a podLogsDir elsewhere", Needs::One, directory_elsewhere),
        scenario("nodes: disk pressure", Needs::One, disk_pressure),
        scenario("nodes: /var/log is full", Needs::One, full),
        scenario("nodes: not enough free space", Needs::One, not_enough_free_space),
        scenario("certificates: keys of another user with mode 0600", Needs::One, other_owner),
        scenario("certificates: the server certificate is not valid for clients", Needs::One, server_only),
        scenario("proxies: one that ignores Range", Needs::One, ignores_range),
        scenario("proxies: one that compresses", Needs::One, compresses),
        scenario("proxies: one with a base path", Needs::One, base_path),
    ]
}

fn no_log_handler(cluster: &Cluster) {
    let node = cluster.node("cp1");
    let _undo = node.kubelet_with(|config| format!("{config}enableSystemLogHandler: false\n"));
    let outcome = cluster.backup(&[]).run().without_file().says("the kubelet of node cp1 does not serve its logs");
    outcome.says("enableSystemLogHandler").code(1);
}

fn other_directory(cluster: &Cluster) {
    let node = cluster.node("cp1");
    // The kubelet cleans up in the directory of its configuration only, and that is soon another one.
    let _remains = Undo::by(|| drop(node.shell("rm -rf /var/log/of-pods")));
    let _undo = node.kubelet_with(|config| format!("{config}podLogsDir: /var/log/of-pods\n"));
    cluster.backup(&["-v=2"]).run().says("path=/var/log/of-pods/kube-system_etcd-backup-").verified();
    until(Duration::from_secs(120), "the kubelet removes the job's directory", || {
        node.must("ls /var/log/of-pods").lines().all(|name| !name.contains("etcd-backup-"))
    });
}

fn directory_elsewhere(cluster: &Cluster) {
    let node = cluster.node("cp1");
    let _remains = Undo::by(|| drop(node.shell("rm -rf /var/lib/pod-logs")));
    let _undo = node.kubelet_with(|config| format!("{config}podLogsDir: /var/lib/pod-logs\n"));
    cluster.backup(&[]).run().code(1).without_file().says("keeps pods' logs in /var/lib/pod-logs, outside of /var/log");
}

fn disk_pressure(cluster: &Cluster) {
    let node = cluster.node("cp1");
    let condition = |wanted: &str| {
        let path = "jsonpath={.status.conditions[?(@.type==\"DiskPressure\")].status}";
        until(Duration::from_secs(120), "the node's DiskPressure changes", || {
            cluster.try_kubectl(&["get", "node", "cp1", "-o", path]).is_ok_and(|status| status == wanted)
        });
    };
    let back = Undo::by(|| condition("False"));
    let undo = node.kubelet_with(|config| config.replace("nodefs.available: 0%", "nodefs.available: 99%"));
    condition("True");
    cluster.backup(&[]).run().code(1).without_file().says("node cp1 is under disk pressure");
    drop(undo);
    drop(back);
}

/// A small file system where etcdctl writes: it fails there, and etcd does not.
fn full(cluster: &Cluster) {
    cluster.fill(20);
    let node = cluster.node("cp1");
    let process = || node.must("pidof etcd");
    let before = process();
    node.must("mount -t tmpfs -o size=4m tmpfs /var/log/pods");
    let _undo = Undo::by(|| drop(node.shell("umount -l /var/log/pods")));
    let outcome = cluster.backup(&[]).run().code(1).without_file();
    outcome.says("ran out of space").says("/var/log of the node is full");
    assert_eq!(process(), before, "etcd was restarted");
    let etcdctl = |words: &[&str]| {
        let files = ["--cacert", "--cert", "--key"].into_iter().zip(["ca.crt", "server.crt", "server.key"]);
        let files: Vec<String> = files.map(|(flag, name)| format!("{flag}={PKI}/{name}")).collect();
        let mut all = vec!["-n", "kube-system", "exec", "etcd-cp1", "--", "etcdctl"];
        all.extend(files.iter().map(String::as_str));
        all.extend(words);
        cluster.kubectl(&all)
    };
    assert_eq!(etcdctl(&["alarm", "list"]), "", "etcd raised an alarm");
    assert_eq!(etcdctl(&["put", "/e2e/after-a-full-disk", "x"]), "OK");
    let left = node.must("find /var/log/pods -name 'snapshot.db*'");
    assert!(left.is_empty(), "left in the full file system: {left}");
}

/// Refused before anything is written.
fn not_enough_free_space(cluster: &Cluster) {
    let node = cluster.node("cp1");
    let taken = "/var/log/e2e-taken";
    // The kubelet measures from time to time only.
    let until_known = |known: fn(f64) -> bool| {
        until(Duration::from_secs(60), "the kubelet knows what is free", || {
            let summary = cluster.try_kubectl(&["get", "--raw", "/api/v1/nodes/cp1/proxy/stats/summary"]);
            let summary: serde_json::Value = serde_json::from_str(&summary.unwrap_or_default()).unwrap_or_default();
            let bytes = |name: &str| summary["node"]["fs"][name].as_f64();
            bytes("availableBytes").zip(bytes("capacityBytes")).is_some_and(|(free, all)| known(free / all))
        });
    };
    let undo = Undo::by(|| {
        node.must(&format!("rm -f {taken}"));
        until_known(|share| share > 0.2);
    });
    // 8 % stay free, which are fewer than the tenth that etcd needs for itself.
    node.must(&format!(
        "fallocate -l $(df -B1 --output=avail,size /var/log | awk 'END {{ printf \"%.0f\", $1 - $2 * 0.08 }}') {taken}"
    ));
    until_known(|share| share < 0.09);
    let outcome = cluster.backup(&[]).run().code(1).without_file().says("not enough free space on node cp1: ");
    outcome.says("nothing was created").says_nothing_of("Transport exec");
    drop(undo);
}

/// Root without its capabilities cannot read what another user owns.
fn other_owner(cluster: &Cluster) {
    let node = cluster.node("cp1");
    node.must(&format!("chown -R 982:982 {PKI} && chmod 0700 {PKI} && chmod 0600 {PKI}/*"));
    let _undo =
        Undo::by(|| drop(node.shell(&format!("chown -R 0:0 {PKI} && chmod 0755 {PKI} && chmod 0644 {PKI}/*.crt"))));
    cluster.backup(&[]).run().verified();
}

/// As a PKI of its own often has it: the server's certificate may not be shown by a client.
fn server_only(cluster: &Cluster) {
    let node = cluster.node("cp1");
    node.must(&format!("cp -a {PKI} /var/lib/pki-kept"));
    // etcd reads its certificate anew for each connection.
    let _undo = Undo::by(|| drop(node.shell(&format!("cp -a /var/lib/pki-kept/. {PKI}/ && rm -rf /var/lib/pki-kept"))));
    let pki = node.path("etc/kubernetes/pki/etcd").display().to_string();
    let made = Command::new(cluster.tool())
        .args(["certificate", &pki, "server", "server", "127.0.0.1", "10.207.0.11"])
        .output();
    outcome(made.expect("the tool starts")).expect("a certificate");
    // The rig's own questions to etcd need another certificate, too.
    let file = |name: &str| format!("{pki}/{name}");
    let etcd = ["https://127.0.0.1:2379", &file("ca.crt"), &file("peer.crt"), &file("peer.key")].join(",");
    let truth = Truth::Member { network: node.network(), etcd, version: "3.6" };
    let taken = cluster.backup(&["-v=2"]).of(&truth).run().code(0);
    assert!(taken.said.contains("certificates=\"etcd's peer certificate\""), "{}", taken.said);
    drop(_undo);
    taken.verified();
}

/// A proxy on the workstation, and the kubeconfig of who goes through it.
struct Proxy {
    process: Child,
    kubeconfig: std::path::PathBuf,
}

impl Proxy {
    fn start(cluster: &Cluster, base: &str, faults: &[&str]) -> Self {
        let (crt, key) = (cluster.file("admin.crt"), cluster.file("admin.key"));
        for (field, path) in [("client-certificate-data", &crt), ("client-key-data", &key)] {
            let script = format!(
                "kubectl config view --raw -o jsonpath='{{.users[0].user.{field}}}' | base64 -d > {}",
                path.display()
            );
            assert!(cluster.workstation("sh").args(["-c", &script]).status().expect("sh starts").success());
        }
        let ca = cluster.node("cp1").path("etc/kubernetes/pki/ca.crt");
        let mut command = cluster.workstation(&cluster.tool());
        command.args(["proxy", "127.0.0.1:18001", "https://10.207.0.11:6443"]).args([&ca, &crt, &key]).args(faults);
        let process = command.stdout(Stdio::null()).spawn().expect("the proxy starts");
        let kubeconfig = cluster.file("proxied.conf");
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: x, clusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:18001{base}'}}}}], users: [{{name: x, user: {{}}}}], contexts: [{{name: x, context: {{cluster: x, user: x}}}}]}}"
        );
        std::fs::write(&kubeconfig, text).expect("it can be written");
        let proxy = Proxy { process, kubeconfig };
        until(Duration::from_secs(20), "the proxy answers", || {
            let mut kubectl = cluster.workstation("kubectl");
            kubectl.env("KUBECONFIG", &proxy.kubeconfig).args(["get", "--raw", "/readyz"]);
            outcome(kubectl.output().expect("kubectl starts")).is_ok()
        });
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ignores_range(cluster: &Cluster) {
    let proxy = Proxy::start(cluster, "", &["no-range"]);
    // A copy that is interrupted has to go on in the middle.
    cluster.fill(60);
    let node = cluster.node("cp1");
    let slowed = node.slowed_to(100);
    let running = cluster.backup(&["-v=6"]).kubeconfig(proxy.kubeconfig.clone()).start().until_arrived(5_000_000);
    node.restart_kubelet();
    let outcome = running.end();
    drop(slowed);
    let whole_again = |line: &str| line.contains(" from=") && !line.contains(" from=0 ") && line.contains("status=200");
    assert!(outcome.said.lines().any(whole_again), "no range was ignored:\n{}", outcome.said);
    outcome.verified();
}

fn compresses(cluster: &Cluster) {
    let proxy = Proxy::start(cluster, "", &["gzip"]);
    let outcome = cluster.backup(&[]).kubeconfig(proxy.kubeconfig.clone()).run().code(1).without_file();
    outcome.says("a proxy between this machine and the kubelet compresses");
}

fn base_path(cluster: &Cluster) {
    let base = "/k8s/clusters/c-x";
    let proxy = Proxy::start(cluster, base, &[&format!("base={base}")]);
    cluster.backup(&[]).kubeconfig(proxy.kubeconfig.clone()).run().verified();
}
