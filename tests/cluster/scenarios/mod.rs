//! The scenarios, one file per subject.

mod kubeadm;

use crate::harness::Scenario;

/// All of them, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    [kubeadm::SCENARIOS].into_iter().flatten()
}
