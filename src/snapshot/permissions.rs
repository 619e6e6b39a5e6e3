//! The rights that a backup needs, in one list: `rbac` prints it, `--dry-run` asks for it, the README shows it.

use super::Transport;
use crate::etcd::Member;
use crate::k8s::Access;

/// What a rule is about, which decides whether it is a Role's or a ClusterRole's and which names it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything of its kind in etcd's namespace.
    Namespace,
    /// The pods of etcd, by name.
    EtcdPods,
    /// The nodes of the members, by name.
    Nodes,
    /// The namespace kube-system itself, which stands for the cluster's identity.
    KubeSystem,
}

/// One rule: some verbs on some resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Verbs, as RBAC writes them.
    pub verbs: &'static [&'static str],
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resources with their subresources, as RBAC writes them.
    pub resources: &'static [&'static str],
    /// What the rule is about.
    pub scope: Scope,
    /// What it is for.
    pub purpose: &'static str,
    /// What happens without it; `None` when nothing works then.
    pub fallback: Option<&'static str>,
}

impl Permission {
    /// A backup cannot do without it.
    pub fn is_required(&self) -> bool {
        self.fallback.is_none()
    }

    /// Each single right of this rule, as a review of the user's access asks for it.
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
    purpose: "finds the etcd pods, and sees how the job's pod fares",
    fallback: None,
};
const FIND_PODS: Permission = Permission { purpose: "finds the etcd pods, and sees whether they are ready", ..PODS };
const JOBS: Permission = Permission {
    verbs: &["create", "get", "delete"],
    group: "batch",
    resources: &["jobs"],
    scope: Scope::Namespace,
    purpose: "the snapshot's job, and its removal",
    fallback: None,
};
const NODES_PROXY: Permission = Permission {
    verbs: &["get"],
    group: "",
    resources: &["nodes/proxy"],
    scope: Scope::Nodes,
    purpose: "reads the snapshot from the kubelet: the control-plane nodes, and no others",
    fallback: None,
};
const RENEW: Permission = Permission {
    verbs: &["patch"],
    group: "batch",
    resources: &["jobs"],
    scope: Scope::Namespace,
    purpose: "the job's time is short and renewed while copying (--job-ttl)",
    fallback: Some(
        "after a kill, the job and its file stay for up to --deadline after the end of the save; a warning says so",
    ),
};
const FIND_JOBS: Permission = Permission {
    verbs: &["list"],
    group: "batch",
    resources: &["jobs"],
    scope: Scope::Namespace,
    purpose: "'cleanup' finds what killed runs left",
    fallback: Some("'cleanup' is refused"),
};
const EXEC: Permission = Permission {
    verbs: &["get", "create"],
    group: "",
    resources: &["pods/exec"],
    scope: Scope::EtcdPods,
    purpose: "runs etcdctl in the etcd pods, and reads the snapshot from there",
    fallback: None,
};
const STATUS: Permission = Permission {
    purpose: "roles, health, version, size and revision of the members, and the comparison of the content with them",
    fallback: Some(
        "the first ready member is recommended; the size is unknown, so the check for room knows only the tenth that stays free",
    ),
    ..EXEC
};
const PORT_FORWARD: Permission = Permission {
    verbs: &["get", "create"],
    group: "",
    resources: &["pods/portforward"],
    scope: Scope::EtcdPods,
    purpose: "reaches etcd itself",
    fallback: None,
};
const CERTIFICATES: Permission = Permission {
    purpose: "the end of the members' server certificates",
    fallback: Some("'members' shows it as unknown"),
    ..PORT_FORWARD
};
const NODES: Permission = Permission {
    verbs: &["get"],
    group: "",
    resources: &["nodes"],
    scope: Scope::Nodes,
    purpose: "a node that is not ready or under pressure is refused before anything is created",
    fallback: Some("a warning"),
};
const EVENTS: Permission = Permission {
    verbs: &["list"],
    group: "",
    resources: &["events"],
    scope: Scope::Namespace,
    purpose: "the reason why the cluster did not admit the job's pod",
    fallback: Some("the run waits for --pod-running-timeout and cannot say why"),
};
const LOG: Permission = Permission {
    verbs: &["get"],
    group: "",
    resources: &["pods/log"],
    scope: Scope::Namespace,
    purpose: "etcdctl's own words when a copy fails",
    fallback: Some("one hint less"),
};
const LIMIT_RANGES: Permission = Permission {
    verbs: &["list"],
    group: "",
    resources: &["limitranges"],
    scope: Scope::Namespace,
    purpose: "the name of a LimitRange that is too low",
    fallback: Some("it is still refused, without its name"),
};
const IDENTITY: Permission = Permission {
    verbs: &["get"],
    group: "",
    resources: &["namespaces"],
    scope: Scope::KubeSystem,
    purpose: "cluster.uid in the document",
    fallback: Some("null"),
};

/// All rights of one transport, the required ones first.
pub fn permissions(transport: Transport) -> &'static [Permission] {
    match transport {
        Transport::Node => &[
            PODS,
            JOBS,
            NODES_PROXY,
            RENEW,
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

/// What whoever grants these rights must know of them; empty when there is nothing.
pub fn risk_note(transport: Transport) -> &'static str {
    match transport {
        Transport::Node => {
            "'get' on nodes/proxy is as good as cluster-admin: through WebSockets it can run commands in any container \
             of that node (kubernetes#119640). Bind it for the time of a backup, and for the nodes of etcd only. \
             'create' on jobs is hardly weaker: such a job may mount what it likes from a node, unless a policy forbids \
             it. While a backup runs, whoever may get nodes/proxy or nodes/log of the node, or mounts its /var/log, can \
             read the snapshot."
        }
        Transport::Direct => "Whoever has these rights and a client certificate of etcd reads and writes all of it.",
        Transport::Exec => {
            "'create' on pods/exec of the etcd pods is as good as cluster-admin: their containers hold the keys to \
             etcd. Bind it for the time of a backup."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    #[test]
    fn the_required_rights_come_first() {
        for transport in [Transport::Node, Transport::Direct, Transport::Exec] {
            let required: Vec<bool> = permissions(transport).iter().map(Permission::is_required).collect();
            assert!(required.is_sorted_by(|a, b| a >= b), "{transport:?}");
        }
    }

    #[test]
    fn a_rule_is_asked_for_verb_by_verb_on_the_member_that_is_meant() {
        let member = Member::from_pod(pod("etcd-cp1", &["etcd"], true)).expect("it runs etcd");
        let texts = |right: Permission| right.accesses(&member).iter().map(ToString::to_string).collect::<Vec<_>>();
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
