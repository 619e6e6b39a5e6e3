//! All that is known of etcd: which pods run it, how they are configured, how its members fare.
//!
//! Nothing is assumed of a distribution's paths: what an etcd member listens on and which certificates it has is read
//! from its pod, and known layouts are only tried where the pod does not say.

mod answer;
pub mod credentials;
pub mod discovery;
pub(crate) mod etcdctl;
mod expiry;
pub mod hashkv;
pub mod keys;
pub mod member;
pub mod opening;
pub mod rpc;
mod select;
mod settings;
pub mod status;
pub mod straight;
mod stranger;
pub(crate) mod words;

pub use answer::MemberStatus;
pub use expiry::{Expiry, expiry};
pub use member::Member;
pub use select::{Choice, chosen, ranked};
pub use status::{Silence, Statuses};
pub use stranger::Stranger;
