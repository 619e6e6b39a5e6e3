//! Runs of the plugin, through kubectl as users run it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, PATIENCE, User, until};
use super::restore::Truth;

/// A run that has not begun.
pub struct Backup<'c> {
    cluster: &'c Cluster,
    args: Vec<String>,
    kubeconfig: Option<PathBuf>,
    terminal: bool,
    out: bool,
    truth: Truth,
    may_leave_job: bool,
}

impl Cluster {
    /// `kubectl etcd-backup --out FILE` with more words.
    pub fn backup(&self, args: &[&str]) -> Backup<'_> {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Backup {
            cluster: self,
            args,
            kubeconfig: None,
            terminal: false,
            out: true,
            truth: self.truth(),
            may_leave_job: false,
        }
    }

    /// `kubectl etcd-backup` with other words, and no `--out`.
    pub fn plugin(&self, args: &[&str]) -> Backup<'_> {
        Backup { out: false, ..self.backup(args) }
    }

    /// What the cluster's own etcd holds.
    pub fn truth(&self) -> Truth {
        if self.is_rig() { Truth::member(&self.node("cp1")) } else { Truth::Exec }
    }

    /// The file restores to exactly what that etcd holds, and is not older than the revision `since`. It is removed.
    pub fn verified_file(&self, file: &Path, truth: &Truth, since: u64) {
        self.note_compared(truth.compare(self, file, since));
        let _ = std::fs::remove_file(file);
    }
}

impl<'c> Backup<'c> {
    pub fn kubeconfig(mut self, path: PathBuf) -> Self {
        self.kubeconfig = Some(path);
        self
    }

    pub fn with_user(mut self, user: &User) -> Self {
        match &user.kubeconfig {
            Some(path) => self.kubeconfig(path.clone()),
            None => {
                self.args.extend(["--as".to_owned(), user.name.clone()]);
                self
            }
        }
    }

    /// In a pseudo-terminal.
    pub fn on_a_terminal(mut self) -> Self {
        self.terminal = true;
        self
    }

    /// It is to be the snapshot of this etcd, not of the cluster's own.
    pub fn of(mut self, truth: &Truth) -> Self {
        self.truth = truth.clone();
        self
    }

    /// It ends without a signal, and cannot remove its job: the cluster is out of its reach.
    pub fn may_leave_its_job(mut self) -> Self {
        self.may_leave_job = true;
        self
    }

    pub fn start(self) -> Running<'c> {
        self.cluster.run_begins();
        let since = self.truth.revision(self.cluster);
        let file = self.cluster.file("snap.db");
        let (stdout, stderr) = (self.cluster.file("stdout"), self.cluster.file("stderr"));
        let mut words = vec!["etcd-backup".to_owned()];
        if self.out {
            words.extend(["--out".to_owned(), file.display().to_string()]);
        }
        words.extend(self.args);
        let shown = words.join(" ");
        let mut command = if self.terminal {
            // What it writes is the terminal's: both streams in one.
            let mut command = self.cluster.workstation("script");
            command.args(["-qefc", &format!("stty cols 160; exec kubectl {shown}"), "/dev/null"]);
            command.env("TERM", "xterm").stdin(Stdio::piped());
            command
        } else {
            let mut command = self.cluster.workstation("kubectl");
            command.args(&words);
            command
        };
        if let Some(path) = &self.kubeconfig {
            command.env("KUBECONFIG", path);
        }
        command.stdout(File::create(&stdout).expect("a file")).stderr(File::create(&stderr).expect("a file"));
        let mut child = command.spawn().expect("kubectl starts");
        let keyboard = child.stdin.take();
        Running {
            cluster: self.cluster,
            child,
            keyboard,
            words: shown,
            file,
            stdout,
            stderr,
            started: Instant::now(),
            truth: self.truth,
            since,
            may_leave_job: self.may_leave_job,
        }
    }

    pub fn run(self) -> Outcome<'c> {
        self.start().end()
    }
}

/// A run that has not ended.
pub struct Running<'c> {
    cluster: &'c Cluster,
    child: Child,
    keyboard: Option<ChildStdin>,
    words: String,
    file: PathBuf,
    stdout: PathBuf,
    stderr: PathBuf,
    started: Instant,
    truth: Truth,
    /// What etcd's revision was when the run began.
    since: Option<u64>,
    may_leave_job: bool,
}

impl<'c> Running<'c> {
    /// All that it has written so far.
    pub fn said(&self) -> String {
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        read(&self.stdout) + &read(&self.stderr)
    }

