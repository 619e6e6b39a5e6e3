//! Every way out: signals, a closed standard output, a killed client, a cluster that does not delete.

use crate::support::Rig;
use crate::support::fake_cluster::faults::Faults;

fn slow(faults: &mut Faults) {
    faults.throttle = Some(500_000);
}

#[test]
fn signals_while_copying_remove_the_job_and_the_file() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let rig = Rig::with(slow);
        rig.start(&["--out", "x.db"])
            .copying()
            .signal(signal)
            .end()
            .code(code)
            .says("Removing the job")
            .leaves_only(&[]);
    }
}

#[test]
fn a_signal_while_waiting_for_the_pod() {
    let rig = Rig::with(|faults| faults.waiting = Some(("ContainerCreating", "wait")));
    let started = rig.start(&["--out", "x.db"]).until(|rig| rig.cluster.left().1 > 0);
    started.signal("INT").end().code(130).leaves_only(&[]);
}

#[test]
fn a_second_signal_ends_at_once() {
    let rig = Rig::with(|faults| {
        slow(faults);
        faults.delete_status = Some(500);
    });
    let deleting = rig
        .start(&["--out", "x.db"])
        .copying()
        .signal("INT")
        .until(|rig| !rig.cluster.requests("DELETE", "").is_empty());
    let start = std::time::Instant::now();
    deleting.signal("INT").end().code(130);
    assert!(start.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn a_signal_while_the_job_is_being_removed_does_not_forget_it() {
    let rig = Rig::with(|faults| faults.lost_deletes = 1);
    let removing = rig.start(&["--out", "x.db"]).until(|rig| !rig.cluster.requests("DELETE", "").is_empty());
    removing.signal("INT").end().code(130).says("Removing the job").leaves_only(&[]);
}

#[test]
fn standard_output_that_is_closed() {
    let rig = Rig::with(slow);
    let mut running = rig.start(&["--out", "-"]).copying();
    drop(running.child.stdout.take());
    running.end().code(141).leaves_only(&[]);
}

#[test]
fn a_killed_run_leaves_nothing_after_the_ttl() {
    let rig = Rig::with(slow);
    let outcome = rig.start(&["--out", "x.db", "--job-ttl", "1s"]).copying().signal("KILL").end();
    assert_eq!(outcome.code, None);
    let part: Vec<_> = std::fs::read_dir(rig.directory.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(!part.contains(&"x.db".to_owned()));
    let start = std::time::Instant::now();
    while rig.cluster.left() != (0, 0, 0) {
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", rig.cluster.left());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_run_that_is_killed_while_etcdctl_writes_leaves_nothing_when_the_jobs_deadline_is_over() {
    let rig = Rig::with(|faults| faults.save_rate = Some(200_000));
    let started = rig.start(&["--out", "x.db", "--deadline", "3s", "--job-ttl", "1s"]).copying();
    assert_eq!(started.signal("KILL").end().code, None);
    assert!(rig.cluster.left().2 > 0, "etcdctl has ended already");
    let start = std::time::Instant::now();
    while rig.cluster.left() != (0, 0, 0) {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", rig.cluster.left());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn cleanup_finds_what_a_killed_run_left() {
    let rig = Rig::with(slow);
    rig.start(&["--out", "x.db"]).copying().signal("KILL").end();
    std::fs::read_dir(rig.directory.path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name() != "config")
        .for_each(|entry| std::fs::remove_file(entry.path()).unwrap());
    let outcome = rig.run(&["cleanup", "--all"]).code(0).leaves_only(&[]);
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("deleted from kube-system namespace"));
    rig.run(&["cleanup"]).code(0).says("No jobs of earlier runs found");
}

#[test]
fn a_job_that_cannot_be_deleted_is_named() {
    let rig = Rig::with(|faults| faults.delete_status = Some(403));
    let outcome = rig.run(&["--out", "x.db"]).code(0).says("cannot delete job kube-system/etcd-backup-");
    assert!(outcome.stderr.contains("kubectl etcd-backup cleanup"), "{}", outcome.stderr);
}

#[test]
fn an_interruption_before_the_copy_says_that_nothing_was_done() {
    let rig = Rig::with(|faults| faults.not_ready = true);
    let waiting = rig.start(&["--out", "x.db"]).until(|rig| !rig.cluster.requests("GET", "/pods/etcd-cp1").is_empty());
    waiting.signal("INT").end().code(130).says("nothing was done").leaves_only(&[]);
}

#[test]
fn quiet_does_not_hide_what_is_left_behind() {
    let rig = Rig::with(|faults| faults.delete_status = Some(403));
    rig.run(&["--out", "x.db", "-q"]).code(0).says("cannot delete job kube-system/etcd-backup-").says("cleanup --all");
}

#[test]
fn a_second_signal_says_that_something_may_be_left() {
    let rig = Rig::with(|faults| {
        slow(faults);
        faults.delete_status = Some(500);
    });
    let running = rig.start(&["--out", "x.db", "-q"]).copying().signal("INT");
    let deleting = running.until(|rig| !rig.cluster.requests("DELETE", "").is_empty());
    deleting.signal("INT").end().code(130).says("it may still exist").says("cleanup --all");
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_ignored() {
    let rig = Rig::with(|faults| faults.throttle = Some(2_000_000));
    let script = "trap '' HUP; exec \"$0\" --out x.db";
    let mut command = rig.command_of("sh");
    command.args(["-c", script]).arg(Rig::plugin()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    while rig.cluster.shared.state().served == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let sent = std::process::Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(rig.path("x.db").exists());
}

#[test]
fn a_document_that_is_not_read_does_not_hide_a_bad_file() {
    let rig = Rig::with(|faults| {
        slow(faults);
        faults.flip_at = Some(-1);
    });
    let mut running = rig.start(&["--out", "x.db", "-o", "json"]).copying();
    drop(running.child.stdout.take());
    rig.cluster.shared.state().faults.throttle = None;
    running.end().code(4).says("does not match its contents");
}

#[test]
fn cleanup_leaves_a_job_that_is_within_its_time_and_removes_one_that_is_not() {
    let rig = Rig::with(slow);
    rig.start(&["--out", "x.db"]).copying().signal("KILL").end();
    // The fake cluster's jobs end in January 2026; no controller takes this one away.
    let set_ttl = |seconds: u64| {
        for job in rig.cluster.shared.state().jobs.values_mut() {
            assert!(job["status"]["conditions"].is_array(), "the save has ended");
            job["spec"]["ttlSecondsAfterFinished"] = seconds.into();
        }
    };
    set_ttl(2_000_000_000);
    rig.run(&["cleanup"]).code(0).says(" expires in ").says("use --all to delete it now");
    assert_eq!(rig.cluster.left().0, 1);
    set_ttl(600);
    let outcome = rig.run(&["cleanup"]).code(0);
    assert!(outcome.printed().contains("deleted from kube-system namespace"), "{}", outcome.stderr);
    assert_eq!(rig.cluster.left().0, 0);
}

#[test]
fn cleanup_names_only_the_namespaces_that_it_saw() {
    let rig = Rig::with(|faults| faults.forbid.push(("list", "jobs")));
    rig.run(&["cleanup"]).code(3).says("not allowed to list jobs").says_not("No jobs of earlier runs");
}
