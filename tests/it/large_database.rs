//! The memory and time of `verify` with very many keys.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::verify::same_figures;
use crate::support::etcd::tool;

/// `make soak`.
#[test]
#[ignore = "takes a minute and a gigabyte"]
fn soak_two_million_keys_take_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("many.db");
    let made = Command::new(tool("snapmaker")).arg("keys").arg(&path).args(["2000000", "100"]).status().unwrap();
    assert!(made.success());
    let begun = std::time::Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup"))
        .args(["verify", "many.db", "-o", "json"])
        .current_dir(directory.path())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The peak memory so far. The file is gone when the process has ended.
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let most = || {
            let text = std::fs::read_to_string(&status).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        let mut last = None;
        while let Some(kilobytes) = most() {
            last = Some(kilobytes);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        last
    });
    let output = child.wait_with_output().expect("it ends");
    let took = begun.elapsed();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    same_figures(&document, &path);
    assert_eq!(document["totalKeys"], 2_000_000);
    let size = document["sizeBytes"].as_u64().unwrap() >> 20;
    let most = watch.join().expect("it ends");
    eprintln!("two million keys, {size} MiB: {took:.1?}, at most {most:?} KiB of memory");
    if cfg!(target_os = "linux") {
        assert!(most.is_some_and(|most| most < 144 << 10), "{most:?} KiB");
    }
}
