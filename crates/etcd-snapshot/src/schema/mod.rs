//! etcd's buckets.

pub(crate) mod buckets;
