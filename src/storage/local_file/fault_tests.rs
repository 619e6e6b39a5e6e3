//! Each call that gives a file its name fails, alone and with others: the snapshot is never deleted, its name is told,
//! no other file is damaged, and nothing is left beside it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Rename,
    RenameNew,
    HardLink,
    CreateNew,
    RemoveFile,
    SyncDirectory,
}

const CALLS: [Call; 6] =
    [Call::Rename, Call::RenameNew, Call::HardLink, Call::CreateNew, Call::RemoveFile, Call::SyncDirectory];

/// EIO, EPERM and EINVAL: a broken disk, and two answers of file systems that cannot do it.
const ERRORS: [i32; 3] = [5, 1, 22];

/// Fails at some calls, before they are done or, like a server whose answer is lost, after.
#[derive(Debug, Clone, Default)]
struct Faulty {
    calls: Vec<Call>,
    error: i32,
    afterwards: bool,
}

impl Faulty {
    fn call(&self, call: Call, done: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let fails = self.calls.contains(&call);
        if !fails || self.afterwards {
            done()?;
        }
        if fails { Err(io::Error::from_raw_os_error(self.error)) } else { Ok(()) }
    }
}

impl FileSystem for Faulty {
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Rename, || Disk.rename(from, to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::RenameNew, || Disk.rename_new(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::HardLink, || Disk.hard_link(from, to))
    }

    fn create_new(&self, path: &Path) -> io::Result<()> {
        self.call(Call::CreateNew, || Disk.create_new(path))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(Call::RemoveFile, || Disk.remove_file(path))
    }

    /// A real one would take most of the time of the tests.
    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.call(Call::SyncDirectory, || Ok(()))
    }
}

/// How a run ended: the files of its directory, and all that it told.
struct Ended {
    files: BTreeMap<PathBuf, String>,
    target: PathBuf,
    path: Option<PathBuf>,
    told: String,
}

/// Keeps a file with the content "ours". `taken`: another file, with "theirs", took its name.
fn keep(fs: &Faulty, replace: bool, taken: bool, verified: bool) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("snap.db");
    let pending = create_pending(&target, replace).expect("it can be written");
    pending.file().write_all(b"ours").expect("it is written");
    if taken {
        std::fs::write(&target, "theirs").expect("it is written");
    }
    let saved = match verified {
        true => pending.persist_with(fs),
        false => Ok(pending.persist_unverified_with(fs)),
    };
    let (path, told) = match saved {
        Ok(saved) => (Some(saved.path.clone()), format!("{} {}", saved.path.display(), saved.warnings.join(" "))),
        Err(error) => (None, format!("{error} {}", error.details().join(" "))),
    };
    let files = std::fs::read_dir(directory.path()).expect("it can be read").map(|entry| {
        let path = entry.expect("an entry").path();
        let content = std::fs::read_to_string(&path).expect("it can be read");
        (path, content)
    });
    Ended { files: files.collect(), target, path, told }
}

/// Every set of calls that fail, with every error, before and after the call is done.
fn all_faults() -> impl Iterator<Item = Faulty> {
    let sets = (0..1_u32 << CALLS.len()).map(|set| {
        let calls = CALLS.iter().enumerate().filter(move |(index, _)| set >> index & 1 == 1);
        calls.map(|(_, call)| *call).collect::<Vec<_>>()
    });
    sets.flat_map(|calls| {
        let before = ERRORS.map(|error| Faulty { calls: calls.clone(), error, afterwards: false });
        // What a file system cannot do it does not do: only EIO may be a lost answer.
        let lost = Faulty { calls, error: ERRORS[0], afterwards: true };
        before.into_iter().chain([lost])
    })
}

