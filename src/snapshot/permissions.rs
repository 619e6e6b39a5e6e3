//! The permissions that a backup needs, by transport. `rbac` prints them, and a dry run asks the API server for them.

use super::Transport;
use crate::etcd::Member;
use crate::k8s::Access;

/// The objects that a rule covers. They decide whether it is in a Role or a ClusterRole, and which names it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All objects of the kind in etcd's namespace.
    Namespace,
    /// The etcd pods, by name.
    EtcdPods,
    /// The nodes of the members, by name.
    Nodes,
    /// The namespace kube-system itself, whose UID identifies the cluster.
    KubeSystem,
}

impl Scope {
    /// Reports whether the rule belongs in a Role of etcd's namespace.
    pub fn is_namespaced(self) -> bool {
        matches!(self, Scope::Namespace | Scope::EtcdPods)
    }
}

/// One rule: some verbs on some resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    pub verbs: &'static [&'static str],
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resources with their subresources, as RBAC writes them.
    pub resources: &'static [&'static str],
    pub scope: Scope,
    /// What the rule is for, as an imperative.
    pub purpose: &'static str,
    /// What happens without the rule; `None` for a required rule.
    pub fallback: Option<&'static str>,
}

impl Permission {
    /// Reports whether a backup fails without the rule.
    pub fn is_required(&self) -> bool {
        self.fallback.is_none()
    }

    /// Returns each verb on each resource of the rule, as a SelfSubjectAccessReview asks for it.
    pub fn accesses(&self, member: &Member) -> Vec<Access> {
        let (namespace, name) = match self.scope {
            Scope::Namespace => (Some(member.namespace.clone()), None),
            Scope::EtcdPods => (Some(member.namespace.clone()), Some(member.pod_name.clone())),
            Scope::Nodes => (None, Some(member.node.clone())),
            Scope::KubeSystem => (None, Some("kube-system".to_owned())),
        };
        let single = |resource: &&'static str, verb: &&'static str| {
            let (resource, subresource) = match resource.split_once('/') {
                Some((resource, subresource)) => (resource, Some(subresource)),
                None => (*resource, None),
            };
            Access { verb, group: self.group, resource, subresource, namespace: namespace.clone(), name: name.clone() }
        };
        self.resources.iter().flat_map(|resource| self.verbs.iter().map(move |verb| single(resource, verb))).collect()
    }
}

const PODS: Permission = Permission {
    verbs: &["get", "list"],
    group: "",
    resources: &["pods"],
    scope: Scope::Namespace,
    purpose: "find the etcd pods, and watch the Job's pod",
    fallback: None,
};
const FIND_PODS: Permission = Permission { purpose: "find the etcd pods, and check that they are ready", ..PODS };
const JOBS: Permission = Permission {
    verbs: &["create", "get", "delete"],
    group: "batch",
    resources: &["jobs"],
    scope: Scope::Namespace,
    purpose: "create, watch and delete the snapshot Job",
    fallback: None,
};
const NODES_PROXY: Permission = Permission {
    verbs: &["get"],
    group: "",
    resources: &["nodes/proxy"],
    scope: Scope::Nodes,
    purpose: "read the snapshot from the kubelet, on the nodes of etcd alone",
    fallback: None,
};
const EXTEND_TTL: Permission = Permission {
    verbs: &["patch"],
    group: "batch",
    resources: &["jobs"],
    scope: Scope::Namespace,
    purpose: "extend the Job's short TTL during the copy (--job-ttl)",
    fallback: Some(
        "after a kill, the Job and its file stay for up to --deadline after etcdctl has finished; a warning says so",
    ),
};
const FIND_JOBS: Permission = Permission {
    verbs: &["list"],
    group: "batch",
    resources: &["jobs"],
    scope: Scope::Namespace,
    purpose: "find what killed runs left behind (cleanup)",
    fallback: Some("'cleanup' is refused"),
};
const EXEC: Permission = Permission {
    verbs: &["get", "create"],
    group: "",
    resources: &["pods/exec"],
    scope: Scope::EtcdPods,
    purpose: "run etcdctl in the etcd pods, and read the snapshot from there",
    fallback: None,
};
const STATUS: Permission = Permission {
    purpose: "read role, health, version, size and revision of the members, and compare the file with them",
    fallback: Some(
        "the first ready member is recommended; the free-space check does not know the size of the database, and only keeps a tenth of the disk free",
    ),
    ..EXEC
};
const PORT_FORWARD: Permission = Permission {
    verbs: &["get", "create"],
    group: "",
    resources: &["pods/portforward"],
    scope: Scope::EtcdPods,
    purpose: "connect to etcd",
    fallback: None,
};
const CERTIFICATES: Permission = Permission {
    purpose: "read when the members' server certificates expire",
    fallback: Some("'members' shows the expiry as unknown"),
    ..PORT_FORWARD
};
const NODES: Permission = Permission {
    verbs: &["get"],
    group: "",
    resources: &["nodes"],
    scope: Scope::Nodes,
    purpose: "refuse a node that is not ready or under pressure, before anything is created",
    fallback: Some("the node is not checked; a warning says so"),
};
const EVENTS: Permission = Permission {
    verbs: &["list"],
    group: "",
    resources: &["events"],
    scope: Scope::Namespace,
    purpose: "show why the cluster did not admit the Job's pod",
    fallback: Some("the run waits for --pod-running-timeout and cannot say why"),
};
const LOG: Permission = Permission {
    verbs: &["get"],
    group: "",
    resources: &["pods/log"],
    scope: Scope::Namespace,
    purpose: "show etcdctl's error when a copy fails",
    fallback: Some("one hint less"),
};
const LIMIT_RANGES: Permission = Permission {
    verbs: &["list"],
    group: "",
    resources: &["limitranges"],
    scope: Scope::Namespace,
    purpose: "name a LimitRange that is too low",
    fallback: Some("it is still refused, without its name"),
};
const IDENTITY: Permission = Permission {
    verbs: &["get"],
    group: "",
    resources: &["namespaces"],
    scope: Scope::KubeSystem,
    purpose: "fill in cluster.uid of the document",
    fallback: Some("cluster.uid is null"),
};

