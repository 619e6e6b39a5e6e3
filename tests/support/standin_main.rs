//! The stand-in cluster as a program, for `make demo` and for trying things by hand.
#![allow(clippy::print_stdout, clippy::print_stderr, dead_code)]

use std::io::Read;

mod certs;
mod directory;
mod etcd;
mod standin;

/// The stand-in names its neighbours as the tests do.
mod support {
    pub(crate) use crate::{certs, directory, etcd};
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let path = words.windows(2).find(|pair| pair[0] == "--kubeconfig").map(|pair| &pair[1]);
    let Some(path) = path else {
        eprintln!(
            "usage: standin --kubeconfig FILE\nserves a stand-in cluster with a real etcd until standard input closes"
        );
        std::process::exit(2);
    };
    let etcd = etcd::Etcd::start();
    etcd.fill(2000, 3000);
    let standin = standin::Standin::start(&etcd.url, standin::faults::Faults::default());
    standin.write_kubeconfig(std::path::Path::new(path), standin::TOKEN);
    println!("ready: etcd at {}", etcd.url);
    let mut rest = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut rest);
}
