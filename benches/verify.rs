//! The time and memory of a verification, compared with `etcdutl snapshot status`.
//!
//! `cargo bench --bench verify -- FILE...` runs each mode on each file, three times warm and once cold (Linux), and prints
//! the best warm time. It uses the etcdutl in target/tools/bin, or on PATH. Without a file it makes one of 100 MB.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcd_snapshot::{FileHash, HashPoint, Options};

const MODES: [(&str, &str); 5] = [
    ("read", "reading the file"),
    ("structure", "level 2: structure"),
    ("both", "levels 1 and 2"),
    ("members", "levels 2 and 3, one hash"),
    ("etcdutl", "etcdutl snapshot status"),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, mode, file] = words.as_slice()
        && flag == "--one"
    {
        return one(mode, Path::new(file));
    }
    let mut files: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
    if files.is_empty() {
        files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-100MB.db"));
        if !files[0].exists() {
            let made = Command::new(tool("snapmaker")).arg("keys").arg(&files[0]).args(["24000", "2400"]).status();
            assert!(made.unwrap().success());
        }
    }
    for file in files {
        println!("{}: {} MB", file.display(), file.metadata().unwrap().len() / 1_000_000);
        for (mode, what) in MODES {
            let cold = measure(mode, &file, true);
            let warm = (0..3).map(|_| measure(mode, &file, false)).min().unwrap();
            let memory = warm.1.map_or(String::new(), |kib| format!(", {} MiB", kib / 1024));
            println!("  {what:24} warm {:6.2} s   cold {:6.2} s{memory}", warm.0.as_secs_f64(), cold.0.as_secs_f64());
        }
    }
}

fn tool(name: &str) -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    if built.exists() { built } else { PathBuf::from(name) }
}

/// Runs one mode in a process of its own. Returns its time and its peak memory in KiB (Linux only, and not of etcdutl,
/// which maps the file).
fn measure(mode: &str, file: &Path, cold: bool) -> (Duration, Option<u64>) {
    if cold {
        evict(file);
    }
    let mut command = match mode {
        "etcdutl" => {
            let mut command = Command::new(tool("etcdutl"));
            command.args(["snapshot", "status"]).arg(file);
            command
        }
        _ => {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--one", mode]).arg(file);
            command
        }
    };
    let start = Instant::now();
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let time = start.elapsed();
    assert!(output.status.success(), "{mode}");
    (time, String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}

/// Removes the file from the page cache.
#[cfg(target_os = "linux")]
fn evict(file: &Path) {
    let file = File::open(file).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

#[cfg(not(target_os = "linux"))]
fn evict(_: &Path) {}

fn one(mode: &str, path: &Path) {
    let mut file = File::open(path).unwrap();
    match mode {
        "read" => {
            let mut buffer = vec![0; 1 << 20];
            while file.read(&mut buffer).unwrap() > 0 {}
        }
        _ => {
            let report =
                etcd_snapshot::check(&file, &Options { checksum: mode == "both", ..Options::default() }).unwrap();
            let contents = report.contents.expect("the file is sound");
            if mode == "members" {
                let point = HashPoint { revision: contents.revision, compact_revision: contents.compact_revision() };
                let hashes = etcd_snapshot::hash_kv(&file, &contents, &[point], &|_| true).unwrap();
                assert!(matches!(hashes[..], [FileHash::Hash(_)]), "{hashes:?}");
            }
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(most) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        println!("{}", most.trim().trim_end_matches("kB").trim());
    }
}
