//! A real etcd for the tests: what a snapshot looks like is etcd's to say, not ours.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that `tests/tools/install` built or linked.
pub fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    assert!(path.exists(), "{} is missing: run 'make tools'", path.display());
    path
}

/// One member on loopback, gone with this process, however that ends.
pub struct Etcd {
    pub url: String,
    _watch: Child,
    _data: tempfile::TempDir,
}

impl Etcd {
    /// Starts an empty member.
    pub fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        Etcd::on(data)
    }

    /// Starts a member on the data that `etcdutl snapshot restore` made of `snapshot`.
    pub fn restored(snapshot: &Path) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let restored = data.path().join("member-data");
        let output = Command::new(tool("etcdutl"))
            .args(["snapshot", "restore"])
            .arg(snapshot)
            .arg("--data-dir")
            .arg(&restored)
            .output();
        let output = output.expect("etcdutl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Etcd::on(data)
    }

    fn on(data: tempfile::TempDir) -> Self {
        let (client, peer) = (free_port(), free_port());
        let url = format!("http://127.0.0.1:{client}");
        // The shell waits for the end of its standard input, which is the end of this process.
        let script = "\"$@\" >/dev/null 2>&1 & pid=$!; read -r _; kill -9 $pid";
        let watch = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(tool("etcd"))
            .arg("--data-dir")
            .arg(data.path().join("member-data"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
            .args(["--max-txn-ops", "1000"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("etcd starts");
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", client)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "etcd does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Etcd { url, _watch: watch, _data: data }
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

    /// How many keys lie below /registry/fill/.
    pub fn count(&self) -> usize {
        let output = self
            .etcdctl()
            .args(["get", "--prefix", "--keys-only", "/registry/fill/"])
            .output()
            .expect("etcdctl starts");
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("/registry/fill/")).count()
    }

    /// Rewrites the database without its free pages.
    pub fn defragment(&self) {
        assert!(self.etcdctl().arg("defrag").output().expect("etcdctl starts").status.success());
    }

    /// `etcdctl snapshot save`.
    pub fn save(&self, path: &Path) {
        let output = self.etcdctl().args(["snapshot", "save"]).arg(path).output().expect("etcdctl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn etcdctl(&self) -> Command {
        let mut command = Command::new(tool("etcdctl"));
        command.args(["--endpoints", &self.url]);
        command
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
