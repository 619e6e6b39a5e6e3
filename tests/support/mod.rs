//! The harness: a fake cluster, the built binary in a directory of its own, and what is checked after each run.

pub mod certs;
pub mod directory;
pub mod etcd;
pub mod fake_cluster;
pub mod files;
mod signals;
pub mod tls;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use etcd::{Etcd, EtcdCluster};
use fake_cluster::faults::Faults;
use fake_cluster::members::FakeMember;
use fake_cluster::{FakeCluster, TOKEN};

pub const KEYS: usize = 2000;

/// One etcd for all tests: they only read it.
fn etcd() -> &'static Etcd {
    static ETCD: OnceLock<Etcd> = OnceLock::new();
    ETCD.get_or_init(|| {
        let etcd = Etcd::start();
        etcd.fill(KEYS, 3000);
        etcd
    })
}

/// Three members for all tests that only read them; started by the first that asks.
pub fn three() -> &'static EtcdCluster {
    static THREE: OnceLock<EtcdCluster> = OnceLock::new();
    THREE.get_or_init(|| {
        let cluster = EtcdCluster::start(3);
        cluster.members[0].fill(200, 3000);
        cluster
    })
}

/// Three members that know nothing of each other, `cp1` and so on, filled alike but for one value of `cp3`: to a client
/// they are a cluster whose third member went wrong.
pub fn one_odd() -> &'static [Etcd; 3] {
    static ODD: OnceLock<[Etcd; 3]> = OnceLock::new();
    ODD.get_or_init(|| {
        [("right"), ("right"), ("wrong")].map(|value| {
            let etcd = Etcd::start();
            etcd.fill(500, 2000);
            etcd.ctl(&["put", "/registry/odd", value]);
            etcd
        })
    })
}

/// A fake cluster and a directory to work in.
pub struct Rig {
    pub cluster: FakeCluster,
    pub directory: tempfile::TempDir,
}

impl Rig {
    pub fn new() -> Self {
        Rig::with(|_| ())
    }

    /// With faults from the start.
    pub fn with(script: impl FnOnce(&mut Faults)) -> Self {
        Rig::with_members(vec![FakeMember::new("cp1", &etcd().url)], script)
    }

    /// In front of an etcd of one's own.
    pub fn in_front_of(etcd: &Etcd, script: impl FnOnce(&mut Faults)) -> Self {
        let member = FakeMember { flags: etcd.flags.clone(), ..FakeMember::new("cp1", &etcd.url) };
        Rig::with_members(vec![member], script)
    }

    /// In front of a cluster of several members.
    pub fn members(cluster: &EtcdCluster, script: impl FnOnce(&mut Faults)) -> Self {
        let named = cluster.members.iter().enumerate();
        let members = named.map(|(index, etcd)| FakeMember::new(&EtcdCluster::name(index), &etcd.url));
        Rig::with_members(members.collect(), script)
    }

    /// In front of single members, each named by its place in the list.
    pub fn singles<'e>(etcds: impl IntoIterator<Item = &'e Etcd>, script: impl FnOnce(&mut Faults)) -> Self {
        let named = etcds.into_iter().enumerate();
        let members = named.map(|(index, etcd)| FakeMember::new(&EtcdCluster::name(index), &etcd.url));
        Rig::with_members(members.collect(), script)
    }

    /// In front of these members.
    pub fn with_members(members: Vec<FakeMember>, script: impl FnOnce(&mut Faults)) -> Self {
        let mut faults = Faults::default();
        script(&mut faults);
        let cluster = FakeCluster::of(members, faults);
        let directory = tempfile::tempdir().expect("a directory");
        cluster.write_kubeconfig(&directory.path().join("config"), TOKEN);
        Rig { cluster, directory }
    }

    /// With a variable of the environment.
    pub fn run_with(&self, (variable, value): (&str, &str), words: &[&str]) -> Outcome<'_> {
        let mut command = self.command(words);
        command.env(variable, value).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program starts");
        Running { rig: self, child, words: words.join(" ") }.end()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The binary under test; once its path is asked for, no program started here ignores SIGINT or SIGHUP.
    pub fn plugin() -> &'static str {
        signals::reset_in_children();
        env!("CARGO_BIN_EXE_kubectl-etcd_backup")
    }

    /// A program with the environment that the plugin gets.
    pub fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.directory.path()).env("KUBECONFIG", self.path("config"));
        command
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.command_of(Rig::plugin());
        command.args(words);
        command
    }

    /// Runs the plugin to its end.
    pub fn run(&self, words: &[&str]) -> Outcome<'_> {
        self.start(words).end()
    }

    /// Starts the plugin.
    pub fn start(&self, words: &[&str]) -> Running<'_> {
        let mut command = self.command(words);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        Running { rig: self, child, words: words.join(" ") }
    }
}

/// A run that has not ended.
pub struct Running<'r> {
    rig: &'r Rig,
    pub child: Child,
    words: String,
}

impl<'r> Running<'r> {
    /// Waits until the fake cluster has served some bytes of the file.
    #[track_caller]
    pub fn copying(self) -> Self {
        self.until(|rig| rig.cluster.shared.state().served > 0)
    }

    /// Waits until something holds of the cluster.
    #[track_caller]
    pub fn until(self, holds: impl Fn(&Rig) -> bool) -> Self {
        let start = Instant::now();
        while !holds(self.rig) {
            assert!(start.elapsed() < Duration::from_secs(20), "it does not come that far: {}", self.words);
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Sends a signal by its name.
    pub fn signal(self, name: &str) -> Self {
        let sent =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().expect("kill starts");
        assert!(sent.success());
        self
    }

    pub fn end(self) -> Outcome<'r> {
        let output = self.child.wait_with_output().expect("it ends");
        Outcome {
            rig: self.rig,
            words: self.words,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// How a run ended.
pub struct Outcome<'r> {
    rig: &'r Rig,
    words: String,
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Outcome<'_> {
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.words, self.stderr);
        self
    }

    /// Standard output, which is text here.
    pub fn printed(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("it prints text")
    }

    /// Standard output, which is one JSON document here.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error} in {:?}", self.printed()))
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is missing after '{}':\n{}", self.words, self.stderr);
        self
    }

    #[track_caller]
    pub fn says_not(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "{text:?} is there after '{}':\n{}", self.words, self.stderr);
        self
    }

    /// Nothing is left: no job, no pod, no directory on the node, no file here but those named.
    #[track_caller]
    pub fn leaves_only(self, files: &[&str]) -> Self {
        let start = Instant::now();
        while self.rig.cluster.left() != (0, 0, 0) {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "left on the cluster: {:?}\n{}",
                self.rig.cluster.left(),
                self.stderr
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let entries = std::fs::read_dir(self.rig.directory.path()).expect("it can be read");
        let mut found: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        found.retain(|name| name != "config");
        found.sort();
        assert_eq!(found, files, "files left after '{}'", self.words);
        self
    }
}
