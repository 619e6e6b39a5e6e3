//! One etcd member as its pod shows it.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::config::EtcdConfig;
use super::url::{bracket, bracketed_host, host, is_loopback};

/// A member, from its pod. Everything here is as untrusted as the cluster that said it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Name in etcd (`--name`), else the pod's.
    pub name: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod_name: String,
    /// Node that the pod runs on; empty while it is not scheduled.
    pub node: String,
    /// The container that runs etcd.
    pub container: Container,
    /// etcd's settings.
    pub settings: EtcdConfig,
    /// The pod itself.
    pub pod: Pod,
}

impl Member {
    /// The member that `pod` runs; `None` when none of its containers is etcd.
    pub fn from_pod(pod: Pod) -> Option<Self> {
        let container = etcd_container(&pod)?.clone();
        let settings = EtcdConfig::from_container(&container);
        let pod_name = pod.metadata.name.clone()?;
        Some(Member {
            name: settings.get("name").unwrap_or(&pod_name).to_owned(),
            namespace: pod.metadata.namespace.clone()?,
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            pod_name,
            container,
            settings,
            pod,
        })
    }

    /// `namespace/pod`, as kubectl writes it.
    pub fn pod_path(&self) -> String {
        format!("{}/{}", self.namespace, self.pod_name)
    }

    /// The pod's condition Ready is true.
    pub fn is_ready(&self) -> bool {
        let conditions = self.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// Why the pod is not ready, as far as its status says.
    pub fn why_not_ready(&self) -> String {
        let Some(status) = &self.pod.status else {
            return "it has no status yet".to_owned();
        };
        let of_container = status.container_statuses.iter().flatten().find(|status| status.name == self.container.name);
        if let Some(state) = of_container.and_then(|status| status.state.as_ref()) {
            if let Some(waiting) = &state.waiting {
                let reason = waiting.reason.as_deref().unwrap_or("waiting");
                return match &waiting.message {
                    Some(message) => format!("its container is waiting: {reason}: {message}"),
                    None => format!("its container is waiting: {reason}"),
                };
            }
            if let Some(ended) = &state.terminated {
                return format!("its container ended with code {}", ended.exit_code);
            }
        }
        let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let message = condition.and_then(|condition| condition.message.clone());
        message.unwrap_or_else(|| match status.phase.as_deref() {
            // What its container says is fine, so it is the node that does not say so any more.
            Some("Running") => format!("node {} does not report it as ready; is the node up?", self.node),
            phase => format!("its phase is {}", phase.unwrap_or("unknown")),
        })
    }

    /// The pod shares the node's network, so its loopback addresses are the node's.
    pub fn host_network(&self) -> bool {
        self.pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false)
    }

    /// The pod or its container runs as somebody else than root, so its keys may be unreadable for a root without
    /// capabilities.
    pub fn runs_as_other_user(&self) -> bool {
        let of_pod = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let of_container = self.container.security_context.as_ref();
        let user =
            of_container.and_then(|context| context.run_as_user).or(of_pod.and_then(|context| context.run_as_user));
        let non_root = of_container
            .and_then(|context| context.run_as_non_root)
            .or(of_pod.and_then(|context| context.run_as_non_root));
        user.is_some_and(|user| user != 0) || non_root == Some(true)
    }

    /// Addresses at which other members and clients know this one.
    pub fn advertised(&self) -> Vec<&str> {
        self.settings.urls("advertise-client-urls")
    }

    /// The URL at which a process in the member's network reaches it: loopback where it listens there, else what it
    /// advertises, else the pod's address.
    pub fn local_endpoint(&self) -> String {
        let listens = self.settings.urls("listen-client-urls");
        let usable = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
        let loopback = listens.iter().copied().filter(usable).find(|url| is_loopback(url));
        if let Some(url) = loopback {
            return url.trim_end_matches('/').to_owned();
        }
        if let Some((url, wildcard)) = listens.iter().copied().filter(usable).find_map(|url| {
            ["0.0.0.0", "[::]"]
                .into_iter()
                .find(|wildcard| url.contains(&format!("//{wildcard}")))
                .map(|wildcard| (url, wildcard))
        }) {
            return url.replacen(wildcard, "127.0.0.1", 1).trim_end_matches('/').to_owned();
        }
        if let Some(url) = self.advertised().into_iter().find(usable).or_else(|| listens.into_iter().find(usable)) {
            return url.trim_end_matches('/').to_owned();
        }
        if let Some(url) = self.settings.get("client-urls") {
            // etcd-manager (kOps) writes its own name where the address goes.
            return url.replace("__name__", "127.0.0.1");
        }
        // A configuration file that could not be read is no sign of an etcd without TLS.
        let secured = self.settings.get("cert-file").is_some() || self.settings.get("config-file").is_some();
        let scheme = if secured { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:2379")
    }

    /// The URL at which another pod on the node reaches the member.
    pub fn endpoint_from_node(&self) -> String {
        let local = self.local_endpoint();
        if self.host_network() {
            return local;
        }
        // A loopback address that is advertised means the etcd pod's own.
        let reachable = |url: &&str| url.starts_with("http") && !url.contains('$') && !is_loopback(url);
        let advertised = self.advertised().into_iter().find(reachable);
        if let Some(url) = advertised {
            return url.trim_end_matches('/').to_owned();
        }
        match self.pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()) {
            Some(address) => local.replacen(&bracketed_host(&local), &bracket(address), 1),
            None => local,
        }
    }

