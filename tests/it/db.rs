//! The reader, compared with what etcd and etcdutl say about the same files.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use etcd_snapshot::{
    Contents, FileHash, FileKind, HashPoint, NotComparable, Options, ParallelWalk, ReadAt, ReadFailure, Trailer,
};
use serde_json::Value;

use crate::support::etcd::{Etcd, tool};
use crate::support::files::snapshot;

/// Two threads, though the files are small.
const TWO_THREADS: ParallelWalk = ParallelWalk { min_pages: 4, segment_leaves: 8 };

/// Returns `true` if the file has all that a member hashes at that point. It is written apart from the code under test,
/// which must not say "not comparable" too often either.
fn must_be_comparable(contents: &Contents, point: HashPoint) -> bool {
    let compacted = contents.scheduled_compact.unwrap_or(-1);
    compacted <= point.compact_revision
        && point.compact_revision <= point.revision
        && point.revision <= contents.revision
}

fn number(value: &Value, key: &str) -> i64 {
    value[key].as_i64().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// The result of comparing many rounds.
#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    same: usize,
    not_comparable: usize,
    nothing_alive: usize,
    /// Files with a compaction that was scheduled and not finished.
    unfinished: usize,
    /// The files among them from which the compaction had removed something: they have fewer entries than the file before,
    /// and no compaction was finished since.
    halfway: usize,
    before: Option<(Option<i64>, u64)>,
}

