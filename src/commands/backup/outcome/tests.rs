use std::fs::File;
use std::path::Path;

use etcd_snapshot::{Options, Problem};

use super::*;
use crate::etcd::hash_kv::{HashKv, HashResult};
use crate::etcd::{MemberProbe, MemberState};
use crate::test_support::pod;
use crate::verification::comparison::{FileHashes, HashRound, VotingMember};

const LEVELS: [Option<Level>; 4] = [None, Some(Level::Checksum), Some(Level::Structure), Some(Level::Members)];

/// The hash of the file at revision 9, and the only point at which it has one.
const OURS: u32 = 5;

fn sound() -> StructureCheck {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/etcd-3.5.db");
    let file = File::open(path).expect("the seed file");
    let report = etcd_snapshot::check(&file, &Options::default()).expect("it can be read");
    StructureCheck::Sound(Box::new(report.contents.expect("it is sound")))
}

fn bad() -> StructureCheck {
    let problem =
        Problem { what: "page 3 is reached twice".to_owned(), offset: Some(12288), hint: "a hint".to_owned() };
    StructureCheck::Bad(problem)
}

fn unreadable() -> StructureCheck {
    StructureCheck::Unreadable("the file cannot be read".to_owned())
}

/// Three members, `etcd-cp1` to `etcd-cp3`.
fn members() -> MemberSet {
    let state = |name: &str| MemberState {
        member: Member::from_pod(pod(name, &["etcd"], true)).expect("it runs etcd"),
        probe: MemberProbe::Unknown("not asked".to_owned()),
        credentials: Vec::new(),
        certificate_expiry: None,
    };
    let members = ["etcd-cp1", "etcd-cp2", "etcd-cp3"].map(state).into_iter().collect();
    MemberSet { members, verified_origin: None, unmatched: Vec::new(), warnings: Vec::new() }
}

/// The members compared with the file; `None`: the member did not answer.
fn compared<const N: usize>(hashes: [Option<u32>; N]) -> MemberCheck {
    let reply = |hash: Option<u32>| -> HashResult {
        hash.map(|hash| HashKv { revision: 9, compacted: 4, hash }).ok_or_else(|| "did not answer".to_owned())
    };
    let voters = (1..=N).map(|n| VotingMember { name: format!("etcd-cp{n}"), votes: true }).collect();
    let round = HashRound { replies: hashes.map(reply).to_vec() };
    MemberCheck::Compared(Comparison::new(voters, &[round], &FileHashes::from([((9, 4), Ok(OURS))])))
}

/// What the user sees of an outcome: the name of the file, whether there is a warning, the exit code.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    file: &'static str,
    warns: bool,
    exit_code: u8,
}

fn file_state(structure_check: &StructureCheck, member_check: &MemberCheck, wanted: Option<Level>) -> FileState {
    let members = members();
    let member = &members.members[0].member;
    let outcome = VerificationOutcome { structure_check, member_check, wanted, members: &members, member };
    let file = if outcome.is_verified() { "x.db" } else { "x.db.unverified" };
    let error = outcome.error(file);
    if file == "x.db.unverified" {
        let message = error.as_ref().expect("an unverified file has an error").message();
        assert!(message.contains("kept as x.db.unverified"), "{message}");
    }
    FileState { file, warns: outcome.warning().is_some(), exit_code: error.map_or(0, |error| error.kind().exit_code()) }
}

const GOOD: FileState = FileState { file: "x.db", warns: false, exit_code: 0 };

fn kept(warns: bool, exit_code: u8) -> FileState {
    FileState { file: "x.db.unverified", warns, exit_code }
}

/// Every combination of a structure, a comparison and a level. The comparisons are: not checked, all agree, one member
/// differs, the file differs, not comparable.
#[test]
fn the_name_the_warning_and_the_exit_code_of_every_outcome() {
    let checks = || {
        [
            MemberCheck::NotChecked,
            compared([Some(OURS), Some(OURS), Some(OURS)]),
            compared([Some(OURS), Some(OURS), Some(6)]),
            compared([Some(6), Some(6), Some(OURS)]),
            compared([None, None, None]),
        ]
    };
    for wanted in LEVELS {
        let good_file = |last: FileState| [GOOD, GOOD, FileState { exit_code: 4, ..GOOD }, kept(false, 4), last];
        let incomparable = match wanted {
            Some(Level::Members) => kept(true, 1),
            _ => FileState { warns: true, ..GOOD },
        };
        let bad_file = |code: u8| [false, false, false, false, true].map(|warns| kept(warns, code));
        let table = [
            (StructureCheck::NotChecked, good_file(FileState { ..incomparable })),
            (sound(), good_file(incomparable)),
            (bad(), bad_file(4)),
            (unreadable(), bad_file(1)),
        ];
        for (structure_check, expected) in table {
            for (check, expected) in checks().iter().zip(expected) {
                let label = (structure_check.label(), check.label(), wanted);
                assert_eq!(file_state(&structure_check, check, wanted), expected, "{label:?}");
            }
        }
    }
}

/// The errors that depend on more than the verdict.
fn error_of(structure_check: &StructureCheck, member_check: &MemberCheck) -> Error {
    let members = members();
    let member = &members.members[0].member;
    let outcome = VerificationOutcome { structure_check, member_check, wanted: None, members: &members, member };
    outcome.error("x.db.unverified").expect("there is an error")
}

#[test]
fn a_damaged_database_names_the_problem_its_place_and_the_member() {
    let error = error_of(&bad(), &MemberCheck::NotChecked);
    assert_eq!(
        error.message(),
        "the database in the snapshot is damaged: page 3 is reached twice (at byte 12288); it is kept as x.db.unverified"
    );
    assert!(error.hints()[1].contains("replace member etcd-cp1"), "{error:?}");
}

#[test]
fn a_member_that_differs_is_named_with_its_pod() {
    let error = error_of(&sound(), &compared([Some(OURS), Some(OURS), Some(6)]));
    assert!(error.message().starts_with("member etcd-cp3 (pod kube-system/etcd-cp3) holds other data"), "{error}");
    let two = compared([Some(OURS), Some(OURS), Some(OURS), Some(6), Some(6)]);
    let error = error_of(&sound(), &two);
    assert!(error.message().starts_with("members etcd-cp4 (pod ) and etcd-cp5 (pod ) hold other data"), "{error}");
}

#[test]
fn a_file_that_differs_has_a_hint_that_fits_the_majority() {
    let alone = error_of(&sound(), &compared([Some(6)]));
    assert!(alone.message().contains("differs from that member's own data"), "{alone}");
    let against_two = error_of(&sound(), &compared([Some(OURS), Some(6), Some(6)]));
    assert!(against_two.message().contains("differs from the data of members etcd-cp2 and etcd-cp3"), "{against_two}");
    assert!(against_two.hints()[0].ends_with("--member etcd-cp2"), "{against_two:?}");
    let no_majority = error_of(&sound(), &compared([Some(OURS), Some(6), Some(7)]));
    assert!(no_majority.message().contains("no majority agrees"), "{no_majority}");
}
