//! Load: what a backup costs a busy etcd, and what many of them leave behind.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::cluster::{Cluster, outcome};
use crate::harness::node::Node;
use crate::harness::{Needs, Scenario, long, scenario};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("load: two backups at once", Needs::One, two_at_once),
        scenario("load: 20 backups in a row leak nothing", Needs::One, |cluster| in_a_row(cluster, 20)),
        long("load: 200 backups in a row leak nothing", Needs::One, |cluster| in_a_row(cluster, 200)),
        scenario("load: a database of 2 GB", Needs::One, large),
        scenario("load: etcd written to at full speed", Needs::Three, under_load),
    ]
}

fn two_at_once(cluster: &Cluster) {
    let (first, second) = (cluster.backup(&[]).start(), cluster.backup(&[]).start());
    let (first, second) = (first.end(), second.end());
    first.verified();
    second.verified();
}

fn in_a_row(cluster: &Cluster, times: usize) {
    let node = cluster.node("cp1");
    // The first ones fill caches.
    for _ in 0..3 {
        cluster.backup(&[]).run().verified();
    }
    let before = Held::by(&node);
    for time in 0..times {
        let outcome = cluster.backup(&[]).run().code(0);
        if time % 10 == 0 || time + 1 == times {
            outcome.verified();
        } else {
            std::fs::remove_file(&outcome.file).expect("the file is there");
        }
    }
    // The kubelet forgets pods that ended a little later.
    let start = Instant::now();
    let mut after = Held::by(&node);
    while after.above(&before).is_some() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_secs(2));
        after = Held::by(&node);
    }
    eprintln!("    before {before:?}\n    after  {after:?}, {:.0} s later", start.elapsed().as_secs_f32());
    if let Some(what) = after.above(&before) {
        panic!("{what} grew: {before:?}, then {after:?}");
    }
}

/// What the node's programs hold on to.
#[derive(Debug)]
struct Held {
    /// Open in the kubelet, containerd, etcd and the API server.
    descriptors: u64,
    /// Resident, of the same.
    kilobytes: u64,
    mounts: u64,
    /// On the node, in its containers as well.
    processes: u64,
    containers: u64,
    /// The kubelet's.
    pods: u64,
    logs: u64,
}

impl Held {
    fn by(node: &Node) -> Self {
        let programs = "$(pidof kubelet containerd etcd kube-apiserver)";
        let figure = |script: &str| -> u64 {
            let text = node.must(script);
            text.trim().parse().unwrap_or_else(|_| panic!("{script}: {text}"))
        };
        Held {
            descriptors: figure(&format!("for p in {programs}; do ls /proc/$p/fd; done | wc -l")),
            kilobytes: figure(&format!(
                "for p in {programs}; do grep VmRSS /proc/$p/status; done | awk '{{ sum += $2 }} END {{ print sum }}'"
            )),
            mounts: figure("wc -l </proc/self/mountinfo"),
            processes: figure("ls -d /proc/[0-9]* | wc -l"),
            containers: figure("ctr -n k8s.io containers ls -q | wc -l"),
            pods: figure("ls /var/lib/kubelet/pods | wc -l"),
            logs: figure("ls /var/log/pods | wc -l"),
        }
    }

    /// What is more than it was before, beyond its usual variation.
    fn above(&self, before: &Held) -> Option<&'static str> {
        let figures = [
            ("descriptors", self.descriptors, before.descriptors + 5),
            ("memory", self.kilobytes, before.kilobytes + 50_000),
            ("mounts", self.mounts, before.mounts),
            ("processes", self.processes, before.processes),
            ("containers", self.containers, before.containers),
            ("pods", self.pods, before.pods),
            ("logs", self.logs, before.logs),
        ];
        figures.into_iter().find(|(_, now, bound)| now > bound).map(|(what, ..)| what)
    }
}

fn large(cluster: &Cluster) {
    cluster.fill(2000);
    let outcome = cluster.backup(&["--hash-max-size", "4Gi"]).run().code(0).says("1 of 1 agree at revision");
    let size = std::fs::metadata(&outcome.file).expect("the file is there").len();
    eprintln!("    {size} bytes in {:.1} s", outcome.took.as_secs_f32());
    assert!(size > 2_000_000_000, "{size} bytes");
    outcome.verified();
}

