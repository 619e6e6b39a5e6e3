//! etcd's buckets, and what is in those other than `key`. Named after etcd's `server/storage/schema`.

mod buckets;
mod info;
mod json_values;
mod version;

pub(crate) use buckets::{Bucket, KEY_BUCKET, META_BUCKET, check_names, read_buckets};
pub(crate) use info::SchemaInfo;
