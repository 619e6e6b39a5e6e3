//! A node of the rig, from the inside: what an administrator would do on it, and what can happen to it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::cluster::{outcome, rig, until};
use super::undo::Undo;

pub struct Node {
    pub name: String,
    /// Its part of the rig's cache.
    pub directory: PathBuf,
}

impl Node {
    /// A path on the node, seen from this machine.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.directory.join("root").join(inside)
    }

    /// The name of its network namespace.
    pub fn network(&self) -> String {
        format!("kubectl-etcd-backup-e2e-{}", self.name)
    }

    /// A program of this machine in the node's network.
    pub fn in_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.network())).arg(program);
        command
    }

    /// Runs a shell script on the node; its standard output.
    pub fn shell(&self, script: &str) -> Result<String, String> {
        let program = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/rig");
        let output = Command::new(program).args(["exec", &self.name, "sh", "-c", script]).output();
        outcome(output.expect("the rig starts"))
    }

    pub fn must(&self, script: &str) -> String {
        self.shell(script).unwrap_or_else(|error| panic!("on {}: {script}: {error}", self.name))
    }

    /// The node's own member, as the rig's tool takes it.
    pub fn etcd(&self) -> String {
        self.etcd_at("https://127.0.0.1:2379")
    }

    /// Another etcd on this node, with the node's certificates.
    pub fn etcd_at(&self, url: &str) -> String {
        let pki = self.path("etc/kubernetes/pki/etcd");
        let file = |name: &str| pki.join(name).display().to_string();
        format!("{url},{},{},{}", file("ca.crt"), file("server.crt"), file("server.key"))
    }

    /// Gives the node images of the rig's cache.
    pub fn import(&self, images: &[&str]) {
        let mut args = vec!["import", &self.name];
        args.extend(images);
        rig(&args);
    }

    /// Changes a file; the old text comes back at the end.
    pub fn edit(&self, inside: &str, change: impl FnOnce(&str) -> String) -> Undo<'_> {
        let path = self.path(inside);
        let old = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let new = change(&old);
        assert_ne!(old, new, "nothing changed in {inside}");
        // Written beside and renamed: a kubelet that reads half a manifest would take the pod for removed.
        let put = move |text: &str| {
            let beside = path.with_extension("new~");
            std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path)).expect("it can be written");
        };
        // Dot-less names in the manifests' directory would be read as manifests.
        put(&new);
        Undo::by(move || put(&old))
    }

    /// Restarts the kubelet with other settings, and with its own ones at the end.
    pub fn kubelet_with(&self, change: impl FnOnce(&str) -> String) -> Undo<'_> {
        let edited = self.edit("etc/kubernetes/kubelet.yaml", change);
        self.restart_kubelet();
        Undo::by(move || {
            drop(edited);
            self.restart_kubelet();
        })
    }

    /// Ends with the kubelet serving again.
    pub fn restart_kubelet(&self) {
        rig(&["kubelet", &self.name, "restart"]);
        self.until_kubelet_serves();
    }

    pub fn until_kubelet_serves(&self) {
        until(Duration::from_secs(60), "the kubelet serves", || {
            self.shell("exec 3<>/dev/tcp/127.0.0.1/10248 2>/dev/null || true; wget -q -O- http://127.0.0.1:10248/healthz 2>/dev/null || curl -sf http://127.0.0.1:10248/healthz").is_ok()
        });
    }

    /// Kills a container of a pod of this node, as the kernel would; the kubelet starts it again.
    pub fn kill_container(&self, name: &str) {
        self.must(&format!("kill -9 $(pidof {name})"));
    }

    /// The directories below /var/log/pods that belong to snapshot jobs.
    pub fn job_directories(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("var/log/pods")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("_etcd-backup-")).collect()
    }

    /// Cuts the node's network; it comes back at the end.
    pub fn cut_off(&self) -> Undo<'_> {
        let wire = format!("port{}", self.name.trim_start_matches("cp"));
        let set = move |state: &str| {
            let args = ["-n", "kubectl-etcd-backup-e2e", "link", "set", &wire, state];
            assert!(Command::new("ip").args(args).status().expect("ip starts").success());
        };
        set("down");
        Undo::by(move || set("up"))
    }

    /// Lets the node send no more than this.
    pub fn slowed_to(&self, megabits: u32) -> Undo<'_> {
        let network = self.network();
        let rate = format!("{megabits}mbit");
        let tc = move |args: &[&str]| {
            let status = Command::new("tc").args(["-n", &network, "qdisc"]).args(args).status();
            assert!(status.expect("tc starts").success(), "tc {}", args.join(" "));
        };
        tc(&["add", "dev", "eth0", "root", "tbf", "rate", &rate, "burst", "128kb", "latency", "200ms"]);
        Undo::by(move || tc(&["del", "dev", "eth0", "root"]))
    }
}
