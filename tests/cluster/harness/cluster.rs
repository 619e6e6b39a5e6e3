//! A cluster: the rig's, or the one that KUBECONFIG points to.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::node::Node;
use super::undo::Undo;

/// Long enough for a machine that compiles beside.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Cluster {
    /// 0 for one that is not the rig's.
    pub nodes: usize,
    /// Where files of this run go.
    directory: tempfile::TempDir,
    /// The rig's cache.
    pub cache: PathBuf,
    keep: bool,
    compared: Cell<u64>,
    files: Cell<u32>,
    /// Megabytes below /registry/fill/.
    filled: Cell<usize>,
    /// Backup jobs that were there before, as namespace/name: somebody else's.
    others: BTreeSet<String>,
    /// Runs of the plugin that have not ended.
    runs: Cell<usize>,
}

impl Cluster {
    /// Starts the rig with `nodes` nodes, or takes the current cluster when that is 0. One that is up already is taken
    /// when that was asked for, unless it must be `fresh`.
    pub fn start(nodes: usize, fresh: bool) -> Self {
        let reuse = std::env::var("E2E_REUSE").is_ok_and(|value| value == "1");
        let mut cluster = Cluster {
            nodes,
            directory: tempfile::tempdir().expect("a directory"),
            cache: PathBuf::from(std::env::var("E2E_CACHE").unwrap_or_default()),
            keep: reuse,
            compared: Cell::new(0),
            files: Cell::new(0),
            filled: Cell::new(0),
            others: BTreeSet::new(),
            runs: Cell::new(0),
        };
        if nodes > 0 {
            let up = (1..=3).filter(|n| cluster.cache.join(format!("nodes/cp{n}/pid")).exists()).count();
            if fresh || !reuse || up != nodes {
                if up > 0 {
                    rig(&["down"]);
                }
                rig(&["up", &nodes.to_string()]);
            }
            cluster.must_be_healthy();
        }
        cluster.others = cluster.backup_jobs().unwrap_or_else(|error| panic!("the jobs cannot be listed: {error}"));
        cluster
    }

    pub fn is_rig(&self) -> bool {
        self.nodes > 0
    }