    /// Whether this member advertises `url`.
    pub fn advertises(&self, url: &str) -> bool {
        self.advertised().iter().any(|own| own.trim_end_matches('/') == url.trim_end_matches('/'))
    }

    /// Whether `url` is one at which this member is reached, as far as its addresses tell: another member on the same
    /// host has the same.
    pub fn answers_at(&self, url: &str) -> bool {
        if self.advertises(url) {
            return true;
        }
        let status = self.pod.status.as_ref();
        let host = host(url);
        status.is_some_and(|status| {
            status.pod_ip.as_deref() == Some(host) || (self.host_network() && status.host_ip.as_deref() == Some(host))
        })
    }
}

/// The container that runs etcd: by its name, its program or its settings.
fn etcd_container(pod: &Pod) -> Option<&Container> {
    let containers = &pod.spec.as_ref()?.containers;
    let program = |container: &Container| {
        let first = container.command.iter().flatten().chain(container.args.iter().flatten()).next();
        first.is_some_and(|first| first.rsplit('/').next() == Some("etcd"))
    };
    let listens = |container: &Container| EtcdConfig::from_container(container).get("listen-client-urls").is_some();
    let by_name = |name: &str| containers.iter().find(|container| container.name == name);
    by_name("etcd")
        .or_else(|| by_name("etcd-member"))
        .or_else(|| by_name("etcd-manager"))
        .or_else(|| containers.iter().find(|container| program(container)))
        .or_else(|| containers.iter().find(|container| listens(container)))
        .or_else(|| {
            containers.iter().find(|container| {
                container.image.as_deref().is_some_and(|image| image.contains("/etcd:") || image.starts_with("etcd:"))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    fn member(command: &[&str], host_network: bool) -> Member {
        Member::from_pod(pod("etcd-cp1", command, host_network)).expect("it runs etcd")
    }

    #[test]
    fn on_the_nodes_network_the_loopback_url_is_used() {
        let member = member(&["etcd", "--listen-client-urls=https://10.0.0.11:2379,https://127.0.0.1:2379"], true);
        assert_eq!(member.endpoint_from_node(), "https://127.0.0.1:2379");
    }

    #[test]
    fn a_wildcard_address_is_reached_on_loopback() {
        let member = member(&["etcd", "--listen-client-urls=https://0.0.0.0:4001"], true);
        assert_eq!(member.endpoint_from_node(), "https://127.0.0.1:4001");
    }

    #[test]
    fn in_a_network_of_its_own_the_pods_address_is_used() {
        let member = member(&["etcd", "--listen-client-urls=https://0.0.0.0:2379", "--cert-file=/a"], false);
        assert_eq!(member.endpoint_from_node(), "https://10.0.0.11:2379");
    }

    #[test]
    fn a_loopback_address_that_is_advertised_is_nobody_elses() {
        let command =
            ["etcd", "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://127.0.0.1:2379"];
        assert_eq!(member(&command, false).endpoint_from_node(), "http://10.0.0.11:2379");
    }

    #[test]
    fn plain_http_is_seen() {
        let member = member(&["etcd", "--listen-client-urls", "http://127.0.0.1:2379"], true);
        assert_eq!(member.local_endpoint(), "http://127.0.0.1:2379");
    }

    #[test]
    fn a_member_knows_its_addresses() {
        let member = member(&["etcd", "--advertise-client-urls=https://etcd-0.etcd:2379"], true);
        assert!(member.answers_at("https://etcd-0.etcd:2379"));
        assert!(member.answers_at("https://10.0.0.11:2379"));
        assert!(!member.answers_at("https://10.0.0.12:2379"));
    }

    #[test]
    fn a_pod_without_etcd_is_no_member() {
        let mut other = pod("coredns", &["coredns"], false);
        let spec = other.spec.as_mut().expect("it has one");
        spec.containers[0].name = "coredns".to_owned();
        spec.containers[0].image = Some("registry.k8s.io/coredns:1".to_owned());
        assert!(Member::from_pod(other).is_none());
    }
}
