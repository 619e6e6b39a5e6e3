//! Parts of etcd's URLs. A member may advertise what a strict parser would refuse, so nothing here fails.

/// etcd's port for clients.
const DEFAULT_PORT: u16 = 2379;

/// Returns the port of a URL; etcd's default if it has none.
pub(super) fn port(url: &str) -> u16 {
    let behind_address = authority(url).rsplit_once(']').map_or(authority(url), |(_, behind)| behind);
    behind_address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(DEFAULT_PORT)
}

/// Returns the host of a URL, without brackets.
pub(super) fn host(url: &str) -> &str {
    let authority = authority(url);
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split(']').next().unwrap_or_default();
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Returns the host of a URL as the URL spells it: an IPv6 address in brackets.
pub(super) fn bracketed_host(url: &str) -> String {
    bracket(host(url))
}

/// Puts an IPv6 address in brackets, as a URL needs it.
pub(super) fn bracket(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Reports whether the host of a URL is the machine itself.
pub(super) fn is_loopback(url: &str) -> bool {
    let host = host(url);
    host == "localhost" || host == "::1" || host.starts_with("127.")
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_host_and_a_port_also_with_ipv6() {
        let parts = |url| (host(url).to_owned(), port(url), bracketed_host(url));
        assert_eq!(parts("https://10.0.0.1:4001/"), ("10.0.0.1".into(), 4001, "10.0.0.1".into()));
        assert_eq!(parts("https://[fd00::1]:4001"), ("fd00::1".into(), 4001, "[fd00::1]".into()));
        assert_eq!(parts("http://etcd-0.etcd"), ("etcd-0.etcd".into(), 2379, "etcd-0.etcd".into()));
    }

    #[test]
    fn loopback_has_several_spellings() {
        assert!(["http://localhost:1", "http://127.0.0.2", "http://[::1]:2379"].into_iter().all(is_loopback));
        assert!(!is_loopback("http://10.0.0.1:2379"));
    }
}
