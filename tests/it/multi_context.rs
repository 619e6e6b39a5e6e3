//! Several clusters in one run: each is backed up on its own, the worst decides, and nothing is left on any of them.

use serde_json::{Value, json};

use crate::support::etcd::Etcd;
use crate::support::fake_cluster::TOKEN;
use crate::support::fake_cluster::faults::Faults;
use crate::support::fake_cluster::members::FakeMember;
use crate::support::{KEYS, Rig, one_odd};

/// A rig whose kubeconfig has the contexts a and b of its own cluster, one without a server, and one whose
/// credentials are refused; and a directory `out`.
fn rig(script: impl FnOnce(&mut Faults)) -> Rig {
    let rig = Rig::with(script);
    let context =
        |name: &str, cluster: &str, user: &str| json!({"name": name, "context": {"cluster": cluster, "user": user}});
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [context("a", "good", "good"), context("b", "good", "good"), context("gone", "gone", "good"), context("refused", "good", "bad"), context("asks", "good", "asks")],
        "clusters": [
            {"name": "good", "cluster": {"server": rig.cluster.url()}},
            {"name": "gone", "cluster": {"server": "http://127.0.0.1:1"}},
        ],
        "users": [
            {"name": "good", "user": {"token": TOKEN}},
            {"name": "bad", "user": {"token": "no"}},
            {"name": "asks", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "read -r answer && echo $answer"], "interactiveMode": "Always"}}},
        ],
    });
    std::fs::write(rig.path("config"), config.to_string()).unwrap();
    std::fs::create_dir(rig.path("out")).unwrap();
    rig
}

fn files(rig: &Rig) -> Vec<String> {
    let entries = std::fs::read_dir(rig.path("out")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn each_cluster_has_its_file_and_its_row() {
    let rig = rig(|_| ());
    let outcome = rig.run(&["--context", "a,b", "--out-dir", "out"]).code(0).says("a: backed up").says("b: backed up");
    let printed = outcome.printed();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("CONTEXT   MEMBER"), "{printed}");
    assert!(lines[1].starts_with("a ") && lines[1].ends_with(" ok"), "{printed}");
    assert!(lines[2].starts_with("b ") && lines[2].ends_with(" ok"), "{printed}");
    outcome.leaves_only(&["out"]);
    let names = files(&rig);
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("etcd-a-cp1-") && names[1].starts_with("etcd-b-cp1-"), "{names:?}");
    assert_eq!(Etcd::restored(&rig.path("out").join(&names[1])).count(), KEYS);
}

#[test]
fn one_broken_context_does_not_stop_the_others() {
    let rig = rig(|_| ());
    let outcome = rig
        .run(&["--all-contexts", "--out-dir", "out", "-o", "json"])
        .code(3)
        .says("gone: failed: cannot reach the API server http://127.0.0.1:1")
        .says("error: refused: the API server")
        .says("it asks questions, and several backups run at once")
        .says("error: the backup failed for 3 of 5 clusters");
    let documents = outcome.json();
    let codes: Vec<&Value> = documents.as_array().unwrap().iter().map(|document| &document["exitCode"]).collect();
    assert_eq!(codes, [&Value::Null, &Value::Null, &json!(1), &json!(3), &json!(1)]);
    assert_eq!(documents[0]["cluster"]["context"], "a");
    assert_eq!(documents[0]["verified"]["checksum"], "verified");
    assert!(documents[2]["error"].as_str().unwrap().contains("cannot reach"));
    assert_eq!(documents[2]["cluster"]["context"], "gone");
    outcome.leaves_only(&["out"]);
    assert_eq!(files(&rig).len(), 2);
}

#[test]
fn the_worst_decides() {
    let bad = rig(|faults| faults.flip_at = Some(2_000_000));
    bad.run(&["--context", "a,gone,refused", "--out-dir", "out"]).code(4).says("a: failed: ").leaves_only(&["out"]);
    assert!(!files(&bad).iter().any(|name| name.ends_with(".db")), "{:?}", files(&bad));
    let empty = rig(|faults| faults.no_etcd_pods = true);
    empty.run(&["--context", "a,b", "--out-dir", "out"]).code(5);
    empty.run(&["--context", "a,gone", "--out-dir", "out"]).code(1);
}

#[test]
fn a_signal_cleans_up_everywhere() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let rig = rig(|faults| faults.throttle = Some(500_000));
        let running = rig.start(&["--context", "a,b", "--out-dir", "out"]);
        let both = running.until(|rig| rig.cluster.left().0 == 2).copying();
        let outcome = both.signal(signal).end().code(code).says("Removing what was created");
        let printed = outcome.printed();
        assert_eq!(printed.lines().filter(|line| line.ends_with("interrupted")).count(), 2, "{printed}");
        outcome.leaves_only(&["out"]);
        assert_eq!(files(&rig), [""; 0]);
    }
}

