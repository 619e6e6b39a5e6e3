//! A user in front of a terminal: the prompt, the keys, the bar, and the cursor that must be there afterwards.

use rexpect::session::{PtySession, spawn_command};

use crate::support::etcd::Etcd;
use crate::support::fake_cluster::faults::Faults;
use crate::support::{Rig, three};

const DOWN: &str = "\u{1b}[B";
const ESCAPE: &str = "\u{1b}";
/// The prompt's ❯, each byte of which rexpect takes for a character.
const MARK: &str = "\u{e2}\u{9d}\u{af}";
const SHOW_CURSOR: &str = "\u{1b}[?25h";

fn rig(script: impl FnOnce(&mut Faults)) -> Rig {
    Rig::members(three(), script)
}

/// The plugin in a terminal of 30 lines and 160 columns; what it does not print within a minute fails the test.
fn on_terminal(rig: &Rig, words: &str) -> PtySession {
    on_terminal_with(rig, "", words)
}

/// The same, with more settings of the terminal.
fn on_terminal_with(rig: &Rig, settings: &str, words: &str) -> PtySession {
    // The shell outlives Ctrl-C to tell the exit code.
    let script = format!("stty rows 30 cols 160 {settings}; trap : INT; \"$0\" {words}; echo \"exit code $?\"");
    let mut command = rig.command_of("sh");
    command.args(["-c", &script]).arg(Rig::plugin()).env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
    command.stdin(std::process::Stdio::inherit());
    spawn_command(command, Some(60_000)).expect("it starts")
}

/// What the prompt shows.
struct Prompt {
    /// Pods of the rows, from top to bottom.
    rows: Vec<String>,
    /// The row that is preselected.
    active: usize,
    /// The text of all rows but the end of the last.
    text: String,
}

fn prompt(session: &mut PtySession) -> Prompt {
    session.exp_string("Which etcd member should be backed up?").expect("it asks");
    let (mut rows, mut active, mut text) = (Vec::new(), None, String::new());
    for index in 0..3 {
        let (before, pod) = session.exp_regex("etcd-cp[0-9]").expect("a row for each member");
        if before.contains(MARK) {
            assert_eq!(active, None, "two rows are marked");
            active = Some(index);
        }
        text.push_str(&before);
        text.push_str(&pod);
        rows.push(pod);
    }
    let active = active.unwrap_or_else(|| panic!("no row is marked: {text:?}"));
    Prompt { rows, active, text }
}

/// Waits for the end; the exit code and what was printed until then.
fn end(session: &mut PtySession) -> (i32, String) {
    let printed = session.exp_eof().expect("it ends");
    let (printed, code) = printed.rsplit_once("exit code ").expect("the shell tells the code");
    (code.trim().parse().expect("a number"), printed.to_owned())
}

fn pod_that_was_backed_up(printed: &str) -> &str {
    let (_, rest) = printed.split_once("Running etcd backup on pod ").expect(printed);
    rest.split_whitespace().next().expect("a name")
}

#[test]
fn enter_takes_the_recommended_follower() {
    let rig = rig(|_| ());
    let mut session = on_terminal(&rig, "--out x.db");
    let Prompt { rows, active, text } = prompt(&mut session);
    session.send("\r").and_then(|_| session.flush()).unwrap();
    let (code, printed) = end(&mut session);
    assert_eq!(code, 0, "{printed}");
    assert_eq!(pod_that_was_backed_up(&printed), rows[active]);
    let screen = text + &printed;
    let mut lines = screen.lines().filter(|line| line.contains("recommended"));
    assert!(lines.all(|line| line.contains("follower") && line.contains("healthy")), "{screen}");
    assert!(screen.contains("recommended"), "{screen}");
    assert!(printed.contains("Etcd successfully backed up to x.db"), "{printed}");
    assert!(printed.contains(SHOW_CURSOR), "the cursor stays hidden");
    assert!(rig.path("x.db").exists());
}

#[test]
fn the_arrow_keys_pick_another_member() {
    let rig = rig(|_| ());
    let mut session = on_terminal(&rig, "--out x.db");
    let Prompt { rows, active, .. } = prompt(&mut session);
    session.send(DOWN).and_then(|_| session.send("\r")).and_then(|_| session.flush()).unwrap();
    let (code, printed) = end(&mut session);
    assert_eq!(code, 0, "{printed}");
    assert_eq!(pod_that_was_backed_up(&printed), rows[(active + 1) % rows.len()]);
}

#[test]
fn escape_and_ctrl_c_in_the_prompt_do_nothing_to_the_cluster() {
    for key in [ESCAPE, "\u{3}"] {
        let rig = rig(|_| ());
        let mut session = on_terminal(&rig, "--out x.db");
        prompt(&mut session);
        session.send(key).and_then(|_| session.flush()).unwrap();
        let (code, printed) = end(&mut session);
        assert_eq!(code, 130, "{printed}");
        assert!(printed.contains("nothing was done"), "{printed}");
        assert!(printed.contains(SHOW_CURSOR), "the cursor stays hidden");
        assert!(rig.cluster.requests("POST", "/jobs").is_empty());
        assert!(!rig.path("x.db").exists());
    }
}

