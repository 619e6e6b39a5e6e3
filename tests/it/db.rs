//! The reading of databases, compared with what etcd and etcdutl say of the same files.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use kubectl_etcd_backup::db::{self, Contents, Form, HashPoint, NotComparable, Options, Report, Trailer};
use serde_json::Value;

use crate::support::etcd::{Etcd, tool};

/// Examines a file that must be good.
pub fn good(path: &Path) -> (File, Report) {
    let file = File::open(path).expect("the file opens");
    let report = db::check(&file, &Options::default()).expect("it can be read");
    assert!(report.is_good(), "{}: {:?}", path.display(), report.problems);
    (file, report)
}

/// What the two agree on when etcd may be asked for a sum and the file holds what it takes. Kept apart from the code
/// under test, which must not say "not comparable" too often either.
fn must_be_comparable(contents: &Contents, point: HashPoint) -> bool {
    let compacted = contents.scheduled_compact.unwrap_or(-1);
    compacted <= point.compact_revision
        && point.compact_revision <= point.revision
        && point.revision <= contents.revision
}

fn number(value: &Value, key: &str) -> i64 {
    value[key].as_i64().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// What comparing many rounds came to.
#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    same: usize,
    not_comparable: usize,
    nothing_alive: usize,
}

/// Each round's file has the figures that etcdutl gives, and HashKV of this and the next rounds' answers.
fn compare_with_etcd(count: usize, seed: u64) -> Tally {
    let etcd = Etcd::start();
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(tool("snapmaker"))
        .args(["live", &etcd.url])
        .arg(directory.path())
        .args([count.to_string(), seed.to_string()])
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
        if index + 4 >= count || index % 50 != 0 {
            continue;
        }
        // A member's own file is the same without the trailer and with other meta pages; here it is enough that none of
        // this depends on the trailer.
        let bytes = std::fs::read(path).expect("it can be read");
        assert!(db::check(&bytes[..], &Options { transport: false, ..Options::default() }).expect("read").is_good());
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
    // Half of the revisions are announced, so that both ways are gone.
    let revisions = answers.iter().step_by(2).map(|(point, _)| point.revision).collect();
    let report = db::check(&file, &Options { revisions, ..Options::default() }).expect("it can be read");
    let name = path.display();
    assert!(report.is_good(), "{name}: {:?}", report.problems);
    assert_eq!((report.form, report.trailer), (Some(Form::Snapshot), Trailer::Matches), "{name}");
    let contents = report.contents.expect("it is sound");
    assert_eq!(i64::from(contents.hash), number(status, "hash"), "{name}");
    assert_eq!(contents.last_revision, number(status, "revision"), "{name}");
    assert_eq!(i64::try_from(contents.total_keys).ok(), Some(number(status, "totalKey")), "{name}");
    assert_eq!(i64::try_from(contents.total_size).ok(), Some(number(status, "totalSize")), "{name}");
    assert_eq!(contents.storage_version.as_deref().unwrap_or_default(), status["version"], "{name}");

    let points: Vec<HashPoint> = answers.iter().map(|(point, _)| *point).collect();
    let sums = db::hash_kv(&file, &contents, &points, &|_| true).expect("it can be read");
    for ((point, expected), sum) in answers.iter().zip(sums) {
        match sum {
            Ok(sum) => {
                assert_eq!(sum, *expected, "{name} at {point:?}: {contents:?}");
                assert!(must_be_comparable(&contents, *point), "{name} at {point:?}");
                tally.same += 1;
            }
            Err(NotComparable::NothingAlive) => tally.nothing_alive += 1,
            Err(why) => {
                assert!(!must_be_comparable(&contents, *point), "{name} at {point:?}: {why}");
                tally.not_comparable += 1;
            }
        }
    }
}

#[test]
fn two_hundred_snapshots_of_a_changing_etcd_have_the_figures_and_sums_of_etcd() {
    let tally = compare_with_etcd(200, 1);
    assert_eq!(tally.rounds, 200);
    // What cannot be compared is an exception, and where nothing is alive etcd itself is not of one mind.
    assert!(tally.same > 1000 && tally.nothing_alive < 100, "{tally:?}");
    eprintln!("{tally:?}");
}
