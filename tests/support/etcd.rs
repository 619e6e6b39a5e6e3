//! A real etcd for the tests: what a snapshot looks like is etcd's to say, not ours.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::certs::Authority;

/// A program that `tests/tools/install` built or linked.
pub fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    assert!(path.exists(), "{} is missing: run 'make tools'", path.display());
    path
}

/// One member on loopback, gone with this process, however that ends.
pub struct Etcd {
    pub url: String,
    /// The flags of its TLS, as its pod has them.
    pub flags: Vec<String>,
    /// What etcdctl needs to open it.
    client: Vec<String>,
    watch: Child,
    data: tempfile::TempDir,
}

impl Etcd {
    /// Starts an empty member.
    pub fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        Etcd::on(data, &[])
    }

    /// Starts an empty member with more flags.
    pub fn with(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        Etcd::on(data, flags)
    }

    /// Starts an empty member that serves https with this certificate, and asks for one of the same CA.
    pub fn secured(authority: &Authority, (cert, key): &(PathBuf, PathBuf)) -> Self {
        let flags = vec![
            format!("--cert-file={}", cert.display()),
            format!("--key-file={}", key.display()),
            format!("--trusted-ca-file={}", authority.ca().display()),
            "--client-cert-auth=true".to_owned(),
        ];
        let words: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mut etcd = Etcd::with(&words);
        etcd.flags = flags;
        let (cert, key) = authority.issue("etcdctl", &[], false);
        etcd.client = vec![
            format!("--cacert={}", authority.ca().display()),
            format!("--cert={}", cert.display()),
            format!("--key={}", key.display()),
        ];
        etcd
    }

    /// Switches authentication on, with the user root and this password.
    pub fn with_user(self, password: &str) -> Self {
        for words in [
            vec!["user", "add", "root", "--new-user-password", password],
            vec!["user", "grant-role", "root", "root"],
            vec!["auth", "enable"],
        ] {
            self.ctl(&words);
        }
        self
    }

    /// Starts a member on the data that `etcdutl snapshot restore` made of `snapshot`.
    pub fn restored(snapshot: &Path) -> Self {
        Etcd::restored_with(snapshot, &[])
    }

    /// The same, with more flags for etcdutl.
    pub fn restored_with(snapshot: &Path, flags: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let restored = data.path().join("member-data");
        let output = Command::new(tool("etcdutl"))
            .args(["snapshot", "restore"])
            .arg(snapshot)
            .arg("--data-dir")
            .arg(&restored)
            .args(flags)
            .output();
        let output = output.expect("etcdutl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Etcd::on(data, &[])
    }

    fn on(data: tempfile::TempDir, flags: &[&str]) -> Self {
        let peer = format!("http://127.0.0.1:{}", free_port());
        let etcd = Etcd::launch(data, &peer, flags);
        etcd.wait();
        etcd
    }

    /// Starts a process and does not wait for it: a member of a cluster listens only when the others are there.
    fn launch(data: tempfile::TempDir, peer: &str, flags: &[&str]) -> Self {
        let scheme = if flags.iter().any(|flag| flag.starts_with("--cert-file")) { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{}", free_port());
        // The shell waits for the end of its standard input, which is the end of this process. A member that all tests
        // share is never dropped, so the shell removes the data as well, unless it is told to keep them.
        let script = "data=$1; shift; \"$@\" >/dev/null 2>&1 & pid=$!; read -r word; signal=KILL; [ \"$word\" != end ] || signal=TERM; kill -s $signal $pid 2>/dev/null; wait; [ -n \"$word\" ] || rm -rf \"$data\"";
        let watch = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(data.path())
            .arg(std::env::var_os("TEST_ETCD").map_or_else(|| tool("etcd"), PathBuf::from))
            .arg("--data-dir")
            .arg(data.path().join("member-data"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", peer])
            .args(["--max-txn-ops", "1000"])
            .args(flags)
            .stdin(Stdio::piped())
            .spawn()
            .expect("etcd starts");
        Etcd { url, flags: Vec::new(), client: Vec::new(), watch, data }
    }

    fn wait(&self) {
        let start = Instant::now();
        let address = self.url.rsplit('/').next().expect("a URL");
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "etcd does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The member's own database.
    pub fn database(&self) -> PathBuf {
        self.data.path().join("member-data/member/snap/db")
    }

    /// Kills the process; its data stays until this is dropped.
    pub fn stop(&mut self) {
        self.leave(b"keep\n");
    }

    /// Ends the process as an init system does, so that it closes its database; its data stays until this is dropped.
    pub fn end(&mut self) {
        self.leave(b"end\n");
    }

    fn leave(&mut self, word: &[u8]) {
        let mut shell = self.watch.stdin.take().expect("it runs");
        shell.write_all(word).expect("the shell listens");
        drop(shell);
        self.watch.wait().expect("it ends");
    }

    /// Waits until it has noticed that its leader is gone.
    pub fn until_leaderless(&self) {
        let start = Instant::now();
        let status = |text: &str| -> Option<serde_json::Value> { serde_json::from_str(text).ok() };
        loop {
            let output = self.etcdctl().args(["endpoint", "status", "-w", "json"]).output().expect("etcdctl starts");
            let answer = status(&String::from_utf8_lossy(&output.stdout));
            // etcdctl leaves out a leader that is 0.
            if answer.is_some_and(|answer| answer[0]["Status"]["leader"].as_u64().unwrap_or(0) == 0) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the leader is still there");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Puts `keys` values of `bytes` bytes below /registry/fill/.
    pub fn fill(&self, keys: usize, bytes: usize) {
        for batch in (0..keys).collect::<Vec<_>>().chunks(400) {
            let mut child =
                self.etcdctl().arg("txn").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("etcdctl starts");
            let mut text = String::from("\n");
            for key in batch {
                let value: String = (0..bytes).map(|n| char::from(b'a' + ((n * 7 + key * 13) % 26) as u8)).collect();
                text.push_str(&format!("put /registry/fill/{key:06} {value}\n"));
            }
            text.push_str("\n\n");
            child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("etcdctl reads");
            assert!(child.wait().expect("etcdctl ends").success());
        }
    }

    /// Writes until the quota is reached and the alarm NOSPACE is raised.
    pub fn exhaust(&self) {
        let value = "x".repeat(100_000);
        for key in 0..200 {
            let output =
                self.etcdctl().args(["put", &format!("/fill/{key}"), &value]).output().expect("etcdctl starts");
            if String::from_utf8_lossy(&output.stderr).contains("database space exceeded") {
                return;
            }
        }
        panic!("the quota is never reached");
    }

    /// How many keys lie below /registry/fill/.
    pub fn count(&self) -> usize {
        let output = self
            .etcdctl()
            .args(["get", "--prefix", "--keys-only", "/registry/fill/"])
            .output()
            .expect("etcdctl starts");
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("/registry/fill/")).count()
    }

    /// Runs etcdctl against this member; what it printed.
    pub fn ctl(&self, words: &[&str]) -> String {
        let output = self.etcdctl().args(words).output().expect("etcdctl starts");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs etcdctl against this member; whether it succeeded.
    pub fn tries(&self, words: &[&str]) -> bool {
        self.etcdctl().args(words).output().expect("etcdctl starts").status.success()
    }

    /// Rewrites the database without its free pages.
    pub fn defragment(&self) {
        assert!(self.etcdctl().arg("defrag").output().expect("etcdctl starts").status.success());
    }

    /// Puts one value of that size.
    pub fn put_large(&self, key: &str, bytes: usize) {
        let mut child = self
            .etcdctl()
            .args(["put", key])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("etcdctl starts");
        child.stdin.take().expect("it is piped").write_all(&vec![b'x'; bytes]).expect("etcdctl reads");
        assert!(child.wait().expect("etcdctl ends").success());
    }

    /// `etcdctl snapshot save`.
    pub fn save(&self, path: &Path) {
        let output = self.etcdctl().args(["snapshot", "save"]).arg(path).output().expect("etcdctl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn etcdctl(&self) -> Command {
        let mut command = Command::new(tool("etcdctl"));
        command.args(["--endpoints", &self.url]).args(&self.client);
        command
    }
}

/// A free port, below those that the system gives to clients: between this question and the start of etcd one
/// of them could take it.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = std::process::id() * 101 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (offset % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A cluster of real members on loopback, `cp1` and so on.
pub struct EtcdCluster {
    pub members: Vec<Etcd>,
}

impl EtcdCluster {
    /// Starts `count` members and waits until they have a leader.
    pub fn start(count: usize) -> Self {
        EtcdCluster::with(count, &[])
    }

    /// The same, with more flags for each member.
    pub fn with(count: usize, flags: &[&str]) -> Self {
        let peers: Vec<String> = (0..count).map(|_| format!("http://127.0.0.1:{}", free_port())).collect();
        let named = peers.iter().enumerate().map(|(index, peer)| format!("{}={peer}", EtcdCluster::name(index)));
        let list = named.collect::<Vec<_>>().join(",");
        let members: Vec<Etcd> = peers
            .iter()
            .enumerate()
            .map(|(index, peer)| {
                let name = EtcdCluster::name(index);
                let mut all = vec!["--name", &name, "--initial-cluster", &list, "--initial-advertise-peer-urls", peer];
                // The leader stays the leader on a machine that has other things to do, too.
                all.extend(["--heartbeat-interval=500", "--election-timeout=5000"]);
                all.extend(flags);
                Etcd::launch(tempfile::tempdir().expect("a directory"), peer, &all)
            })
            .collect();
        let cluster = EtcdCluster { members };
        cluster.members.iter().for_each(Etcd::wait);
        cluster.settle();
        cluster
    }

    /// Waits until the first member answers what it answers only with a leader.
    pub fn settle(&self) {
        let start = Instant::now();
        loop {
            let output = self.members[0].etcdctl().args(["get", "--limit=1", "/"]).output().expect("etcdctl starts");
            if output.status.success() {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Adds a learner that runs and stays one.
    pub fn add_learner(&mut self) {
        let (name, peer) = (EtcdCluster::name(self.members.len()), format!("http://127.0.0.1:{}", free_port()));
        let peer_flag = format!("--peer-urls={peer}");
        let start = Instant::now();
        // A cluster that has just started does not take members yet ("unhealthy cluster").
        let printed = loop {
            let mut command = self.members[0].etcdctl();
            let output =
                command.args(["member", "add", &name, "--learner", &peer_flag]).output().expect("etcdctl starts");
            if output.status.success() {
                break String::from_utf8_lossy(&output.stdout).into_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{}", String::from_utf8_lossy(&output.stderr));
            std::thread::sleep(Duration::from_millis(200));
        };
        let list = printed
            .lines()
            .find_map(|line| line.strip_prefix("ETCD_INITIAL_CLUSTER="))
            .expect("etcdctl prints the list")
            .trim_matches('"')
            .to_owned();
        let flags = [
            "--name",
            &name,
            "--initial-cluster",
            &list,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster-state",
            "existing",
        ];
        let learner = Etcd::launch(tempfile::tempdir().expect("a directory"), &peer, &flags);
        learner.wait();
        self.members.push(learner);
    }

    pub fn name(index: usize) -> String {
        format!("cp{}", index + 1)
    }
}
