//! Several members: what is reported about them, and which one is taken.

use serde_json::{Value, json};

use crate::support::certs::Authority;
use crate::support::etcd::{Etcd, EtcdCluster};
use crate::support::fake_cluster::members::FakeMember;
use crate::support::{Rig, three};

/// What etcdctl itself says of a member.
fn etcdctl(etcd: &Etcd) -> Value {
    let status: Value = serde_json::from_str(&etcd.ctl(&["endpoint", "status", "-w", "json"])).expect("it is JSON");
    status[0]["Status"].clone()
}

#[test]
fn the_recommended_of_three_members_is_a_follower() {
    let rig = Rig::members(three(), |_| ());
    let outcome = rig.run(&["--out", "x.db", "-o", "json"]).code(0).says("3 etcd members in kube-system");
    let pod = outcome.json()["member"]["pod"].as_str().unwrap().to_owned();
    assert!(outcome.stderr.contains("Taking the recommended member: etcd-cp"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("follower  healthy"), "{}", outcome.stderr);
    let job = rig.cluster.requests("POST", "/jobs")[0].json();
    assert_eq!(pod, format!("kube-system/etcd-{}", job["spec"]["template"]["spec"]["nodeName"].as_str().unwrap()));
    outcome.leaves_only(&["x.db"]);
}

#[test]
fn every_field_of_a_member_is_what_etcdctl_says() {
    let rig = Rig::members(three(), |_| ());
    let rows = rig.run(&["members", "-o", "json"]).code(0).json();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    for (index, (row, etcd)) in rows.as_array().unwrap().iter().zip(&three().members).enumerate() {
        let (truth, name) = (etcdctl(etcd), EtcdCluster::name(index));
        let id = truth["header"]["member_id"].as_u64().unwrap();
        let role = if truth["leader"] == truth["header"]["member_id"] { "leader" } else { "follower" };
        let expected = json!({
            "pod": format!("kube-system/etcd-{name}"), "node": name, "name": name, "id": format!("{id:x}"), "role": role,
            "version": truth["version"], "dbSizeBytes": truth["dbSize"], "dbInUseBytes": truth["dbSizeInUse"],
            "quotaBytes": truth["dbSizeQuota"], "revision": truth["header"]["revision"],
            "raftIndex": truth["raftIndex"], "alarms": [], "healthy": true, "certificateExpiry": null,
        });
        assert_eq!(row, &expected);
    }
}

#[test]
fn the_table_has_kubectls_form_and_says_what_it_could_not_fill() {
    let rig = Rig::members(three(), |_| ());
    let outcome = rig.run(&["members"]).code(0);
    let printed = outcome.printed();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("POD        NODE   ID "), "{printed}");
    assert_eq!(lines.len(), 4, "{printed}");
    let column = lines[0].find("ROLE").unwrap();
    let roles: Vec<&str> = lines[1..].iter().map(|line| line[column..].split_whitespace().next().unwrap()).collect();
    assert_eq!(roles.iter().filter(|role| **role == "leader").count(), 1, "{printed}");
    assert_eq!(roles.iter().filter(|role| **role == "follower").count(), 2, "{printed}");
    let wide = rig.run(&["members", "-o", "wide"]).code(0).printed();
    assert!(wide.lines().next().unwrap().contains("RAFT-INDEX"), "{wide}");
    assert!(wide.lines().nth(1).unwrap().ends_with("<none>"), "plain http has no certificate:\n{wide}");
    let names = rig.run(&["members", "-o", "name"]).code(0).printed();
    assert_eq!(names, "pod/etcd-cp1\npod/etcd-cp2\npod/etcd-cp3\n");
}

#[test]
fn without_permission_to_exec_the_pods_are_shown_with_the_reason() {
    let rig = Rig::members(three(), |faults| {
        faults.forbid.extend([("get", "pods/exec"), ("get", "pods/portforward")]);
    });
    let outcome = rig.run(&["members", "-o", "json"]).code(0).says("not allowed to get pods/exec");
    let row = &outcome.json()[1];
    assert_eq!(
        (&row["pod"], &row["role"], &row["healthy"]),
        (&json!("kube-system/etcd-cp2"), &Value::Null, &Value::Null)
    );
    assert_eq!(outcome.stderr.matches("warning:").count(), 1, "{}", outcome.stderr);
}

#[test]
fn a_pod_that_refuses_exec_is_asked_through_another() {
    let refusal = Some((403, "pods \"etcd-cp1\" is forbidden: User \"tester\" cannot get resource \"pods/exec\""));
    let rig = Rig::members(three(), |faults| faults.member("cp1").exec_refused = refusal);
    let rows = rig.run(&["members", "-o", "json"]).code(0).json();
    let healthy: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["healthy"]).collect();
    assert_eq!(healthy, [&json!(true); 3], "{rows}");
}