/// Returns the permissions of one transport, the required ones first.
pub fn permissions(transport: Transport) -> &'static [Permission] {
    match transport {
        Transport::Node => &[
            PODS,
            JOBS,
            NODES_PROXY,
            EXTEND_TTL,
            STATUS,
            NODES,
            EVENTS,
            LOG,
            LIMIT_RANGES,
            FIND_JOBS,
            CERTIFICATES,
            IDENTITY,
        ],
        Transport::Direct => &[FIND_PODS, PORT_FORWARD, STATUS, IDENTITY],
        Transport::Exec => &[FIND_PODS, EXEC, CERTIFICATES, IDENTITY],
    }
}

/// Returns what an administrator must know before granting these permissions.
pub fn risk_note(transport: Transport) -> &'static str {
    match transport {
        Transport::Node => {
            "'get' on nodes/proxy is as good as cluster-admin: through WebSockets it can run commands in any container \
             of that node (kubernetes#119640). Bind it for the time of a backup, and for the nodes of etcd only. \
             'create' on jobs is almost as strong: such a Job may mount any path of a node, unless a policy forbids it. \
             While a backup runs, every user who may get nodes/proxy or nodes/log of the node, and every pod that mounts \
             its /var/log, can read the snapshot."
        }
        Transport::Direct => {
            "With these permissions and a client certificate of etcd, a user can read and write all of its data."
        }
        Transport::Exec => {
            "'create' on pods/exec of the etcd pods is as good as cluster-admin, because their containers hold etcd's \
             keys. Bind it for the time of a backup."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    #[test]
    fn the_required_permissions_come_first() {
        for transport in [Transport::Node, Transport::Direct, Transport::Exec] {
            let required: Vec<bool> = permissions(transport).iter().map(Permission::is_required).collect();
            assert!(required.is_sorted_by(|a, b| a >= b), "{transport:?}");
        }
    }

    #[test]
    fn a_rule_is_reviewed_verb_by_verb_for_one_member() {
        let member = Member::from_pod(pod("etcd-cp1", &["etcd"], true)).expect("it runs etcd");
        let texts =
            |permission: Permission| permission.accesses(&member).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(NODES_PROXY), ["get nodes/proxy of cp1"]);
        assert_eq!(
            texts(EXEC),
            [
                "get pods/exec of etcd-cp1 in namespace kube-system",
                "create pods/exec of etcd-cp1 in namespace kube-system"
            ]
        );
        assert_eq!(JOBS.accesses(&member).len(), 3);
    }
}
