//! The scenarios, one file per subject.

mod admission;
mod faults;
mod hash_check;
mod kubeadm;
mod layouts;
mod load;
mod nodes;
mod permissions;

use crate::harness::Scenario;

/// All of them, in the order in which they run.
pub fn all() -> Vec<Scenario> {
    let subjects = [
        kubeadm::scenarios(),
        permissions::scenarios(),
        admission::scenarios(),
        layouts::scenarios(),
        nodes::scenarios(),
        faults::scenarios(),
        hash_check::scenarios(),
        load::scenarios(),
    ];
    subjects.into_iter().flatten().collect()
}
