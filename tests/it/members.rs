//! Several members: what is told of them, and which one is taken.

use crate::support::{Rig, three};

#[test]
fn the_recommended_of_three_members_is_a_follower() {
    let rig = Rig::members(three(), |_| ());
    let outcome = rig.run(&["--out", "x.db", "-o", "json"]).code(0).says("3 etcd members in kube-system");
    let pod = outcome.json()["member"]["pod"].as_str().unwrap().to_owned();
    assert!(outcome.stderr.contains("Taking the recommended member: etcd-cp"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("follower  healthy"), "{}", outcome.stderr);
    let job = rig.standin.requests("POST", "/jobs")[0].json();
    assert_eq!(pod, format!("kube-system/etcd-{}", job["spec"]["template"]["spec"]["nodeName"].as_str().unwrap()));
    outcome.leaves_only(&["x.db"]);
}
