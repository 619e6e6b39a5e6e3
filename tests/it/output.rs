//! The whole output of typical runs, with the exit code, as snapshots in tests/it/snapshots.
//!
//! `INSTA_UPDATE=always cargo test --test it output` accepts the present output. Review the difference: a lost hint, exit
//! code or escape is a defect. Filters replace only values that differ from run to run.

use std::path::Path;

use serde_json::json;

use crate::support::fake_cluster::TOKEN;
use crate::support::{Outcome, Rig, one_odd, three};
use crate::verification::overwrite_the_root;

/// Values that differ from run to run, each with its replacement.
const FILTERS: [(&str, &str); 14] = [
    (r"127\.0\.0\.1:[0-9]+", "127.0.0.1:PORT"),
    (r"etcd-backup-[a-z0-9]{8}\b", "etcd-backup-RANDOM"),
    (r"[0-9]{8}T[0-9]{6}Z", "TIME"),
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", "TIME"),
    (r"\b[0-9.]+ ?([kKMGTP]i?B|B)\b", "SIZE"),
    (r"(SIZE), [0-9]+ s\)", "$1, SECONDS s)"),
    (r"revision [0-9]+", "revision REVISION"),
    (r"hash [0-9]+", "hash HASH"),
    (r"\b3\.[0-9]+\.[0-9]+(  |   |$)", "VERSION$1"),
    (r"\b[0-9a-f]{64}\b", "SHA256"),
    (r"\b[0-9a-f]{12,16}\b", "ID"),
    (r"\b(page|byte) [0-9]+", "$1 NUMBER"),
    // Linux and macOS have different numbers.
    (r"os error [0-9]+", "os error NUMBER"),
    // The width of a column depends on the values.
    (r"(\S) {3,}", "$1   "),
];

/// Shows control characters, and marks the end of a stream that has none.
fn visible(stream: &str) -> String {
    let mut shown = String::new();
    for character in stream.chars() {
        match character {
            '\n' => shown.push('\n'),
            character if character.is_control() => shown.extend(character.escape_unicode()),
            character => shown.push(character),
        }
    }
    if !shown.is_empty() && !shown.ends_with('\n') {
        shown.push_str("(no newline at the end)\n");
    }
    shown
}

/// Compares the exit code and both streams with the snapshot called `name`.
fn check_with(name: &str, words: &[&str], outcome: &Outcome<'_>, filters: &[(&str, &str)]) {
    let code = outcome.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    let (stdout, stderr) = (visible(&outcome.printed()), visible(&outcome.stderr));
    let text = format!(
        "$ kubectl etcd-backup {}\n--- exit code {code}\n--- stdout\n{stdout}--- stderr\n{stderr}",
        words.join(" ")
    );
    let mut settings = insta::Settings::new();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("snapshots");
    filters.iter().for_each(|(pattern, replacement)| settings.add_filter(pattern, *replacement));
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Runs the plugin and compares its output with the snapshot called `name`.
fn check<'r>(name: &str, rig: &'r Rig, words: &[&str]) -> Outcome<'r> {
    let outcome = rig.run(words);
    check_with(name, words, &outcome, &FILTERS);
    outcome
}

#[test]
fn a_backup_of_one_member() {
    let rig = Rig::new();
    check("backup", &rig, &["--out", "x.db"]).leaves_only(&["x.db"]);
    check("backup_exists", &rig, &["--out", "x.db"]);
    check("backup_quiet", &rig, &["--out", "x.db", "--force", "-q"]);
}

#[test]
fn a_backup_of_the_recommended_of_three_members() {
    let rig = Rig::members(three(), |_| ());
    let words = ["--out", "x.db"];
    let outcome = rig.run(&words);
    // etcd decides which member leads, and so which one is recommended.
    let filters: Vec<_> = FILTERS.into_iter().chain([(r"\bcp[123]\b", "cpN")]).collect();
    check_with("backup_three_members", &words, &outcome, &filters);
    outcome.leaves_only(&["x.db"]);
}