#[test]
fn ctrl_c_while_copying_leaves_nothing() {
    let rig = rig(|faults| faults.throttle = Some(100_000));
    let mut session = on_terminal(&rig, "--out x.db --member cp1");
    session.exp_string("Copying data from etcd to the local system").expect("it copies");
    while rig.cluster.shared.state().served == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    session.send_control('c').unwrap();
    let (code, printed) = end(&mut session);
    assert_eq!(code, 130, "{printed}");
    assert!(printed.contains("Removing the job from the cluster"), "{printed}");
    assert!(printed.contains(SHOW_CURSOR), "the cursor stays hidden");
    assert_eq!(rig.cluster.left(), (0, 0, 0));
    let left: Vec<_> = std::fs::read_dir(rig.directory.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["config"]);
}

#[test]
fn a_bar_shows_how_far_the_copy_is() {
    let rig = rig(|faults| faults.throttle = Some(300_000));
    let mut session = on_terminal(&rig, "--out x.db --member cp1");
    session.exp_regex(r"\[#+> *\] [0-9.]+ [KM]iB/[0-9.]+ [KM]iB  [0-9.]+ [KM]iB/s").expect("bar, bytes and rate");
    assert_eq!(end(&mut session).0, 0);
}

#[test]
fn a_single_member_is_taken_without_a_question() {
    let rig = Rig::new();
    let mut session = on_terminal(&rig, "--out x.db");
    let (code, printed) = end(&mut session);
    assert_eq!(code, 0, "{printed}");
    assert!(!printed.contains("Which etcd member"), "{printed}");
}

#[test]
fn another_member_is_offered_when_the_chosen_one_cannot_begin() {
    let rig = rig(|faults| faults.member("cp1").node_condition = Some(("DiskPressure", "True")));
    for (keys, code) in [("\r", 0), ("\u{1b}[B\u{1b}[B\r", 1)] {
        let mut session = on_terminal(&rig, "--out x.db --force --member cp1");
        session.exp_string("node cp1 is under disk pressure").expect("it fails");
        session.exp_string("Which etcd member instead?").expect("it asks");
        session.exp_string("none, exit now").expect("and takes a no");
        session.send(keys).and_then(|_| session.flush()).unwrap();
        let (ended, printed) = end(&mut session);
        assert_eq!(ended, code, "{printed}");
        assert!(printed.contains(SHOW_CURSOR), "the cursor stays hidden");
    }
}

#[test]
fn the_password_of_an_etcd_user_is_asked_for_once_and_does_not_show() {
    let etcd = Etcd::start();
    etcd.fill(20, 100);
    let etcd = etcd.with_user("secret-of-root");
    let rig = Rig::in_front_of(&etcd, |_| ());
    let mut session = on_terminal_with(&rig, "echo", "--out x.db --transport direct --etcd-user root");
    session.exp_string("Password of etcd user root:").expect("it asks");
    // The question comes a moment before what is typed no longer shows.
    std::thread::sleep(std::time::Duration::from_millis(300));
    session.send_line("secret-of-root").unwrap();
    let (code, printed) = end(&mut session);
    assert_eq!(code, 0, "{printed}");
    assert!(!printed.contains("secret-of-root") && !printed.contains("Password of"), "{printed}");
    // For the members' state, the copy and the comparison.
    assert!(printed.contains("members: 1 of 1 agree"), "{printed}");

    let mut session = on_terminal_with(&rig, "echo", "--out y.db --transport direct --etcd-user root; stty -a");
    session.exp_string("Password of etcd user root:").expect("it asks");
    std::thread::sleep(std::time::Duration::from_millis(300));
    session.send_control('c').unwrap();
    let printed = end(&mut session).1;
    assert!(printed.contains(" echo "), "what is typed shows again: {printed}");
}

#[test]
fn cleanup_of_local_files_asks_and_enter_means_no() {
    let rig = Rig::new();
    let name = ".x.db.AbC123.part";
    let path = rig.path(name);
    std::fs::write(&path, "x").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    for (answer, code, is_kept) in [("\r", 0, true), ("n", 0, true), (ESCAPE, 130, true), ("y", 0, false)] {
        let mut session = on_terminal(&rig, "cleanup --local .");
        session.exp_string("Delete 1 file?").expect("it asks");
        session.send(answer).expect("it reads");
        session.flush().expect("it reads");
        let (ended, printed) = end(&mut session);
        assert_eq!((ended, path.exists()), (code, is_kept), "{answer:?}: {printed}");
    }
}
