//! The name of what a run creates on the cluster.

/// Returns a name that no other run has.
pub(super) fn unique_name() -> String {
    // Without vowels and look-alikes, as Kubernetes makes names (apimachinery `util/rand`).
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let suffix: String = (0..8).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect();
    format!("etcd-backup-{suffix}")
}