#[test]
fn no_more_at_a_time_than_asked_for() {
    let rig = rig(|faults| faults.save_rate = Some(6 << 20));
    rig.run(&["--context", "a,b", "--out-dir", "out", "--parallel", "1"]).code(0);
    let state = rig.cluster.shared.state();
    let jobs: Vec<&str> = state
        .requests
        .iter()
        .filter(|request| request.target.contains("/jobs") && ["POST", "DELETE"].contains(&request.method.as_str()))
        .map(|request| request.method.as_str())
        .collect();
    let second = jobs.iter().rposition(|method| *method == "POST").unwrap();
    assert!(jobs[..second].contains(&"DELETE"), "the second job came before the first was gone: {jobs:?}");
}

#[test]
fn flags_that_cannot_be_used_with_several_contexts() {
    let rig = rig(|_| ());
    rig.run(&["--context", "a,nope", "--out-dir", "out"]).code(2).says("context \"nope\" does not exist");
    rig.run(&["--context", "a,b"]).code(2).says("there is no directory for the files").says("--out-dir");
    rig.run(&["--context", "a,b", "--out-dir", "missing"]).code(1).says("mkdir -p missing");
    rig.run(&["--context", "a,b", "--out-dir", "out", "--server", "http://x"]).code(2).says("--server and --cluster");
    rig.run(&["--context", "a,b", "--out-dir", "out", "--dry-run=client"])
        .code(2)
        .says("--dry-run=client cannot be used with several contexts");
    rig.run(&["--all-contexts"]).code(2).says("--out-dir");
    rig.run(&["--all-contexts", "--context", "a", "--out-dir", "out"]).code(2).says("cannot be used with --context");
    rig.run(&["--out-dir", "out", "--out", "x.db"]).code(2);
    assert_eq!(files(&rig), [""; 0]);
}

#[test]
fn one_cluster_can_have_a_directory_too() {
    let rig = rig(|_| ());
    rig.run(&["--context", "b", "--out-dir", "out"]).code(0).leaves_only(&["out"]);
    assert!(files(&rig)[0].starts_with("etcd-b-cp1-"), "{:?}", files(&rig));
}

#[test]
fn contexts_that_would_share_a_file_are_refused() {
    let rig = rig(|_| ());
    let config = std::fs::read_to_string(rig.path("config")).unwrap();
    let config = config.replace("\"name\":\"a\"", "\"name\":\"a/b\"").replace("\"name\":\"b\"", "\"name\":\"a:b\"");
    std::fs::write(rig.path("config"), config).unwrap();
    rig.run(&["--context", "a/b,a:b", "--out-dir", "out"])
        .code(2)
        .says("two contexts have the same default name")
        .leaves_only(&["out"]);
    assert!(rig.cluster.shared.state().requests.is_empty());
}

/// Two clusters whose contexts and members have names that make the same file name: `prod` with member `eu-cp1`, and
/// `prod-eu` with member `cp1`. Each has data of its own.
fn clusters_with_one_file_name() -> (Rig, Rig) {
    let etcds = one_odd();
    let prod = Rig::with_members(vec![FakeMember::new("eu-cp1", &etcds[0].url)], |_| ());
    let prod_eu = Rig::with_members(vec![FakeMember::new("cp1", &etcds[2].url)], |_| ());
    let context = |name: &str| json!({"name": name, "context": {"cluster": name, "user": "tester"}});
    let config = json!({
        "apiVersion": "v1", "kind": "Config",
        "contexts": [context("prod"), context("prod-eu")],
        "clusters": [
            {"name": "prod", "cluster": {"server": prod.cluster.url()}},
            {"name": "prod-eu", "cluster": {"server": prod_eu.cluster.url()}},
        ],
        "users": [{"name": "tester", "user": {"token": TOKEN}}],
    });
    std::fs::write(prod.path("config"), config.to_string()).unwrap();
    std::fs::create_dir(prod.path("out")).unwrap();
    (prod, prod_eu)
}

#[test]
fn two_contexts_that_make_the_same_file_name_get_two_files() {
    let (prod, _prod_eu) = clusters_with_one_file_name();
    let mut same_second = false;
    // Both begin in the same second in nearly every run, but not in each.
    for _ in 0..20 {
        let words = ["--context", "prod,prod-eu", "--out-dir", "out", "--force", "-o", "json"];
        let documents = prod.run(&words).code(0).json();
        let names = files(&prod);
        assert_eq!(names.len(), 2, "a backup is lost: {names:?}\n{documents:#}");
        for document in documents.as_array().unwrap() {
            let file = prod.path(document["file"].as_str().unwrap());
            assert_eq!(sha256(&std::fs::read(&file).unwrap()), document["sha256"], "{file:?} is another backup");
            std::fs::remove_file(file).unwrap();
        }
        same_second = documents[0]["startedAt"] == documents[1]["startedAt"];
        if same_second {
            assert!(names.iter().any(|name| name.ends_with("Z-2.db")), "{names:?}");
            break;
        }
    }
    assert!(same_second, "the two backups never began in the same second");
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
