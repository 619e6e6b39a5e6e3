//! Which transport is taken, when the next one is, and when not.

use crate::support::Rig;
use crate::support::fake_cluster::container::Faults as Container;

#[test]
fn without_certificates_the_node_comes_first() {
    let rig = Rig::new();
    rig.run(&["--out", "x.db"])
        .code(0)
        .says("Transport node: a job on the member's node, whose kubelet serves the file, because there are no certificates")
        .leaves_only(&["x.db"]);
}

#[test]
fn what_is_refused_on_the_node_moves_on_to_the_container() {
    type Script = fn(&mut crate::support::fake_cluster::faults::Faults);
    let scripts: [(Script, &str); 5] = [
        (|faults| faults.forbid.push(("get", "nodes/proxy")), "not allowed to get nodes/proxy"),
        (|faults| faults.forbid.push(("create", "jobs")), "not allowed to create jobs"),
        (|faults| faults.logs_status = Some(405), "does not serve its logs"),
        (|faults| faults.failed_create = Some("violates PodSecurity \"restricted\""), "does not admit"),
        (|faults| faults.no_etcdctl = true, "contains no etcdctl"),
    ];
    for (script, why) in scripts {
        let rig = Rig::with(|faults| {
            faults.container.tools = Container::ALL.to_vec();
            script(faults);
        });
        rig.run(&["--out", "x.db", "--pod-running-timeout", "6s"])
            .code(0)
            .says("Transport node")
            .says("Transport exec: etcdctl in the etcd container, because node is not available")
            .says(why)
            .leaves_only(&["x.db"]);
    }
}

#[test]
fn a_transport_that_is_asked_for_is_the_only_one() {
    let rig = Rig::with(|faults| {
        faults.container.tools = Container::ALL.to_vec();
        faults.forbid.push(("get", "nodes/proxy"));
    });
    rig.run(&["--out", "x.db", "--transport", "node"]).code(3).says("not allowed to get nodes/proxy").leaves_only(&[]);
    assert!(!rig.run(&["--out", "y.db", "--transport", "exec"]).code(0).stderr.contains("Transport node"));
}

#[test]
fn a_copy_that_failed_moves_on_to_nothing() {
    let rig = Rig::with(|faults| {
        faults.container.tools = Container::ALL.to_vec();
        faults.flip_at = Some(2_000_000);
    });
    let outcome = rig.run(&["--out", "x.db"]).code(4).leaves_only(&[]);
    assert!(!outcome.stderr.contains("Transport exec"), "{}", outcome.stderr);
}

#[test]
fn a_node_without_free_space_is_not_filled_by_another_transport() {
    let rig = Rig::with(|faults| {
        faults.container.tools = Container::ALL.to_vec();
        faults.available = Some(1 << 30);
    });
    let outcome = rig.run(&["--out", "x.db"]).code(1).says("not enough free space on node cp1").leaves_only(&[]);
    assert!(!outcome.stderr.contains("Transport exec"), "{}", outcome.stderr);
}

#[test]
fn where_none_is_open_each_has_its_line() {
    let rig = Rig::with(|faults| {
        faults.forbid.push(("get", "nodes/proxy"));
        faults.forbid.push(("get", "pods/exec"));
    });
    rig.run(&["--out", "x.db"])
        .code(3)
        .says("cannot take a snapshot of pod kube-system/etcd-cp1: no transport is available")
        .says("\n  direct: not tried, it needs certificates")
        .says("\n  node: not allowed to get nodes/proxy of cp1")
        .says("\n  exec: not allowed to get pods/exec in namespace kube-system")
        .leaves_only(&[]);
    let rig = Rig::with(|faults| {
        faults.forbid.push(("get", "nodes/proxy"));
        faults.forbid.push(("get", "pods/portforward"));
    });
    let outcome = rig.run_with(("ETCDCTL_PASSWORD", "x"), &["--out", "x.db", "--etcd-user", "root"]).code(3);
    for line in ["\n  direct: not allowed to get pods/portforward", "\n  node: not allowed", "\n  exec: container etcd"]
    {
        assert!(outcome.stderr.contains(line), "{line:?} is missing in\n{}", outcome.stderr);
    }
}

#[test]
fn a_gateway_without_websockets_is_named_by_each_transport_that_needs_one() {
    for code in [400, 501] {
        let rig = Rig::with(|faults| {
            faults.container.tools = Container::ALL.to_vec();
            faults.forbid.push(("get", "nodes/proxy"));
            faults.member("cp1").exec_refused = Some((code, "upgrade not supported"));
        });
        rig.run(&["--out", "x.db"])
            .code(3)
            .says("cannot take a snapshot of pod kube-system/etcd-cp1: no transport is available")
            .says("\n  node: not allowed to get nodes/proxy of cp1")
            .says("\n  exec: cannot open a WebSocket through the API server")
            .leaves_only(&[]);
    }
}

#[test]
fn direct_without_certificates_says_what_it_needs() {
    let rig = Rig::new();
    rig.run(&["--out", "x.db", "--transport", "direct", "--pod-endpoint", "https://127.0.0.1:2379"])
        .code(2)
        .says("needs certificates that etcd accepts")
        .says("--etcd-cert-secret")
        .leaves_only(&[]);
    rig.run(&["--etcd-cert", "a", "--etcd-key", "b"]).code(2).says("--etcd-cert needs --etcd-cacert");
}
