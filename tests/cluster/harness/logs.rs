//! What the nodes wrote while a scenario failed, kept after their end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::cluster::Cluster;

const PROGRAMS: [&str; 2] = ["kubelet", "containerd"];

/// A log that does not end must not fill this machine's disk.
const LONGEST: u64 = 64 << 20;

/// What led to it.
const BEFORE: u64 = 16 << 10;

/// How long the nodes' logs were when a scenario began.
pub struct Logs(Vec<(String, &'static str, u64)>);

impl Logs {
    pub fn of(cluster: &Cluster) -> Self {
        let logs = cluster.all_nodes().into_iter().flat_map(|node| {
            PROGRAMS.map(|program| {
                let length = std::fs::metadata(node.path(&format!("var/log/{program}.log"))).map(|log| log.len());
                (node.name.clone(), program, length.unwrap_or_default())
            })
        });
        Logs(logs.collect())
    }

    /// Copies what was written since, and a little of before, into a directory of the scenario's name, as `cp1-kubelet.log` and so on. A node
    /// that is gone has nothing to show.
    pub fn keep(&self, cluster: &Cluster, reports: &Path, scenario: &str) -> std::io::Result<()> {
        let words: Vec<_> =
            scenario.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let directory = reports.join(words.join("-"));
        std::fs::create_dir_all(&directory)?;
        for (node, program, length) in &self.0 {
            let Ok(mut log) = File::open(cluster.node(node).path(&format!("var/log/{program}.log"))) else { continue };
            log.seek(SeekFrom::Start(length.saturating_sub(BEFORE)))?;
            let mut copy = File::create(directory.join(format!("{node}-{program}.log")))?;
            std::io::copy(&mut log.take(LONGEST), &mut copy)?;
        }
        Ok(())
    }
}