/// etcd busy with puts and deletes, in a process of its own.
struct Churn {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Churn {
    fn start(cluster: &Cluster, node: &Node) -> Self {
        let mut command = node.in_network(&cluster.tool());
        command.args(["churn", &node.etcd()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the tool starts");
        let ask = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        Churn { process, ask, answers }
    }

    /// How the writes went since the last time.
    fn figures(&mut self) -> Value {
        writeln!(self.ask).and_then(|()| self.ask.flush()).expect("the tool reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the tool answers");
        serde_json::from_str(&line).expect("the tool writes JSON")
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Objects created, changed and deleted through the API server, one after the other.
struct Objects {
    process: Child,
    log: PathBuf,
}

impl Objects {
    fn start(cluster: &Cluster) -> Self {
        let log = cluster.file("objects");
        let round = "kubectl create configmap e2e-churn --from-literal=a=1 && \
            kubectl patch configmap e2e-churn -p '{\"data\":{\"a\":\"2\"}}' && kubectl delete configmap e2e-churn";
        let script = format!(
            "trap 'kubectl delete configmap e2e-churn --ignore-not-found' EXIT; trap 'exit 0' TERM; \
            while :; do {{ {round}; }} >/dev/null && echo ok || echo failed; done >{}",
            log.display()
        );
        let process = cluster.workstation("sh").args(["-c", &script]).spawn().expect("sh starts");
        Objects { process, log }
    }

    /// Rounds so far that went well, and that did not.
    fn rounds(&self) -> (usize, usize) {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let count = |word: &str| log.lines().filter(|line| *line == word).count();
        (count("ok"), count("failed"))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// etcd's own figures at one moment.
#[derive(Clone)]
struct Metrics(String);

impl Metrics {
    fn of(cluster: &Cluster, node: &Node) -> Self {
        let output = node.in_network(&cluster.tool()).args(["metrics", "http://127.0.0.1:2381/metrics"]).output();
        Metrics(outcome(output.expect("the tool starts")).expect("etcd serves metrics"))
    }

    fn value(&self, name: &str) -> f64 {
        let line = self.0.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("etcd has no metric {name}"))
    }

    /// The bound below which 99 of 100 fsyncs of the write-ahead log ended since `before`, in milliseconds.
    fn fsync_p99(&self, before: &Metrics) -> f64 {
        let name = "etcd_disk_wal_fsync_duration_seconds";
        let since = |label: &str| self.value(label) - before.value(label);
        let all = since(&format!("{name}_count"));
        let bounds = self.0.lines().filter_map(|line| {
            line.strip_prefix(&format!("{name}_bucket{{le=\""))?.split('"').next()?.parse::<f64>().ok()
        });
        let mut bounds: Vec<f64> = bounds.filter(|bound| bound.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        let text = |bound: f64| {
            let line = self.0.lines().find(|line| {
                let label = line.strip_prefix(&format!("{name}_bucket{{le=\""));
                label.and_then(|label| label.split('"').next()?.parse::<f64>().ok()) == Some(bound)
            });
            line.and_then(|line| line.rsplit_once(' ')).map(|(label, _)| label.to_owned()).unwrap_or_default()
        };
        let within = bounds.into_iter().find(|bound| since(&text(*bound)) >= 0.99 * all);
        within.map_or(f64::INFINITY, |bound| bound * 1000.0)
    }
}

fn under_load(cluster: &Cluster) {
    cluster.fill(200);
    let nodes = cluster.all_nodes();
    let changes = |metrics: &[Metrics]| {
        metrics.iter().map(|metrics| metrics.value("etcd_server_leader_changes_seen_total")).sum::<f64>()
    };
    let all = || nodes.iter().map(|node| Metrics::of(cluster, node)).collect::<Vec<_>>();
    let mut churn = Churn::start(cluster, &nodes[0]);
    let objects = Objects::start(cluster);
    std::thread::sleep(Duration::from_secs(2));
    churn.figures();
    let start = all();
    std::thread::sleep(Duration::from_secs(10));
    let (quiet, middle) = (churn.figures(), all());
    let (rounds, _) = objects.rounds();
    let outcome = cluster.backup(&[]).run().code(0);
    let (busy, end) = (churn.figures(), all());
    let (rounds_then, failed) = objects.rounds();
    drop(objects);
    drop(churn);
    for (when, puts, before, after) in [("before", &quiet, &start, &middle), ("during", &busy, &middle, &end)] {
        let fsync: Vec<f64> = before.iter().zip(after).map(|(before, after)| after.fsync_p99(before)).collect();
        eprintln!(
            "    {when} ({:.1} s): {puts}; WAL fsync p99 below {fsync:?} ms",
            if when == "before" { 10.0 } else { outcome.took.as_secs_f32() }
        );
    }
    eprintln!(
        "    {} rounds of objects before, {} during; leader changes: {} before, {} during",
        rounds,
        rounds_then - rounds,
        changes(&middle) - changes(&start),
        changes(&end) - changes(&middle)
    );
    assert_eq!(changes(&start), changes(&end), "the leader changed");
    assert_eq!(failed, 0, "objects could not be written");
    assert!(rounds_then > rounds, "no object was written during the backup");
    assert_eq!(busy["failed"], 0, "writes failed: {busy}");
    assert!(busy["writes"].as_u64() > Some(0), "nothing was written: {busy}");
    outcome.verified();
}
