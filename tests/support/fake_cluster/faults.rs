//! What can be made to go wrong. Everything is off by default, and each field is one fault of the real world.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// (verb, resource or resource/subresource) that RBAC refuses.
    pub forbid: Vec<(&'static str, &'static str)>,
    /// The same, for credentials that are not accepted (401).
    pub unauthorized_for: Vec<(&'static str, &'static str)>,
    /// RBAC rules, as in a Role: what none of them allows is refused. Without any, all is allowed.
    pub only: Option<Vec<serde_json::Value>>,
    /// The API server has lost its etcd and was restarted: without roles it refuses everything but `/readyz`.
    pub lost_etcd: bool,
    /// Every request gets 401.
    pub unauthorized: bool,
    /// No pod is etcd.
    pub no_etcd_pods: bool,
    /// The etcd pod never becomes ready.
    pub not_ready: bool,
    /// The nodes have this image, and not etcd's.
    pub other_image: Option<&'static str>,
    /// A condition of the node, beside Ready.
    pub node_condition: Option<(&'static str, &'static str)>,
    /// The kubelet's log endpoint answers with this instead of files.
    pub logs_status: Option<u16>,
    /// Free bytes on the node.
    pub available: Option<u64>,
    /// `podLogsDir` of the kubelet.
    pub pod_logs_dir: Option<&'static str>,
    /// The job gets no pod, but an event with this message.
    pub failed_create: Option<&'static str>,
    /// The job gets no pod and no event.
    pub no_pod: bool,
    /// The pod waits without end, with this reason and message.
    pub waiting: Option<(&'static str, &'static str)>,
    /// The image holds no etcdctl.
    pub no_etcdctl: bool,
    /// etcdctl ends with this output; with "permission denied" only until the job asks for DAC_OVERRIDE.
    pub etcdctl_fails: Option<&'static str>,
    /// A LimitRange put this ephemeral-storage limit on the pod.
    pub storage_limit: Option<&'static str>,
    /// The kubelet evicts the pod.
    pub evicted: bool,
    /// Bytes a second of the file server.
    pub throttle: Option<u64>,
    /// Bytes a second at which etcdctl writes.
    pub save_rate: Option<u64>,
    /// A proxy that ignores Range.
    pub ignore_range: bool,
    /// A proxy that compresses.
    pub gzip: bool,
    /// A proxy that serves everything below this path.
    pub base_path: &'static str,
    /// The connection breaks when these offsets are reached, once each.
    pub cuts: Vec<u64>,
    /// The connection breaks when this many bytes of `.part` were served, and etcdctl renames it before the next answer.
    pub rename_at: Option<u64>,
    /// 503 for this long from the first read.
    pub unavailable: Option<Duration>,
    /// 403 to reads that go on, for this long from the first read: an API server that has just started.
    pub forgets_rules: Option<Duration>,
    /// No byte comes from this offset on.
    pub stall_at: Option<u64>,
    /// This byte is wrong, counted from the end when negative.
    pub flip_at: Option<i64>,
    /// The file is shorter by this.
    pub short_by: u64,
    /// The body never ends.
    pub endless: bool,
    /// Somebody deletes the job when this many bytes were served.
    pub delete_job_at: Option<u64>,
    /// The pod is replaced by another when this many bytes were served.
    pub replace_pod_at: Option<u64>,
    /// The way to etcd through `pods/portforward`.
    pub forward: super::portforward::Faults,
    /// The etcd container.
    pub container: super::container::Faults,
    /// A POST of a job is not answered for this long, and carried out only then.
    pub late_create: Option<Duration>,
    /// So many DELETE requests are lost: nothing is deleted, and no answer comes.
    pub lost_deletes: u32,
    /// DELETE answers with this status.
    pub delete_status: Option<u16>,
    /// What happens on the node just before etcdctl reads the database.
    pub before_save: Option<Hook>,
    /// What happens once, when this many bytes were served.
    pub when_served: Option<(u64, Hook)>,
    /// The finished file is changed by this, and gets a checksum that fits.
    pub damage: Option<fn(&mut [u8])>,
    /// What is wrong with single members, by their name (`cp2`).
    pub members: BTreeMap<&'static str, MemberFaults>,
}

/// Something that a test lets happen at a moment that it cannot hit from outside.
#[derive(Clone)]
pub struct Hook(Arc<dyn Fn() + Send + Sync>);

impl Hook {
    pub fn new(happens: impl Fn() + Send + Sync + 'static) -> Self {
        Hook(Arc::new(happens))
    }

    pub fn happen(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl Faults {
    /// Whether RBAC refuses this.
    pub fn refuses(&self, verb: &str, resource: &str, name: Option<&str>) -> bool {
        let has =
            |list: &serde_json::Value, word: &str| list.as_array().is_some_and(|list| list.contains(&word.into()));
        let allows = |rule: &serde_json::Value| {
            let named = rule.get("resourceNames").is_none_or(|names| name.is_some_and(|name| has(names, name)));
            has(&rule["verbs"], verb) && has(&rule["resources"], resource) && named
        };
        self.forbid.contains(&(verb, resource)) || self.only.as_ref().is_some_and(|rules| !rules.iter().any(allows))
    }

    /// The faults of one member.
    pub fn member(&mut self, name: &'static str) -> &mut MemberFaults {
        self.members.entry(name).or_default()
    }
}

/// What is wrong with one member.
#[derive(Debug, Clone, Default)]
pub struct MemberFaults {
    /// Its pod is not ready.
    pub not_ready: bool,
    /// Exec into its pod answers with this status and message before any stream.
    pub exec_refused: Option<(u16, &'static str)>,
    /// etcdctl's answers carry this alarm against it, for every member.
    pub alarm: Option<&'static str>,
    /// It takes this long for a hash.
    pub slow_hash: Option<Duration>,
    /// etcdctl reports this size of its database.
    pub db_size: Option<u64>,
    /// The node that it runs on has this condition, beside Ready.
    pub node_condition: Option<(&'static str, &'static str)>,
}
