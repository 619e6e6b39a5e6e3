//! What the scenarios stand on: a cluster, runs of the plugin through kubectl, and what must hold after each of them.

pub mod backup;
pub mod cluster;
pub mod cluster_state;
pub mod etcd_pod;
pub mod logs;
pub mod node;
pub mod restore;
pub mod undo;

/// One scenario. Its function panics when something is not as it must be.
pub struct Scenario {
    /// `subject: sentence`.
    pub name: String,
    pub needs: Needs,
    /// Only in `make soak`.
    pub long: bool,
    /// Why it cannot be run here.
    pub left_out: Option<&'static str>,
    pub run: Box<dyn Fn(&cluster::Cluster)>,
}

impl Scenario {
    /// Left out where the rig could not make an image.
    pub fn needing(mut self, image: &str) -> Self {
        let cache = std::path::PathBuf::from(std::env::var("E2E_CACHE").unwrap_or_default());
        if !cache.join(format!("images/{image}.tar")).exists() {
            self.left_out = Some("this machine has no package to make its image of");
        }
        self
    }
}

/// The cluster that a scenario needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Whatever KUBECONFIG points to.
    Any,
    /// The rig's, one node.
    One,
    /// The rig's, three nodes.
    Three,
}

impl Needs {
    pub fn met_by(self, group: Needs) -> bool {
        self == group || self == Needs::Any && group == Needs::One
    }
}

/// A scenario of the usual set.
pub fn scenario(name: &str, needs: Needs, run: impl Fn(&cluster::Cluster) + 'static) -> Scenario {
    Scenario { name: name.to_owned(), needs, long: false, left_out: None, run: Box::new(run) }
}

/// A scenario of the long set.
pub fn long(name: &str, needs: Needs, run: impl Fn(&cluster::Cluster) + 'static) -> Scenario {
    Scenario { long: true, ..scenario(name, needs, run) }
}