#[test]
fn whatever_fails_the_snapshot_is_kept_and_its_name_is_told() {
    for fs in all_faults() {
        for (replace, taken, verified) in (0..8).map(|flags| (flags & 1 == 1, flags & 2 == 2, flags & 4 == 4)) {
            let ended = keep(&fs, replace, taken, verified);
            let case = format!(
                "{fs:?}, replace {replace}, taken {taken}, verified {verified}: {:?}\n{}",
                ended.files, ended.told
            );
            let ours: Vec<&PathBuf> =
                ended.files.iter().filter(|(_, content)| *content == "ours").map(|(path, _)| path).collect();
            assert!(!ours.is_empty(), "the snapshot is lost: {case}");
            assert!(ours.iter().all(|path| ended.told.contains(&path.display().to_string())), "not told: {case}");
            if let Some(path) = &ended.path {
                assert_eq!(ended.files.get(path).map(String::as_str), Some("ours"), "told a wrong name: {case}");
            }
            let replaced = replace && verified && ended.files.get(&ended.target).is_some_and(|found| found == "ours");
            if taken && !replaced {
                assert_eq!(ended.files[&ended.target], "theirs", "another file is damaged: {case}");
            }
            for (path, content) in &ended.files {
                let is_told = fs.calls.contains(&Call::RemoveFile) && ended.told.contains(&path.display().to_string());
                let is_unknown = fs.afterwards && fs.calls.contains(&Call::CreateNew);
                assert!(!content.is_empty() || is_told || is_unknown, "a placeholder is left: {case}");
            }
        }
    }
}

#[test]
fn a_file_system_without_links_and_exclusive_renames_reserves_the_name() {
    for error in [1, 22, 38, 95].into_iter().filter(|_| cfg!(target_os = "linux")) {
        let fs = Faulty { calls: vec![Call::RenameNew, Call::HardLink], error, afterwards: false };
        for (taken, verified, name) in [
            (false, true, "snap.db"),
            (true, true, "snap.db.new"),
            (false, false, "snap.db.unverified"),
            (true, false, "snap.db.unverified"),
        ] {
            let ended = keep(&fs, false, taken, verified);
            let kept = ended.target.with_file_name(name);
            assert_eq!(ended.files.get(&kept).map(String::as_str), Some("ours"), "{error} {name}: {}", ended.told);
            assert_eq!(ended.files.len(), 1 + usize::from(taken), "{:?}", ended.files);
        }
    }
}

#[test]
fn a_file_that_gets_no_name_keeps_its_temporary_one_and_the_error_names_it() {
    let fs = Faulty { calls: vec![Call::Rename, Call::RenameNew, Call::HardLink], error: 1, afterwards: false };
    for replace in [false, true] {
        let ended = keep(&fs, replace, false, true);
        assert_eq!(ended.files.len(), 1, "{:?}", ended.files);
        let kept = ended.files.keys().next().expect("a file");
        assert!(kept.to_string_lossy().ends_with(".part"), "{kept:?}");
        assert!(ended.told.contains(&format!("it is verified and kept as {}", kept.display())), "{}", ended.told);
    }
    let ended = keep(&fs, false, false, false);
    assert_eq!(ended.path.as_ref(), ended.files.keys().next());
    assert!(ended.told.contains("cannot rename the snapshot to "), "{}", ended.told);
}

#[test]
fn a_snapshot_that_cannot_be_synced_is_kept_as_unverified() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("snap.db");
    let pending = create_pending(&target, false).expect("it can be written");
    pending.file().write_all(b"ours").expect("it is written");
    let error = pending.persist_unsynced("Input/output error");
    let kept = directory.path().join("snap.db.unverified");
    assert_eq!(std::fs::read_to_string(&kept).expect("it is there"), "ours");
    assert!(error.message().ends_with(&format!("it is kept as {}", kept.display())), "{error}");
}

#[test]
fn a_directory_that_cannot_rename_is_refused_and_nothing_is_left_in_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let fs = Faulty { calls: vec![Call::Rename], error: 1, afterwards: false };
    let error = check_renames(&fs, directory.path(), "snap.db").expect_err("it cannot rename");
    assert!(error.message().starts_with("cannot rename files in directory "), "{error}");
    assert!(error.hints()[0].contains("another file system"), "{error:?}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("it can be read").count(), 0);
    check_renames(&Disk, directory.path(), "snap.db").expect("it can rename");
    assert_eq!(std::fs::read_dir(directory.path()).expect("it can be read").count(), 0);
}
