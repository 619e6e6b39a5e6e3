//! One etcd member, as its pod describes it.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::config::EtcdConfig;
use super::url::{bracket, bracketed_host, host, is_loopback};
use crate::k8s::ContainerRef;

/// A member, from its pod. Every field comes from the cluster and is not trusted.
#[derive(Debug, Clone)]
pub struct Member {
    /// Name in etcd (`--name`), else the pod's.
    pub name: String,
    pub namespace: String,
    pub pod_name: String,
    /// The node of the pod; empty before the pod is scheduled.
    pub node: String,
    /// The container that runs etcd.
    pub container: Container,
    pub config: EtcdConfig,
    pub pod: Pod,
}

impl Member {
    /// Creates the member that `pod` runs; `None` if no container runs etcd.
    pub fn from_pod(pod: Pod) -> Option<Self> {
        let container = find_etcd_container(&pod)?.clone();
        let config = EtcdConfig::from_container(&container);
        let pod_name = pod.metadata.name.clone()?;
        Some(Member {
            name: config.get("name").unwrap_or(&pod_name).to_owned(),
            namespace: pod.metadata.namespace.clone()?,
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            pod_name,
            container,
            config,
            pod,
        })
    }

    /// Returns `namespace/pod`.
    pub fn pod_path(&self) -> String {
        format!("{}/{}", self.namespace, self.pod_name)
    }

    /// Returns the container that runs etcd, to run commands in.
    pub fn container_ref(&self) -> ContainerRef {
        ContainerRef {
            namespace: self.namespace.clone(),
            pod: self.pod_name.clone(),
            container: self.container.name.clone(),
        }
    }

    /// Reports whether the pod's condition Ready is true.
    pub fn is_ready(&self) -> bool {
        let conditions = self.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// Returns why the pod is not ready, according to its status.
    pub fn why_not_ready(&self) -> String {
        let Some(status) = &self.pod.status else {
            return "it has no status yet".to_owned();
        };
        let container_status =
            status.container_statuses.iter().flatten().find(|status| status.name == self.container.name);
        if let Some(state) = container_status.and_then(|status| status.state.as_ref()) {
            if let Some(waiting) = &state.waiting {
                let reason = waiting.reason.as_deref().unwrap_or("waiting");
                return match &waiting.message {
                    Some(message) => format!("its container is waiting: {reason}: {message}"),
                    None => format!("its container is waiting: {reason}"),
                };
            }
            if let Some(terminated) = &state.terminated {
                return format!("its container exited with code {}", terminated.exit_code);
            }
        }
        let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let message = condition.and_then(|condition| condition.message.clone());
        message.unwrap_or_else(|| match status.phase.as_deref() {
            // The container is fine, so the node has stopped to report.
            Some("Running") => format!("node {} does not report it as ready and may be down", self.node),
            phase => format!("its phase is {}", phase.unwrap_or("unknown")),
        })
    }

    /// Reports whether the pod uses the node's network; then its loopback addresses are the node's.
    pub fn host_network(&self) -> bool {
        self.pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false)
    }

    /// Reports whether the pod or its container runs as another user than root. Then root without capabilities may be
    /// unable to read its keys.
    pub fn runs_as_other_user(&self) -> bool {
        let pod_context = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let container_context = self.container.security_context.as_ref();
        let user = container_context
            .and_then(|context| context.run_as_user)
            .or(pod_context.and_then(|context| context.run_as_user));
        let non_root = container_context
            .and_then(|context| context.run_as_non_root)
            .or(pod_context.and_then(|context| context.run_as_non_root));
        user.is_some_and(|user| user != 0) || non_root == Some(true)
    }

    /// Returns the advertised client URLs.
    pub fn advertised_urls(&self) -> Vec<&str> {
        self.config.urls("advertise-client-urls")
    }

