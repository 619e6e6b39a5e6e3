//! etcd: which pods run it, how its members are configured and how they are, and how to talk to them.
//!
//! No path of a distribution is taken for granted. The URLs and the certificates of a member come from its pod; known
//! directories are only tried if the pod does not name any.

mod certificate_expiry;
pub mod client;
mod config;
pub mod connect_error;
pub mod credentials;
pub mod discovery;
pub mod etcdctl;
pub mod hash_kv;
mod member;
mod member_state;
mod member_status;
mod membership;
mod options;
mod select;
mod status;
mod unmatched;
mod url;

pub use certificate_expiry::Expiry;
pub use member::Member;
#[cfg(test)]
pub use member_state::MemberWarning;
pub use member_state::{MemberProbe, MemberState};
pub use member_status::MemberStatus;
pub use membership::MemberSet;
pub use options::{ClientOptions, Options, PodOverrides};
pub use select::{MemberSelector, rank_members, select_member};
