//! What the comparison with the members costs a member: how long its puts take while it computes its HashKV.
//!
//! `cargo bench --bench hashkv -- [KEYS BYTES]` starts an etcd of its own, fills it with so many keys whose values have
//! so many bytes on average (340 000 and 3000 unless told, about 1.7 GB), and puts one key after the other, alone and
//! beside HashKV. etcd and snapmaker are the ones in target/tools/bin.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An etcd that ends with the bench, however that ends.
struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [keys, bytes] = words.as_slice() else {
        return measure("340000", "3000");
    };
    measure(keys, bytes);
}

fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    assert!(path.exists(), "{} is missing: run 'make tools'", path.display());
    path
}

fn measure(keys: &str, bytes: &str) {
    let data = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (client, peer) = (free(), free());
    let url = format!("http://{client}");
    let child = Command::new(tool("etcd"))
        .arg("--data-dir")
        .arg(data.path().join("data"))
        .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
        .arg(format!("--listen-peer-urls=http://{peer}"))
        .args(["--max-txn-ops=1000", "--quota-backend-bytes=8589934592"])
        .stderr(Stdio::null())
        .spawn();
    let mut etcd = Etcd(child.unwrap());
    while TcpStream::connect(client).is_err() {
        assert!(etcd.0.try_wait().unwrap().is_none(), "etcd does not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    let filled = Command::new(tool("snapmaker")).args(["fill", &url, keys, bytes]).status();
    assert!(filled.unwrap().success());
    let size = data.path().join("data/member/snap/db").metadata().unwrap().len();
    println!("{keys} keys, {} MB", size / 1_000_000);
    let output = Command::new(tool("snapmaker")).args(["latency", &url]).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let phase: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| phase[name].as_f64().unwrap_or_default();
        println!(
            "  beside {:8} {:5.2} s   {:6} puts   p50 {:7.2} ms   p99 {:7.2} ms   max {:8.2} ms",
            phase["beside"].as_str().unwrap(),
            number("seconds"),
            number("puts"),
            number("p50"),
            number("p99"),
            number("max")
        );
    }
}
