//! The buckets other than `key`, written by a real etcd: authentication, alarms, removed members, a downgrade.

use std::fs::File;
use std::path::{Path, PathBuf};

use etcd_snapshot::{Contents, Options};

use super::verify::{is_good, same_figures, verify};
use crate::support::etcd::{Etcd, EtcdCluster};

/// Returns the contents of a good file.
fn contents(path: &Path) -> Contents {
    let report = etcd_snapshot::check(&File::open(path).unwrap(), &Options::default()).expect("it can be read");
    assert!(report.is_good(), "{:?}", report.problems);
    report.contents.expect("it is sound")
}

/// Saves a snapshot, which must be good and have the figures of etcdutl.
fn saved(etcd: &Etcd, directory: &Path) -> PathBuf {
    let path = directory.join("snap.db");
    etcd.save(&path);
    same_figures(&is_good(directory, "snap.db"), &path);
    path
}

fn has(path: &Path, text: &[u8]) -> bool {
    std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text)
}

#[test]
fn users_and_roles_of_an_etcd_with_authentication_are_counted() {
    let etcd = Etcd::start();
    etcd.fill(50, 100);
    etcd.ctl(&["role", "add", "reader"]);
    etcd.ctl(&["role", "grant-permission", "reader", "read", "/registry/"]);
    etcd.ctl(&["user", "add", "operator", "--new-user-password", "of-the-operator"]);
    etcd.ctl(&["user", "grant-role", "operator", "reader"]);
    let directory = tempfile::tempdir().unwrap();
    let before = contents(&saved(&etcd, directory.path()));
    assert_eq!((before.auth_enabled, before.users), (false, 1));

    // A snapshot needs a password from now on. The member's own database does not.
    let mut etcd = etcd.with_user("of-root");
    etcd.end();
    same_figures(&is_good(Path::new("/"), etcd.database().to_str().unwrap()), &etcd.database());
    let after = contents(&etcd.database());
    assert_eq!((after.auth_enabled, after.users, after.total_keys), (true, 2, 50));
    assert!(after.roles >= 1, "{after:?}");
}

#[test]
fn an_alarm_that_was_raised_is_in_the_file_and_verify_warns() {
    let etcd = Etcd::with(&["--quota-backend-bytes=2000000"]);
    etcd.exhaust();
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(contents(&saved(&etcd, directory.path())).alarms, 1);
    let outcome = verify(directory.path(), &["snap.db"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("warning: snap.db"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("alarm"), "{}", outcome.stderr);
}

#[test]
fn members_that_were_removed_are_in_the_file() {
    let mut cluster = EtcdCluster::start(1);
    cluster.add_learner();
    let etcd = &cluster.members[0];
    let list = etcd.ctl(&["member", "list"]);
    let learner = list.lines().find(|line| line.ends_with("true")).expect("there is a learner");
    etcd.ctl(&["member", "remove", learner.split(',').next().unwrap()]);
    etcd.fill(20, 100);
    let directory = tempfile::tempdir().unwrap();
    let path = saved(etcd, directory.path());
    // Its ID, with the value that etcd writes.
    let entry = format!("{}removed", learner.split(',').next().unwrap());
    assert!(has(&path, entry.as_bytes()), "{list}");
}

#[test]
fn a_downgrade_that_was_enabled_is_not_a_problem() {
    let etcd = Etcd::start();
    etcd.fill(20, 100);
    let directory = tempfile::tempdir().unwrap();
    // A member that has just started does not know the version of its cluster yet.
    let enabled = (0..50).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        etcd.tries(&["downgrade", "enable", "3.5"])
    });
    assert!(enabled, "etcd does not accept the downgrade");
    let path = saved(&etcd, directory.path());
    assert!(has(&path, br#"{"target-version":"3.5.0","enabled":true}"#));
}
