//! Errors before a cluster answers: the command line, the kubeconfig, the destination.
//!
//! There is no API server here, so each error comes without a request, or reports that the API server does not answer.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Nothing listens on port 1.
const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: here, user: plain}}
- {name: plugin, context: {cluster: here, user: plugin}}
clusters:
- {name: here, cluster: {server: "https://127.0.0.1:1"}}
users:
- {name: plain, user: {token: not-a-real-token}}
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: sh
      args: ["-c", "echo SECRET-IN-OUTPUT; exit 3"]
      interactiveMode: Never
"#;

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run_in(directory: &Path, kubeconfig: &str, words: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup"));
    command.args(words).current_dir(directory).env_clear().env("HOME", directory).env("KUBECONFIG", kubeconfig);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn scene() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config");
    std::fs::write(&file, KUBECONFIG).expect("it can be written");
    (directory, file.display().to_string())
}

/// Runs the words in a fresh directory; checks the code, that the error has `text`, and that no file was left.
fn fails(words: &[&str], code: i32, text: &str) -> Outcome {
    let (directory, kubeconfig) = scene();
    let outcome = run_in(directory.path(), &kubeconfig, words);
    assert_eq!(outcome.code, Some(code), "{words:?}\n{}", outcome.stderr);
    assert!(outcome.stderr.contains(text), "{text:?} is missing in\n{}", outcome.stderr);
    assert_eq!(outcome.stdout, "", "{words:?}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["config"], "{words:?} left files");
    outcome
}

#[test]
fn names_that_the_kubeconfig_does_not_have() {
    fails(&["--context", "nope"], 2, "context \"nope\" does not exist");
    fails(&["--context", "nope"], 2, "the kubeconfig has: here, plugin");
    fails(&["--cluster", "nope"], 2, "cluster \"nope\" does not exist");
    fails(&["--user", "nope"], 2, "user \"nope\" does not exist");
}

#[test]
fn flags_that_are_wrong_or_exclude_each_other() {
    fails(&["--nonsense"], 2, "unexpected argument '--nonsense'");
    fails(&["-o", "snap.db"], 2, "name the file with --out snap.db");
    fails(&["--out", "-", "-o", "json"], 2, "--out - cannot be used with -o: both write to standard output");
    fails(&["--as-group", "admins"], 2, "--as-group and --as-uid need --as");
    fails(&["--out", "x.db", "cleanup"], 2, "--out cannot be used with 'cleanup'");
    fails(&["--pod-cert", "/a"], 2, "--pod-key");
    fails(&["--deadline", "soon"], 2, "expected a duration");
    fails(&["--deadline", "18446744073709551615"], 2, "must be at most 30 days");
    fails(&["--job-ttl", "500ms"], 2, "must be at least 1s");
}

#[test]
fn an_api_server_that_does_not_answer() {
    let outcome = fails(&["--out", "x.db"], 1, "cannot reach the API server https://127.0.0.1:1");
    assert!(outcome.stderr.contains("hint: check the network"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("not-a-real-token"));
}

#[test]
fn a_credential_plugin_that_fails_is_reported_without_its_output() {
    let outcome = fails(
        &["--context", "plugin", "--out", "x.db"],
        1,
        "the credential plugin of the kubeconfig failed (exit status: 3)",
    );
    assert!(!outcome.stderr.contains("SECRET-IN-OUTPUT"), "{}", outcome.stderr);
}

#[test]
fn a_credential_plugin_that_fails_when_the_token_is_renewed_is_reported_without_its_output() {
    let (directory, kubeconfig) = scene();
    // Its first token has expired already, so each request asks for another one.
    let plugin = r#"[ -e called ] && { echo SECRET-IN-OUTPUT; exit 3; }; : > called; echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "SECRET-TOKEN", "expirationTimestamp": "2020-01-01T00:00:00Z"}}'"#;
    std::fs::write(directory.path().join("plugin.sh"), plugin).unwrap();
    let config = KUBECONFIG.replace(r#"["-c", "echo SECRET-IN-OUTPUT; exit 3"]"#, r#"["plugin.sh"]"#);
    std::fs::write(&kubeconfig, config).unwrap();
    let outcome = run_in(directory.path(), &kubeconfig, &["--context", "plugin", "--out", "x.db", "-v=6"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(directory.path().join("called").exists(), "the plugin gave a token first");
    assert!(
        outcome.stderr.contains("the credential plugin of the kubeconfig failed (exit status: 3)"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("SECRET-"), "{}", outcome.stderr);
}

#[test]
fn a_kubeconfig_that_is_missing_or_not_valid() {
    fails(&["--kubeconfig", "missing"], 1, "cannot read the kubeconfig missing");
    let (directory, kubeconfig) = scene();
    std::fs::write(&kubeconfig, "token: hidden-in-the-file\n- [").unwrap();
    let outcome = run_in(directory.path(), &kubeconfig, &[]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("is not valid"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("hidden-in-the-file"));
}

#[test]
fn a_missing_file_in_the_list_is_skipped_as_kubectl_does() {
    let (directory, kubeconfig) = scene();
    let list = format!("{}/nothing:{kubeconfig}", directory.path().display());
    let outcome = run_in(directory.path(), &list, &["--context", "nope"]);
    assert!(outcome.stderr.contains("the kubeconfig has: here, plugin"), "{}", outcome.stderr);
}

#[test]
fn no_configuration_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = run_in(directory.path(), "", &[]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("no cluster is configured"), "{}", outcome.stderr);
}

#[test]
fn destinations_that_cannot_be_written() {
    fails(&["--out", "missing/x.db"], 1, "cannot write to directory missing: it does not exist");
    fails(&["--out", "."], 1, "cannot write .: it is a directory");
    fails(&["--out", "config"], 1, "cannot write config: it already exists");
    fails(&["--out", "/dev/null", "--force"], 1, "cannot write /dev/null: it is not a plain file");
}