/// Checks that the file of each round has the figures that etcdutl gives, and the HashKV of this and the next rounds.
fn compare_with_etcd(etcd: &Etcd, count: usize, seed: u64, words: &[&str]) -> Tally {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(tool("snapmaker"))
        .args(["live", &etcd.url])
        .arg(directory.path())
        .args([count.to_string(), seed.to_string()])
        .args(words)
        .output()
        .expect("snapmaker starts");
    assert!(output.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let rounds: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut tally = Tally { rounds: rounds.len(), ..Tally::default() };
    for (index, round) in rounds.iter().enumerate() {
        let path = Path::new(round["file"].as_str().expect("a name"));
        let later = &rounds[index..rounds.len().min(index + 4)];
        let points: Vec<(HashPoint, u32)> = later.iter().flat_map(answers).collect();
        compare_round(path, &round["status"], &points, &mut tally);
    }
    tally
}

fn answers(round: &Value) -> Vec<(HashPoint, u32)> {
    let all = round["hashkv"].as_array().expect("a list").iter();
    all.map(|answer| {
        let point =
            HashPoint { revision: number(answer, "revision"), compact_revision: number(answer, "compactRevision") };
        (point, u32::try_from(number(answer, "hash")).expect("32 bits"))
    })
    .collect()
}

fn compare_round(path: &Path, status: &Value, answers: &[(HashPoint, u32)], tally: &mut Tally) {
    let file = File::open(path).expect("the file opens");
    // The check knows half of the revisions, so that 'hash_kv' needs a second pass for the others.
    let revisions = answers.iter().step_by(2).map(|(point, _)| point.revision).collect();
    let options = Options { revisions, parallel: TWO_THREADS, ..Options::default() };
    let report = etcd_snapshot::check(&file, &options).expect("it can be read");
    let name = path.display();
    assert!(report.is_good(), "{name}: {:?}", report.problems);
    assert_eq!((report.kind, report.trailer), (Some(FileKind::Snapshot), Trailer::Matches), "{name}");
    let contents = report.contents.expect("it is sound");
    assert_eq!(i64::from(contents.hash), number(status, "hash"), "{name}");
    assert_eq!(contents.last_revision, number(status, "revision"), "{name}");
    assert_eq!(i64::try_from(contents.total_keys).ok(), Some(number(status, "totalKey")), "{name}");
    assert_eq!(i64::try_from(contents.total_size).ok(), Some(number(status, "totalSize")), "{name}");
    assert_eq!(contents.storage_version.as_deref().unwrap_or_default(), status["version"], "{name}");

    let unfinished = contents.scheduled_compact > contents.finished_compact;
    let fewer = |(finished, entries)| contents.finished_compact == finished && contents.entries < entries;
    tally.unfinished += usize::from(unfinished);
    tally.halfway += usize::from(unfinished && tally.before.is_some_and(fewer));
    tally.before = Some((contents.finished_compact, contents.entries));
    let points: Vec<HashPoint> = answers.iter().map(|(point, _)| *point).collect();
    let sums = etcd_snapshot::hash_kv(&file, &contents, &points, &|_| true).expect("it can be read");
    for ((point, expected), sum) in answers.iter().zip(sums) {
        match sum {
            FileHash::Hash(sum) => {
                assert_eq!(sum, *expected, "{name} at {point:?}: {contents:?}");
                assert!(must_be_comparable(&contents, *point), "{name} at {point:?}");
                tally.same += 1;
            }
            FileHash::NotComparable(NotComparable::NoLiveKeys) => tally.nothing_alive += 1,
            FileHash::NotComparable(why) => {
                assert!(!must_be_comparable(&contents, *point), "{name} at {point:?}: {why}");
                tally.not_comparable += 1;
            }
        }
    }
}

#[test]
fn two_hundred_snapshots_of_a_changing_etcd_have_the_figures_and_sums_of_etcd() {
    let tally = compare_with_etcd(&Etcd::start(), 200, 1, &[]);
    assert_eq!(tally.rounds, 200);
    // Without live keys, the members of one cluster can have different hashes.
    assert!(tally.same > 1000 && tally.nothing_alive < 100, "{tally:?}");
}

/// A member that pauses after each five entries that it compacts has a part of the old entries in most of its files. The
/// flags have these names from etcd 3.6 on.
#[test]
fn snapshots_taken_during_a_compaction_have_the_figures_and_sums_of_etcd() {
    let etcd = Etcd::with(&["--compaction-batch-limit=5", "--compaction-sleep-interval=20ms"]);
    let tally = compare_with_etcd(&etcd, 120, 7, &["hasty"]);
    eprintln!("during a compaction: {tally:?}");
    assert_eq!(tally.rounds, 120);
    assert!(tally.unfinished > 10 && tally.halfway > 2 && tally.same > 500 && tally.nothing_alive < 100, "{tally:?}");
}

/// Two members that have compacted at the same revision and have no live key: the one that has not removed the old entries
/// yet hashes them, and that is not a difference.
#[test]
fn without_live_keys_a_finished_compaction_is_not_comparable() {
    let etcd = Etcd::start();
    for key in ["/registry/a", "/registry/b"] {
        etcd.ctl(&["put", key, "value"]);
        etcd.ctl(&["del", key]);
    }
    etcd.ctl(&["compact", "--physical", "5"]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("snap.db");
    etcd.save(&path);
    let file = File::open(&path).expect("the file opens");
    let contents =
        etcd_snapshot::check(&file, &Options::default()).expect("it can be read").contents.expect("it is sound");
    assert_eq!((contents.finished_compact, contents.revision, contents.total_keys), (Some(5), 5, 0));
    let points = [HashPoint { revision: 5, compact_revision: 5 }];
    let sums = etcd_snapshot::hash_kv(&file, &contents, &points, &|_| true).expect("it can be read");
    assert_eq!(sums, [FileHash::NotComparable(NotComparable::NoLiveKeys)]);
}

/// `make soak`: SOAK_ROUNDS is the number of snapshots, TEST_ETCD another version of etcd to compare with.
#[test]
#[ignore = "takes minutes"]
fn soak_thousands_of_snapshots_have_the_figures_and_sums_of_etcd() {
    let rounds = std::env::var("SOAK_ROUNDS").map_or(5000, |rounds| rounds.parse().expect("a number"));
    let (mut done, mut same) = (0, 0);
    let mut seed = fastrand::u64(1000..1_000_000_000);
    while done < rounds {
        let tally = compare_with_etcd(&Etcd::start(), 250, seed, &[]);
        assert!(tally.same > 500, "seed {seed}: {tally:?}");
        (done, same, seed) = (done + tally.rounds, same + tally.same, seed + 1);
    }
    eprintln!("{done} snapshots and {same} hashes are those of etcd; the last seed was {}", seed - 1);
}

/// Files of other versions of etcd, with what those said. `tests/data/make` makes them.
#[test]
fn other_versions_of_etcd_give_the_same_figures_and_sums() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut tally = Tally::default();
    for name in ["etcd-3.4", "etcd-3.5", "etcd-3.7"] {
        let text = std::fs::read_to_string(data.join(format!("{name}.json"))).expect("it can be read");
        let round: Value = serde_json::from_str(&text).expect("JSON");
        compare_round(&data.join(format!("{name}.db")), &round["status"], &answers(&round), &mut tally);
    }
    // A hash that etcd stored during a compaction is older than the file.
    assert!(tally.same >= 12 && tally.not_comparable <= 2, "{tally:?}");
}

#[test]
fn a_check_ends_when_its_progress_function_returns_false() {
    let asked = AtomicUsize::new(0);
    let progress = |_| asked.fetch_add(1, Ordering::Relaxed) < 1;
    let options = Options { progress: &progress, ..Options::default() };
    assert!(matches!(etcd_snapshot::check(snapshot(), &options), Err(ReadFailure::Cancelled)));
}

/// A file on a disk that cannot read one byte.
struct BadDisk {
    bytes: &'static [u8],
    bad: u64,
}

impl ReadAt for BadDisk {
    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if (offset..offset + buffer.len() as u64).contains(&self.bad) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.bytes.read_exact_at(buffer, offset)
    }
}

