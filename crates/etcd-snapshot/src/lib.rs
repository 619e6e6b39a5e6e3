//! Reads and verifies etcd snapshot files: is the file complete, is it a sound etcd database, and what is in it.
//!
//! ```
//! use etcd_snapshot::{FileKind, Options, Trailer, check};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = std::env::temp_dir().join(format!("etcd-snapshot-doc-{}.db", std::process::id()));
//! # std::fs::write(&path, "Error from server (Forbidden)")?;
//! let file = std::fs::File::open(&path)?;
//! let report = check(&file, &Options::default())?;
//! if report.is_good() && report.trailer == Trailer::Matches {
//!     let contents = report.contents.as_ref().ok_or("a good file has contents")?;
//!     println!("{} keys at revision {}", contents.total_keys, contents.revision);
//! }
//! for problem in &report.problems {
//!     println!("{problem}\n  hint: {}", problem.hint);
//! }
//! # std::fs::remove_file(&path)?;
//! # assert_eq!(report.problems[0].what, "this is text, not a snapshot");
//! # assert_ne!(report.kind, Some(FileKind::Snapshot));
//! # Ok(())
//! # }
//! ```
//!
//! There are three levels of verification:
//!
//! 1. **checksum**: the sha-256 at the end of a snapshot matches, so the file is complete and unchanged.
//! 2. **structure**: all pages are what bbolt writes, and their entries are what etcd writes.
//! 3. **members**: [`hash_kv()`] computes the file's side of a comparison with the `HashKV` of running members.
//!
//! [`check()`] does the first two. The crate is read-only and uses positioned reads with a bound on memory. It does not
//! trust the file: it checks each number before it uses it. It was written from the formats of bbolt and etcd, and its
//! modules have their names: `page`, `meta`, `freelist`, `cursor` and `tx_check` from bbolt, `mvcc`, `schema` and
//! `hash_kv` from etcd.

mod bitmap;
mod bytes;
mod check;
mod cursor;
mod error;
mod freelist;
mod hash_kv;
mod identify;
mod io;
mod json;
mod meta;
mod mvcc;
mod page;
mod protobuf;
mod report;
mod schema;
mod sha256;
mod tx_check;

pub use check::{Options, check};
pub use error::{MAX_PROBLEMS, Problem, ReadFailure};
pub use hash_kv::{FileHash, HashPoint, NotComparable, hash_kv};
pub use identify::FileKind;
pub use io::{ProgressFn, ReadAt};
pub use mvcc::ParallelWalk;
pub use report::{Contents, Report, Trailer};
pub use sha256::TRAILER_LENGTH;
