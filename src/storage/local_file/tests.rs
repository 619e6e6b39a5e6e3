use std::io::Write;

use super::*;

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("it can be read");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_gets_its_name_at_the_end_and_only_its_owner_can_read_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("snap.db");
    let pending = create_pending(&target, false).expect("it can be written");
    pending.file().write_all(b"bytes").expect("it is written");
    assert!(!target.exists());
    pending.persist().expect("it is kept");
    assert_eq!(names(directory.path()), ["snap.db"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&target).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_file_that_is_not_persisted_is_deleted() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(create_pending(&directory.path().join("snap.db"), false).expect("it can be written"));
    assert!(names(directory.path()).is_empty());
}

#[test]
fn an_existing_file_stays_until_the_new_one_is_persisted() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("snap.db");
    std::fs::write(&target, "old").expect("it is written");
    assert!(create_pending(&target, false).expect_err("it exists").message().contains("it already exists"));
    let pending = create_pending(&target, true).expect("it may be replaced");
    pending.file().write_all(b"new").expect("it is written");
    assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "old");
    pending.persist().expect("it is kept");
    assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "new");
}

#[test]
fn a_name_that_was_taken_during_the_run_is_not_overwritten() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("snap.db");
    let pending = create_pending(&target, false).expect("it can be written");
    pending.file().write_all(b"ours").expect("it is written");
    std::fs::write(&target, "theirs").expect("it is written");
    let error = pending.persist().expect_err("the name is taken");
    assert!(error.message().ends_with("snap.db.new"), "{error}");
    assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "theirs");
    // A verified snapshot is kept, even under another name.
    let other = directory.path().join("snap.db.new");
    assert_eq!(std::fs::read_to_string(other).expect("it is there"), "ours");
    assert_eq!(names(directory.path()).len(), 2);
}

#[test]
fn an_unverified_file_overwrites_neither_the_target_nor_an_earlier_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("snap.db");
    std::fs::write(&target, "old").expect("it is written");
    for content in ["first", "second"] {
        let pending = create_pending(&target, true).expect("it may be replaced");
        pending.file().write_all(content.as_bytes()).expect("it is written");
        assert!(pending.persist_unverified().warnings.is_empty());
    }
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("it is there");
    assert_eq!(read("snap.db"), "old");
    assert_eq!(read("snap.db.unverified"), "first");
    assert_eq!(read("snap.db.unverified.2"), "second");
    assert_eq!(names(directory.path()).len(), 3);
}

#[test]
fn a_target_that_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(create_pending(directory.path(), true).expect_err("a directory").message().ends_with("it is a directory"));
    let error = create_pending(&directory.path().join("no/snap.db"), false).expect_err("it is missing");
    assert!(error.hints()[0].starts_with("create it with 'mkdir -p"));
    let error = create_pending(&directory.path().join("new/"), false).expect_err("it ends like a directory");
    assert!(error.message().contains("a directory that does not exist"), "{error}");
    assert!(check_directory(directory.path()).is_ok() && check_directory(&directory.path().join("no")).is_err());
    assert!(names(directory.path()).is_empty());
}
