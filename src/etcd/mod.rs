//! All that is known of etcd: which pods run it, how they are configured, how its members fare.
//!
//! Nothing is assumed of a distribution's paths: what an etcd member listens on and which certificates it has is read
//! from its pod, and known layouts are only tried where the pod does not say.

mod certificate_expiry;
pub mod client;
mod config;
pub mod credentials;
pub mod discovery;
pub mod etcdctl;
pub mod hash_kv;
mod member;
mod membership;
mod options;
mod select;
pub mod status;
mod unmatched;
mod url;

pub use certificate_expiry::{Expiry, expiry};
pub use member::Member;
pub use membership::{MemberProbe, MemberSet, MemberState, MemberWarning};
pub use options::{ClientOptions, Options, PodOverrides};
pub use select::{MemberSelector, rank_members, select_member};
pub use status::parse::MemberStatus;
pub use unmatched::UnmatchedMember;
