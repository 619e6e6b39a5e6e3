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
        let put = move |text: &str| std::fs::write(&path, text).expect("it can be written");
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

    /// Does something while the kubelet is stopped.
    pub fn without_kubelet(&self, act: impl FnOnce()) {
        rig(&["kubelet", &self.name, "stop"]);
        let start = Undo::by(|| rig(&["kubelet", &self.name, "start"]));
        act();
        drop(start);
        self.until_kubelet_serves();
    }

    pub fn until_kubelet_serves(&self) {
        until(Duration::from_secs(60), "the kubelet serves", || {
            let healthz = self.shell("cluster-tool metrics http://127.0.0.1:10248/healthz");
            healthz.is_ok_and(|text| text == "ok")
        });
    }

    /// Kills a program of a static pod, as the kernel would for want of memory; the kubelet starts it again.
    pub fn kill(&self, program: &str) {
        self.signal(program, "KILL");
    }

    pub fn signal(&self, program: &str, signal: &str) {
        self.must(&format!("kill -{signal} $(pidof {program})"));
    }

    /// Takes a static pod's manifest away; it comes back at the end.
    pub fn without_manifest(&self, inside: &str) -> Undo<'_> {
        let (path, kept) = (self.path(inside), self.path("var/lib/manifest-kept.yaml"));
        std::fs::rename(&path, &kept)
            .or_else(|_| std::fs::copy(&path, &kept).and_then(|_| std::fs::remove_file(&path)))
            .expect("it can be moved");
        Undo::by(move || {
            std::fs::copy(&kept, &path).expect("it can be moved back");
        })
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