    pub fn until_says(self, text: &str) -> Self {
        let limit = Instant::now() + PATIENCE;
        while !self.said().contains(text) {
            assert!(Instant::now() < limit, "it does not say {text:?}: {}\n{}", self.words, self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }

    /// How many bytes of the snapshot are here.
    pub fn arrived(&self) -> u64 {
        let start = format!(".{}.", self.file.file_name().expect("a name").to_string_lossy());
        let entries = std::fs::read_dir(self.cluster.directory()).into_iter().flatten().flatten();
        let part = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&start));
        part.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).max().unwrap_or_default()
    }

    /// Waits until this many bytes are here: the copy is under way.
    pub fn until_arrived(mut self, bytes: u64) -> Self {
        until(PATIENCE, "bytes arrive", || {
            let ended = self.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "it ended before {bytes} bytes had arrived\n{}", self.said());
            self.arrived() >= bytes
        });
        self
    }

    pub fn types(mut self, keys: &str) -> Self {
        let keyboard = self.keyboard.as_mut().expect("it is on a terminal");
        keyboard.write_all(keys.as_bytes()).and_then(|()| keyboard.flush()).expect("the terminal reads");
        self
    }

    pub fn signal(self, name: &str) -> Self {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(sent.expect("kill starts").success());
        self
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn end(self) -> Outcome<'c> {
        self.end_within(Duration::from_secs(300))
    }

    pub fn end_within(mut self, limit: Duration) -> Outcome<'c> {
        let until = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait().expect("it can be asked") {
                Some(status) => break status,
                None if Instant::now() > until => {
                    let _ = self.child.kill();
                    panic!("it did not end within {} s: {}\n{}", limit.as_secs(), self.words, self.said());
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let said = self.said();
        let jobs = self.cluster.run_ends();
        // A killed one removes nothing.
        if status.code().is_some() && !self.may_leave_job {
            assert_eq!(jobs, Ok(String::new()), "jobs are there after kubectl {}\n{said}", self.words);
        }
        let stdout = std::fs::read_to_string(&self.stdout).unwrap_or_default();
        Outcome {
            cluster: self.cluster,
            words: self.words,
            code: status.code(),
            said,
            stdout,
            file: self.file,
            took: self.started.elapsed(),
            truth: self.truth,
            since: self.since,
        }
    }
}

/// How a run ended.
pub struct Outcome<'c> {
    pub cluster: &'c Cluster,
    pub words: String,
    code: Option<i32>,
    /// Both streams.
    pub said: String,
    pub stdout: String,
    pub file: PathBuf,
    pub took: Duration,
    truth: Truth,
    since: Option<u64>,
}

impl Outcome<'_> {
    /// `None` for a run that a signal ended.
    pub fn code(self, code: impl Into<Option<i32>>) -> Self {
        assert_eq!(self.code, code.into(), "exit code of kubectl {}\n{}", self.words, self.said);
        self
    }

    pub fn says(self, text: &str) -> Self {
        assert!(self.said.contains(text), "{text:?} is missing after kubectl {}:\n{}", self.words, self.said);
        self
    }

    pub fn says_nothing_of(self, text: &str) -> Self {
        assert!(!self.said.contains(text), "{text:?} is in the words of kubectl {}:\n{}", self.words, self.said);
        self
    }

    pub fn within(self, limit: Duration) -> Self {
        assert!(self.took < limit, "kubectl {} took {:?}\n{}", self.words, self.took, self.said);
        self
    }

    /// No file, neither under its own name nor under another.
    pub fn without_file(self) -> Self {
        let name = self.file.file_name().expect("a name").to_string_lossy().into_owned();
        let entries = std::fs::read_dir(self.cluster.directory()).into_iter().flatten().flatten();
        let left: Vec<_> =
            entries.map(|entry| entry.file_name()).filter(|found| found.to_string_lossy().contains(&name)).collect();
        assert!(left.is_empty(), "left here by kubectl {}: {left:?}", self.words);
        self
    }

    /// It ended well, and the file restores to exactly what etcd holds, at a revision no older than the run.
    pub fn verified(self) -> Self {
        let outcome = self.code(0);
        let since = outcome.since.unwrap_or_else(|| panic!("etcd did not answer before kubectl {}", outcome.words));
        outcome.cluster.verified_file(&outcome.file, &outcome.truth, since);
        outcome
    }
}