#[test]
fn without_a_quorum_the_members_that_live_are_shown_and_one_is_backed_up() {
    let mut cluster = EtcdCluster::start(3);
    cluster.members[0].fill(20, 100);
    let truth = etcdctl(&cluster.members[2]);
    cluster.members[0].stop();
    cluster.members[1].stop();
    cluster.members[2].until_leaderless();
    let gone = Some((500, "unable to upgrade connection: container not found (\"etcd\")"));
    let rig = Rig::members(&cluster, |faults| {
        faults.member("cp1").exec_refused = gone;
        faults.member("cp2").not_ready = true;
    });
    let outcome = rig.run(&["members", "-o", "json"]).code(0).says("lost its quorum").says("container not found");
    let rows = outcome.json();
    assert_eq!((&rows[0]["healthy"], &rows[1]["healthy"]), (&Value::Null, &json!(false)));
    assert_eq!((&rows[2]["healthy"], &rows[2]["role"]), (&json!(false), &json!("follower")));
    assert_eq!(rows[2]["revision"], truth["header"]["revision"]);
    let outcome =
        rig.run(&["--out", "x.db"]).code(0).says("lost its quorum").says("etcd-cp3  cp3  follower  no leader");
    outcome.leaves_only(&["x.db"]);
    assert_eq!(Etcd::restored(&rig.path("x.db")).count(), 20);
}

#[test]
fn members_that_all_exceed_their_quota_are_taken_only_by_name() {
    // The smallest quota that holds a fresh store, then one value that does not fit.
    let cluster = EtcdCluster::with(1, &["--quota-backend-bytes=262144"]);
    let etcd = &cluster.members[0];
    etcd.exhaust();
    assert!(etcd.ctl(&["alarm", "list"]).contains("NOSPACE"));
    let rig = Rig::members(&cluster, |_| ());
    let row = rig.run(&["members", "-o", "json"]).code(0).json()[0].clone();
    assert_eq!(
        (&row["alarms"], &row["healthy"], &row["quotaBytes"]),
        (&json!(["NOSPACE"]), &json!(false), &json!(262_144))
    );
    rig.run(&["--out", "x.db"])
        .code(1)
        .says("no member of cluster test can be recommended: etcd-cp1 has the alarm NOSPACE")
        .says("--member")
        .leaves_only(&[]);
    rig.run(&["--out", "x.db", "--member", "cp1"])
        .code(0)
        .says("member cp1 has the alarm NOSPACE")
        .leaves_only(&["x.db"]);
}

#[test]
fn an_alarm_on_one_member_counts_against_that_one_alone() {
    let rig = Rig::members(three(), |faults| faults.member("cp2").alarm = Some("CORRUPT"));
    let rows = rig.run(&["members", "-o", "json"]).code(0).json();
    let alarms: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["alarms"]).collect();
    assert_eq!(alarms, [&json!([]), &json!(["CORRUPT"]), &json!([])]);
}

#[test]
fn a_learner_is_shown_and_never_taken_unless_named() {
    let mut cluster = EtcdCluster::start(1);
    cluster.add_learner();
    let member = |index: usize| FakeMember::new(&EtcdCluster::name(index), &cluster.members[index].url);
    // The learner's pod comes first, and a learner lists no members.
    let first = FakeMember::new("a", &cluster.members[1].url);
    let rig = Rig::with_members(vec![first, member(0)], |_| ());
    let rows = rig.run(&["members", "-o", "json"]).code(0).json();
    assert_eq!((&rows[0]["role"], &rows[1]["role"]), (&json!("learner"), &json!("leader")));

    let alone = Rig::with_members(vec![member(1)], |_| ());
    alone.run(&["--out", "x.db"]).code(1).says("can be recommended: etcd-cp2 is a learner").leaves_only(&[]);
    alone
        .run(&["--out", "x.db", "--member", "cp2"])
        .code(0)
        .says("member cp2 is a learner, which may lag behind")
        .leaves_only(&["x.db"]);
}

#[test]
fn a_role_stands_for_a_member() {
    let rig = Rig::members(three(), |_| ());
    let role = |word: &str| {
        let pod =
            rig.run(&["--out", "x.db", "--force", "--member", word, "-o", "json"]).code(0).json()["member"]["pod"]
                .as_str()
                .unwrap()
                .to_owned();
        let rows = rig.run(&["members", "-o", "json"]).code(0).json();
        rows.as_array().unwrap().iter().find(|row| row["pod"] == pod.as_str()).unwrap()["role"].clone()
    };
    assert_eq!((role("leader"), role("follower")), (json!("leader"), json!("follower")));
    let single = Rig::new();
    single.run(&["--out", "x.db", "--member", "follower"]).code(1).says("cannot select a follower");
}