    /// A program on the workstation, with kubectl, the plugin and the administrator's kubeconfig.
    pub fn workstation(&self, program: &str) -> Command {
        let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup")).parent().expect("a directory");
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", plugin.display(), self.cache.join("bin").display());
        let mut command = if self.is_rig() {
            let mut command = Command::new("nsenter");
            command.arg("--net=/run/netns/kubectl-etcd-backup-e2e").arg(program);
            command.env("KUBECONFIG", self.admin_config()).env("HOME", self.directory.path());
            command
        } else {
            Command::new(program)
        };
        command.env("PATH", path).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    fn admin_config(&self) -> PathBuf {
        self.cache.join("nodes/admin.conf")
    }

    pub fn node(&self, name: &str) -> Node {
        Node { name: name.to_owned(), directory: self.cache.join("nodes").join(name) }
    }

    pub fn all_nodes(&self) -> Vec<Node> {
        (1..=self.nodes).map(|n| self.node(&format!("cp{n}"))).collect()
    }

    /// The names of the nodes that etcd's pods are on.
    pub fn etcd_nodes(&self) -> Vec<String> {
        let names = self.kubectl(&[
            "-n",
            "kube-system",
            "get",
            "pods",
            "-l",
            "component=etcd",
            "-o",
            "jsonpath={.items[*].spec.nodeName}",
        ]);
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// kubectl as the administrator; its standard output.
    pub fn try_kubectl(&self, args: &[&str]) -> Result<String, String> {
        outcome(self.workstation("kubectl").args(args).output().expect("kubectl starts"))
    }

    /// The same, for what must succeed.
    pub fn kubectl(&self, args: &[&str]) -> String {
        match self.try_kubectl(args) {
            Ok(output) => output,
            Err(error) => panic!("kubectl {}: {error}", args.join(" ")),
        }
    }

    /// Applies a manifest; deletes what is in it at the end.
    pub fn with(&self, manifest: &str) -> Undo<'_> {
        let undo = {
            let manifest = manifest.to_owned();
            Undo::by(move || {
                let _ =
                    self.feed(&["delete", "--ignore-not-found", "--wait=true", "--timeout=60s", "-f", "-"], &manifest);
            })
        };
        // The API server may be starting, a policy of a scenario before not be forgotten yet, or the controllers, which
        // give a namespace its service account, wait for their lease.
        let start = Instant::now();
        while let Err(error) = self.feed(&["apply", "-f", "-"], manifest) {
            assert!(start.elapsed() < PATIENCE, "kubectl apply: {error}\n{manifest}");
            std::thread::sleep(Duration::from_millis(500));
        }
        undo
    }

    fn feed(&self, args: &[&str], text: &str) -> Result<String, String> {
        let mut command = self.workstation("kubectl");
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("kubectl reads");
        outcome(child.wait_with_output().expect("kubectl ends"))
    }

    /// A path for a file that a scenario makes.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.set(self.files.get() + 1);
        self.directory.path().join(format!("{}-{name}", self.files.get()))
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn note_compared(&self, keys: u64) {
        self.compared.set(self.compared.get() + keys);
    }

    pub fn take_compared(&self) -> u64 {
        self.compared.take()
    }

    pub fn run_begins(&self) {
        self.runs.set(self.runs.get() + 1);
    }

    /// The plugin's jobs after the last of the runs that were under way, on a cluster that no one else uses.
    pub fn run_ends(&self) -> Result<String, String> {
        self.runs.set(self.runs.get().saturating_sub(1));
        if !self.is_rig() || self.runs.get() > 0 {
            return Ok(String::new());
        }
        self.try_kubectl(&["get", "jobs", "-A", "-l", "app.kubernetes.io/name=etcd-backup", "-o", "name"])
    }

    /// The API server answers, every node is ready, every etcd and API server pod, too.
    pub fn must_be_healthy(&self) {
        if !self.is_rig() {
            return;
        }
        until(PATIENCE, "the cluster is well", || {
            let nodes = self.try_kubectl(&["get", "nodes", "--no-headers"]).unwrap_or_default();
            let pods = self.try_kubectl(&["-n", "kube-system", "get", "pods", "--no-headers"]).unwrap_or_default();
            let well = |prefix: &str| {
                pods.lines()
                    .filter(|line| line.starts_with(prefix) && line.contains("1/1 ") && line.contains(" Running "))
                    .count()
            };
            nodes.lines().filter(|line| line.contains(" Ready ")).count() == self.nodes
                && well("etcd-cp") == self.nodes
                && well("kube-apiserver-cp1") == 1
                && well("kube-controller-manager-cp1") == 1
        });
    }

    /// The jobs of backups, as namespace/name.
    fn backup_jobs(&self) -> Result<BTreeSet<String>, String> {
        let path = "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
        let jobs = self.try_kubectl(&["get", "jobs", "-A", "-l", "app.kubernetes.io/name=etcd-backup", "-o", path])?;
        Ok(jobs.lines().map(str::to_owned).collect())
    }

    /// Removes the jobs that a failed scenario left, and none that was there before the first one.
    pub fn sweep(&self) {
        for job in self.backup_jobs().unwrap_or_default().difference(&self.others) {
            if let Some((namespace, name)) = job.split_once('/') {
                let _ = self.try_kubectl(&["-n", namespace, "delete", "job", name, "--timeout=60s"]);
            }
        }
    }

    /// Random values below /registry/fill/, unless there are as many: the copy of a small database is over before
    /// anything can happen to it.
    pub fn fill(&self, megabytes: usize) {
        if self.filled.replace(self.filled.get().max(megabytes)) >= megabytes {
            return;
        }
        let node = self.node("cp1");
        let mut command = node.in_network(&self.tool());
        command.args(["fill", &node.etcd(), &(megabytes * 100).to_string(), "10000"]);
        outcome(command.output().expect("it starts")).expect("etcd takes the keys");
    }

    /// A user that the cluster knows by a certificate of its own (by impersonation, where the CA is out of reach).
    pub fn user(&self, name: &str) -> User {
        if !self.is_rig() {
            return User { name: name.to_owned(), kubeconfig: None };
        }
        let path = self.file("user.conf");
        let words =
            format!("kubeadm kubeconfig user --client-name {name} --config /etc/kubernetes/kubeadm.yaml 2>/dev/null");
        std::fs::write(&path, self.node("cp1").must(&words)).expect("it can be written");
        User { name: name.to_owned(), kubeconfig: Some(path) }
    }

    pub fn tool(&self) -> String {
        self.cache.join("bin/cluster-tool").display().to_string()
    }
}

/// A user without administrator permissions.
pub struct User {
    pub name: String,
    pub kubeconfig: Option<PathBuf>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A second panic would end the program, and the table with it.
        if self.is_rig() && !self.keep && !(runs(&["down"]) || std::thread::panicking()) {
            panic!("rig down failed");
        }
    }
}

/// Runs the rig's script, whose words go to standard error.
pub fn rig(args: &[&str]) {
    assert!(runs(args), "rig {} failed", args.join(" "));
}

fn runs(args: &[&str]) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/rig");
    Command::new(script).args(args).stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Standard output of what succeeded, standard error of what did not.
pub fn outcome(output: Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Waits until something holds.
pub fn until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(200));
    }
}
