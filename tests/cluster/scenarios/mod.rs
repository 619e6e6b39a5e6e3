//! The scenarios, one file per subject.

mod admission;
mod kubeadm;
mod layouts;
mod rights;

use crate::harness::Scenario;

/// All of them, in the order in which they run.
pub fn all() -> Vec<Scenario> {
    [kubeadm::scenarios(), rights::scenarios(), admission::scenarios(), layouts::scenarios()]
        .into_iter()
        .flatten()
        .collect()
}
