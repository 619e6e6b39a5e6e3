//! The fake cluster as a program, for `make demo` and for trying things by hand.
#![allow(clippy::print_stdout, clippy::print_stderr, dead_code)]

use std::io::Read;

mod certs;
mod directory;
mod etcd;
mod fake_cluster;

/// The files of the fake cluster name each other as the tests do.
mod support {
    pub(crate) use crate::{certs, directory, etcd};
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let path = words.windows(2).find(|pair| pair[0] == "--kubeconfig").map(|pair| &pair[1]);
    let Some(path) = path else {
        eprintln!(
            "usage: fake-cluster --kubeconfig FILE\nserves a fake cluster with a real etcd until standard input closes"
        );
        std::process::exit(2);
    };
    let etcd = etcd::Etcd::start();
    etcd.fill(2000, 3000);
    let cluster = fake_cluster::FakeCluster::start(&etcd.url, fake_cluster::faults::Faults::default());
    cluster.write_kubeconfig(std::path::Path::new(path), fake_cluster::TOKEN);
    println!("ready: etcd at {}", etcd.url);
    let mut rest = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut rest);
}