#[test]
fn a_backup_with_a_checksum_that_does_not_match() {
    let rig = Rig::with(|faults| faults.flip_at = Some(5000));
    check("backup_bad_checksum", &rig, &["--out", "x.db"]).leaves_only(&[]);
}

#[test]
fn a_backup_of_a_damaged_database() {
    let rig = Rig::with(|faults| faults.damage = Some(overwrite_the_root));
    check("backup_damaged", &rig, &["--out", "x.db"]).leaves_only(&["x.db.unverified"]);
}

#[test]
fn a_backup_while_a_member_differs() {
    let rig = Rig::singles(one_odd(), |_| ());
    check("backup_member_differs", &rig, &["--out", "x.db", "--member", "cp1"]).leaves_only(&["x.db"]);
    check("backup_file_differs", &rig, &["--out", "y.db", "--member", "cp3"]).leaves_only(&["x.db", "y.db.unverified"]);
}

#[test]
fn a_backup_without_a_permission() {
    let rig = Rig::with(|faults| faults.forbid.push(("get", "nodes/proxy")));
    check("backup_forbidden", &rig, &["--out", "x.db", "--transport", "node"]);
    check("backup_no_transport", &rig, &["--out", "x.db"]).leaves_only(&[]);
}

#[test]
fn a_backup_of_what_does_not_exist() {
    let rig = Rig::new();
    check("backup_unknown_member", &rig, &["--out", "x.db", "--member", "cp9"]);
    check("backup_unknown_context", &rig, &["--out", "x.db", "--context", "nope"]);
    check("backup_unknown_flag", &rig, &["--out", "x.db", "--outdir", "y"]).leaves_only(&[]);
    let empty = Rig::with(|faults| faults.no_etcd_pods = true);
    check("backup_no_etcd_pods", &empty, &["--out", "x.db"]).leaves_only(&[]);
}

#[test]
fn a_backup_whose_pod_fails_with_a_hostile_message() {
    let hostile = "\u{1b}[2Jall is well\nverified \u{202e}evil";
    let rig = Rig::with(|faults| faults.waiting = Some(("ContainerCreating", hostile)));
    let words = ["--out", "x.db", "--pod-running-timeout", "1s"];
    check("backup_hostile_message", &rig, &words).leaves_only(&[]);
}

#[test]
fn an_error_with_colours() {
    let rig = Rig::with(|faults| faults.unauthorized = true);
    let words = ["--out", "x.db"];
    let outcome = rig.run_with(("CLICOLOR_FORCE", "1"), &words);
    check_with("backup_colours", &words, &outcome, &FILTERS);
}

