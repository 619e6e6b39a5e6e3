//! Decides whether a file is good: whether its structure is sound, and whether it holds the data of the members.

pub mod comparison;
mod file_thread;
pub mod hash_query;
pub mod member_check;
pub mod structure;

/// How far a snapshot is verified; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every byte that etcd sent arrived.
    Checksum,
    /// The file is a sound database.
    Structure,
    /// The file holds the data of most members.
    Members,
}

impl Level {
    /// Every value of `--verify`.
    pub const NAMES: [&str; 3] = ["checksum", "structure", "members"];

    /// Parses a value of `--verify`.
    pub fn parse(name: &str) -> Option<Self> {
        [Level::Checksum, Level::Structure, Level::Members].into_iter().find(|level| level.name() == name)
    }

    /// Returns the value of `--verify`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Checksum => "checksum",
            Level::Structure => "structure",
            Level::Members => "members",
        }
    }
}