    /// Returns the URL for a process in the member's network: on loopback if the member listens there, else an advertised
    /// one.
    pub fn local_endpoint(&self) -> String {
        let listen_urls = self.config.urls("listen-client-urls");
        let usable = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
        let loopback = listen_urls.iter().copied().filter(usable).find(|url| is_loopback(url));
        if let Some(url) = loopback {
            return url.trim_end_matches('/').to_owned();
        }
        if let Some((url, wildcard)) = listen_urls.iter().copied().filter(usable).find_map(|url| {
            ["0.0.0.0", "[::]"]
                .into_iter()
                .find(|wildcard| url.contains(&format!("//{wildcard}")))
                .map(|wildcard| (url, wildcard))
        }) {
            return url.replacen(wildcard, "127.0.0.1", 1).trim_end_matches('/').to_owned();
        }
        if let Some(url) =
            self.advertised_urls().into_iter().find(usable).or_else(|| listen_urls.into_iter().find(usable))
        {
            return url.trim_end_matches('/').to_owned();
        }
        if let Some(url) = self.config.get("client-urls") {
            // etcd-manager (kOps) has a placeholder for the address.
            return url.replace("__name__", "127.0.0.1");
        }
        // An etcd with a configuration file that could not be read may have TLS.
        let uses_tls = self.config.get("cert-file").is_some() || self.config.get("config-file").is_some();
        let scheme = if uses_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:2379")
    }

    /// Returns the URL for another pod on the member's node.
    pub fn endpoint_from_node(&self) -> String {
        let local = self.local_endpoint();
        if self.host_network() {
            return local;
        }
        // An advertised loopback address is that of the etcd pod.
        let reachable = |url: &&str| url.starts_with("http") && !url.contains('$') && !is_loopback(url);
        let advertised = self.advertised_urls().into_iter().find(reachable);
        if let Some(url) = advertised {
            return url.trim_end_matches('/').to_owned();
        }
        match self.pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()) {
            Some(address) => local.replacen(&bracketed_host(&local), &bracket(address), 1),
            None => local,
        }
    }

    /// Reports whether this member advertises `url`.
    pub fn advertises(&self, url: &str) -> bool {
        self.advertised_urls().iter().any(|own| own.trim_end_matches('/') == url.trim_end_matches('/'))
    }

    /// Reports whether `url` may be one of this member, by its advertised URLs and its addresses. Another member on the
    /// same host has the same addresses.
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

/// Finds the container that runs etcd by its name, its program, its configuration or its image.
fn find_etcd_container(pod: &Pod) -> Option<&Container> {
    let containers = &pod.spec.as_ref()?.containers;
    let runs_etcd = |container: &Container| {
        let first = container.command.iter().flatten().chain(container.args.iter().flatten()).next();
        first.is_some_and(|first| first.rsplit('/').next() == Some("etcd"))
    };
    let listens = |container: &Container| EtcdConfig::from_container(container).get("listen-client-urls").is_some();
    let by_name = |name: &str| containers.iter().find(|container| container.name == name);
    by_name("etcd")
        .or_else(|| by_name("etcd-member"))
        .or_else(|| by_name("etcd-manager"))
        .or_else(|| containers.iter().find(|container| runs_etcd(container)))
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
    fn on_the_network_of_the_node_the_loopback_url_is_used() {
        let member = member(&["etcd", "--listen-client-urls=https://10.0.0.11:2379,https://127.0.0.1:2379"], true);
        assert_eq!(member.endpoint_from_node(), "https://127.0.0.1:2379");
    }

    #[test]
    fn a_wildcard_address_is_reached_on_loopback() {
        let member = member(&["etcd", "--listen-client-urls=https://0.0.0.0:4001"], true);
        assert_eq!(member.endpoint_from_node(), "https://127.0.0.1:4001");
    }

    #[test]
    fn in_a_network_of_its_own_the_address_of_the_pod_is_used() {
        let member = member(&["etcd", "--listen-client-urls=https://0.0.0.0:2379", "--cert-file=/a"], false);
        assert_eq!(member.endpoint_from_node(), "https://10.0.0.11:2379");
    }

    #[test]
    fn an_advertised_loopback_address_is_not_used_from_another_pod() {
        let command =
            ["etcd", "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://127.0.0.1:2379"];
        assert_eq!(member(&command, false).endpoint_from_node(), "http://10.0.0.11:2379");
    }

    #[test]
    fn an_etcd_without_tls_has_an_http_url() {
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
    fn a_pod_without_etcd_is_not_a_member() {
        let mut other = pod("coredns", &["coredns"], false);
        let spec = other.spec.as_mut().expect("it has one");
        spec.containers[0].name = "coredns".to_owned();
        spec.containers[0].image = Some("registry.k8s.io/coredns:1".to_owned());
        assert!(Member::from_pod(other).is_none());
    }
}