#[test]
fn watching_prints_each_member_that_changed() {
    let cluster = EtcdCluster::start(1);
    let rig = Rig::members(&cluster, |_| ());
    let polled = |count: usize| move |rig: &Rig| rig.cluster.requests("GET", "/exec").len() >= count;
    let running = rig.start(&["members", "--watch", "--interval", "300ms"]).until(polled(2));
    cluster.members[0].ctl(&["put", "/registry/x", "y"]);
    let seen = rig.cluster.requests("GET", "/exec").len();
    let outcome = running.until(polled(seen + 3)).signal("INT").end().code(130);
    let printed = outcome.printed();
    assert_eq!(printed.lines().filter(|line| line.starts_with("POD")).count(), 1, "{printed}");
    let rows: Vec<&str> = printed.lines().skip(1).collect();
    assert!(rows.len() >= 2, "the member, and the member after the write:\n{printed}");
    assert!(rows.windows(2).all(|pair| pair[0] != pair[1]), "a row that says nothing new:\n{printed}");
}

#[test]
fn the_end_of_the_server_certificate_is_seen_without_a_certificate_and_without_exec() {
    let authority = Authority::new("etcd-ca");
    for (expired, date, left) in [(true, "2021-01-01T00:00:00Z", "expired"), (false, "4096-01-01T00:00:00Z", "d")] {
        let etcd = Etcd::secured(&authority, &authority.issue("server", &["localhost", "127.0.0.1"], expired));
        let rig = Rig::in_front_of(&etcd, |faults| {
            faults.forbid.push(("get", "pods/exec"));
        });
        let row = rig.run(&["members", "-o", "json"]).code(0).says("not allowed to get pods/exec").json()[0].clone();
        assert_eq!((&row["certificateExpiry"], &row["role"]), (&json!(date), &Value::Null));
        let table = rig.run(&["members"]).code(0).printed();
        assert!(table.lines().nth(1).unwrap().ends_with(left), "{table}");
    }
}

#[test]
fn an_end_that_cannot_be_seen_is_unknown_with_the_reason() {
    let authority = Authority::new("etcd-ca");
    let etcd = Etcd::secured(&authority, &authority.issue("server", &["localhost", "127.0.0.1"], false));
    let rig = Rig::in_front_of(&etcd, |faults| {
        faults.forbid.push(("get", "pods/portforward"));
    });
    let outcome = rig.run(&["members", "-o", "json"]).code(0);
    assert_eq!(outcome.json()[0]["certificateExpiry"], Value::Null);
    outcome.says("the expiry of the server certificates is unknown: not allowed to get pods/portforward");
}

#[test]
fn with_certificates_etcd_itself_is_asked() {
    let authority = Authority::new("etcd-ca");
    let etcd = Etcd::secured(&authority, &authority.issue("server", &["localhost", "127.0.0.1"], false));
    let rig = Rig::in_front_of(&etcd, |faults| {
        faults.forbid.push(("get", "pods/exec"));
    });
    let (cert, key) = authority.issue("client", &[], false);
    let paths = [authority.ca(), cert, key].map(|path| path.display().to_string());
    let words =
        ["members", "-o", "json", "--etcd-cacert", &paths[0], "--etcd-cert", &paths[1], "--etcd-key", &paths[2]];
    let outcome = rig.run(&words).code(0).says_not("warning:");
    let (row, truth) = (outcome.json()[0].clone(), etcdctl(&etcd));
    assert_eq!((&row["role"], &row["healthy"]), (&json!("leader"), &json!(true)));
    assert_eq!(row["dbSizeBytes"], truth["dbSize"]);
    assert_eq!(row["quotaBytes"], truth["dbSizeQuota"]);
    assert!(rig.cluster.requests("GET", "/exec").is_empty());
}

#[test]
fn an_etcd_that_serves_plain_http_is_asked_itself_where_exec_is_refused() {
    let rig = Rig::members(three(), |faults| faults.forbid.push(("get", "pods/exec")));
    let outcome = rig.run(&["members", "-o", "json"]).code(0).says_not("warning:");
    let rows = outcome.json();
    let healthy: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["healthy"]).collect();
    assert_eq!(healthy, [&json!(true); 3], "{rows}");
}

#[test]
fn a_member_without_a_pod_that_is_down_is_reported() {
    let mut cluster = EtcdCluster::start(3);
    let url = cluster.members[2].url.clone();
    cluster.members[2].stop();
    cluster.settle();
    let member = |index: usize| FakeMember::new(&EtcdCluster::name(index), &cluster.members[index].url);
    let rig = Rig::with_members(vec![member(0), member(1)], |_| ());
    let outcome = rig.run(&["members", "-o", "name"]).code(0);
    assert_eq!(outcome.printed(), "pod/etcd-cp1\npod/etcd-cp2\n");
    outcome.says(&format!("etcd lists a member at {url} that does not answer and has no pod"));
}