/// In any thread: the others end, too, and the reason is reported.
#[test]
fn an_unreadable_part_of_the_file_ends_the_check_with_its_reason() {
    let bytes = snapshot();
    for parallel in [ParallelWalk::default(), TWO_THREADS] {
        let is_unreadable = |bad, checksum| {
            let options = Options { checksum, parallel, ..Options::default() };
            match etcd_snapshot::check(&BadDisk { bytes, bad }, &options) {
                Err(ReadFailure::Io(error)) => error.kind() == io::ErrorKind::InvalidData,
                Ok(report) if report.is_sound() => false,
                other => panic!("at {bad}: {other:?}"),
            }
        };
        let pages = || (0..bytes.len() as u64).step_by(4096);
        assert!(pages().all(|bad| is_unreadable(bad, true)));
        // Without the sha-256, only the pages in use are read.
        assert!(pages().filter(|bad| is_unreadable(*bad, false)).count() > 10);
    }
}

#[test]
fn points_that_the_file_does_not_cover_are_not_comparable() {
    let report = etcd_snapshot::check(snapshot(), &Options::default()).expect("memory can be read");
    let contents = report.contents.expect("it is sound");
    let (last, compacted) = (contents.revision, contents.compact_revision());
    assert!(compacted > 1, "{contents:?}");
    let sum = |revision, compact_revision| {
        let points = [HashPoint { revision, compact_revision }];
        etcd_snapshot::hash_kv(snapshot(), &contents, &points, &|_| true).expect("memory can be read").remove(0)
    };
    assert!(matches!(sum(last, compacted), FileHash::Hash(_)));
    assert!(matches!(sum(last, last), FileHash::Hash(_)), "a member may have compacted since");
    assert_eq!(
        sum(last + 1, compacted),
        FileHash::NotComparable(NotComparable::EndsBefore { file: last, asked: last + 1 })
    );
    let further = NotComparable::CompactedFurther { file: compacted, member: compacted - 1 };
    assert_eq!(sum(last, compacted - 1), FileHash::NotComparable(further));
    assert_eq!(sum(last, -1), FileHash::NotComparable(NotComparable::CompactedFurther { file: compacted, member: -1 }));
    let below = NotComparable::BelowCompaction { revision: last - 1, compact_revision: last };
    assert_eq!(sum(last - 1, last), FileHash::NotComparable(below));
}

#[test]
fn a_changed_value_changes_the_sum_of_the_history() {
    let report = etcd_snapshot::check(snapshot(), &Options::default()).expect("memory can be read");
    let contents = report.contents.expect("it is sound");
    let at = snapshot().windows(10).rposition(|window| window == b"/registry/").expect("a key");
    let mut changed = snapshot().to_vec();
    let points = [HashPoint { revision: contents.revision, compact_revision: contents.compact_revision() }];
    let before = etcd_snapshot::hash_kv(&changed[..], &contents, &points, &|_| true).expect("memory can be read");
    changed[at + 11] ^= 1;
    let after = etcd_snapshot::hash_kv(&changed[..], &contents, &points, &|_| true).expect("memory can be read");
    assert_ne!(before, after);
}