#[test]
fn a_document_of_a_backup() {
    let rig = Rig::new();
    let numbers = [
        (r#""(sizeBytes|hash|revision)": [0-9]+"#, r#""$1": NUMBER"#),
        (r#""durationSeconds": [0-9.]+"#, r#""durationSeconds": NUMBER"#),
        (r#""etcdVersion": "3\.[0-9]+\.[0-9]+""#, r#""etcdVersion": "VERSION""#),
        (r#"/var/log/pods/[^"]+"#, "/var/log/pods/DIRECTORY"),
    ];
    let filters: Vec<_> = numbers.into_iter().chain(FILTERS).collect();
    let words = ["--out", "x.db", "-o", "json"];
    let outcome = rig.run(&words);
    check_with("backup_json", &words, &outcome, &filters);
}

#[test]
fn a_dry_run() {
    let rig = Rig::new();
    check("dry_run", &rig, &["--dry-run=client", "--out", "x.db"]);
    let rig = Rig::with(|faults| {
        faults.forbid.extend([("get", "nodes/proxy"), ("patch", "jobs")]);
        faults.not_ready = true;
    });
    check("dry_run_failed", &rig, &["--dry-run=client", "--out", "missing/x.db"]).leaves_only(&[]);
}

#[test]
fn backups_of_several_clusters() {
    let rig = Rig::new();
    let context = |name: &str| json!({"name": name, "context": {"cluster": name, "user": "tester"}});
    let config = json!({
        "apiVersion": "v1", "kind": "Config",
        "contexts": [context("prod"), context("gone")],
        "clusters": [
            {"name": "prod", "cluster": {"server": rig.cluster.url()}},
            {"name": "gone", "cluster": {"server": "http://127.0.0.1:1"}},
        ],
        "users": [{"name": "tester", "user": {"token": TOKEN}}],
    });
    std::fs::write(rig.path("config"), config.to_string()).unwrap();
    std::fs::create_dir(rig.path("out")).unwrap();
    let words = ["--context", "prod,gone", "--out-dir", "out", "--parallel", "1"];
    let outcome = rig.run(&words);
    let filters: Vec<_> = [(r"(SIZE   )[0-9]+   [0-9]+s", "${1}REVISION   SECONDS")].into_iter().collect();
    let filters: Vec<_> = FILTERS.into_iter().chain(filters).collect();
    check_with("backup_several_clusters", &words, &outcome, &filters);
    outcome.leaves_only(&["out"]);
    check("backup_several_clusters_without_directory", &rig, &["--context", "prod,gone"]);
}

#[test]
fn a_table_of_members() {
    let rig = Rig::members(three(), |faults| faults.member("cp2").alarm = Some("NOSPACE"));
    let words = ["members"];
    let outcome = rig.run(&words);
    let roles = [
        (r"\b(leader|follower)\b", "ROLE"),
        // Revision and lag.
        (r"(SIZE   )[0-9]+   [0-9]+   ", "${1}REVISION   LAG   "),
    ];
    let filters: Vec<_> = FILTERS.into_iter().chain(roles).collect();
    check_with("members", &words, &outcome, &filters);
    let forbidden = Rig::with(|faults| {
        faults.forbid.extend([("get", "pods/exec"), ("get", "pods/portforward")]);
    });
    check("members_forbidden", &forbidden, &["members"]);
}

#[test]
fn the_jobs_of_a_killed_run() {
    let rig = Rig::with(|faults| faults.throttle = Some(500_000));
    rig.start(&["--out", "x.db"]).copying().signal("KILL").end();
    check("cleanup", &rig, &["cleanup", "--all"]);
    check("cleanup_nothing", &rig, &["cleanup"]);
}

/// The files are those of tests/data, so the whole output is the same in every run.
#[test]
fn good_and_bad_files() {
    let rig = Rig::new();
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/etcd-3.5.db");
    let bytes = std::fs::read(good).unwrap();
    let mut flipped = bytes.clone();
    flipped[20_000] ^= 1;
    std::fs::write(rig.path("good.db"), &bytes).unwrap();
    std::fs::write(rig.path("cut.db"), &bytes[..20_480]).unwrap();
    std::fs::write(rig.path("flipped.db"), flipped).unwrap();
    std::fs::write(rig.path("page.html"), "<!DOCTYPE html><html>").unwrap();
    let verify = |name: &str, words: &[&str]| {
        let outcome = rig.run(words);
        check_with(name, words, &outcome, &[]);
    };
    verify("verify_good", &["verify", "good.db"]);
    verify("verify_good_and_bad", &["verify", "good.db", "cut.db", "flipped.db", "page.html", "missing.db"]);
    verify("verify_json", &["verify", "good.db", "-o", "json"]);
    verify("verify_bad_json", &["verify", "good.db", "cut.db", "-o", "json"]);
    let document = json!({"sizeBytes": bytes.len(), "sha256": "0".repeat(64), "hash": 1});
    std::fs::write(rig.path("backup.json"), document.to_string()).unwrap();
    verify("verify_document", &["verify", "good.db", "--document", "backup.json"]);
}
