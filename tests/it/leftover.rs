//! Temporary files that killed runs leave on this machine: named by the next run, and deleted by `cleanup --local`.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::support::Rig;

/// Kills a run while it copies, and returns the name of its temporary file.
fn kill_a_run(rig: &Rig) -> String {
    let holds_bytes = |rig: &Rig| {
        temporary_files(rig).iter().any(|name| rig.path(name).metadata().is_ok_and(|found| found.len() > 0))
    };
    rig.start(&["--out", "x.db"]).until(holds_bytes).signal("KILL").end();
    temporary_files(rig).pop().expect("it left its file")
}

fn temporary_files(rig: &Rig) -> Vec<String> {
    let names = std::fs::read_dir(rig.directory.path()).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".part")).collect()
}

/// Makes a file unchanged for so many hours.
fn set_age(rig: &Rig, name: &str, hours: u64) {
    let file = File::options().write(true).open(rig.path(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
}

fn slow_rig() -> Rig {
    Rig::with(|faults| faults.throttle = Some(500_000))
}

#[test]
fn the_file_of_a_killed_run_is_named_by_the_next_run() {
    let rig = slow_rig();
    let name = kill_a_run(&rig);
    rig.cluster.shared.state().faults.throttle = None;
    let hint = "'kubectl etcd-backup cleanup --local .' deletes it when it is 24 hours old";
    let outcome = rig.run(&["--out", "x.db", "-o", "json"]).code(0).says(&name).says(hint);
    assert!(outcome.json()["warnings"][0].as_str().unwrap().contains(&name), "{}", outcome.printed());
    set_age(&rig, &name, 25);
    rig.run(&["--out", "y.db"]).code(0).says(&name).says("delete it with 'kubectl etcd-backup cleanup --local .'");
    // The directory counts, not the name of the file.
    std::fs::create_dir(rig.path("out")).unwrap();
    rig.run(&["--out", "out/y.db"]).code(0).says_not("was killed");
}

#[test]
fn the_file_of_a_run_that_still_copies_is_neither_named_nor_deleted() {
    let rig = slow_rig();
    let running = rig.start(&["--out", "x.db"]).copying();
    let name = temporary_files(&rig).pop().unwrap();
    set_age(&rig, &name, 48);
    rig.run(&["cleanup", "--local", ".", "--yes"]).code(0).says("No temporary files of killed runs found in .");
    rig.run(&["--out", "y.db", "--dry-run=client"]).says_not("was killed");
    assert_eq!(temporary_files(&rig), [name]);
    running.signal("INT").end().code(130).leaves_only(&[]);
}

#[test]
fn cleanup_deletes_old_files_of_killed_runs_without_a_cluster() {
    let rig = slow_rig();
    let name = kill_a_run(&rig);
    std::fs::write(rig.path(".notes.AbC123.part"), "of another program").unwrap();
    std::fs::write(rig.path("config"), "no kubeconfig").unwrap();
    let recent = rig.run(&["cleanup", "--local", ".", "--yes"]).code(0);
    assert!(recent.stderr.contains(&format!("{name} (")) && recent.stderr.contains("is kept"), "{}", recent.stderr);
    set_age(&rig, &name, 25);
    set_age(&rig, ".notes.AbC123.part", 25);
    let unconfirmed = rig.run(&["cleanup", "--local", "."]).code(2).says(&name).says("was left by a killed run");
    unconfirmed.says("cannot delete 1 file without confirmation").says("--yes");
    assert_eq!(temporary_files(&rig).len(), 2);
    let outcome = rig.run(&["cleanup", "--local", ".", "--yes"]).code(0);
    assert_eq!(outcome.printed(), format!("./{name} deleted\n"));
    // Its mode is 0644, so no run of the plugin wrote it.
    assert_eq!(temporary_files(&rig), [".notes.AbC123.part"]);
    rig.run(&["cleanup", "--local", ".", "--yes"]).code(0).says("No temporary files of killed runs found in .");
}

#[test]
fn cleanup_of_a_directory_that_cannot_be_read_and_flags_that_exclude_each_other() {
    let rig = Rig::new();
    rig.run(&["cleanup", "--local", "missing"]).code(1).says("cannot read directory missing: ");
    rig.run(&["cleanup", "--local", ".", "--all"]).code(2).says("cannot be used with");
    rig.run(&["cleanup", "--yes"]).code(2).says("--local");
}
