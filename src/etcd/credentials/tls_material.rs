//! Certificates for a direct connection to etcd, from files or from a Secret.
//!
//! Keys stay in memory and are not printed, also not in a `Debug` form.

use std::fmt;
use std::path::Path;

use k8s_openapi::api::core::v1::{KeyToPath, Secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::mounts::{Mount, covers};
use super::pod_paths::Credentials;
use crate::error::{Error, Result};
use crate::etcd::connect_error::ConnectError;
use crate::etcd::member::Member;
use crate::etcd::options::ClientOptions;
use crate::k8s::{ApiError, KubeClient};

/// CA, client certificate and key.
pub struct TlsMaterial {
    ca: Vec<CertificateDer<'static>>,
    client_cert: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    origin: String,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl TlsMaterial {
    /// Returns the CA certificates of etcd.
    pub fn ca(&self) -> &[CertificateDer<'static>] {
        &self.ca
    }

    /// Returns the client certificate with its intermediates, and its key.
    pub fn client_cert(&self) -> Option<(&Vec<CertificateDer<'static>>, &PrivateKeyDer<'static>)> {
        self.client_cert.as_ref().map(|(chain, key)| (chain, key))
    }

    /// Returns where the certificates come from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn from_pem(ca: &[u8], client_cert: Option<(&[u8], &[u8])>, origin: String) -> Result<Self> {
        let unreadable = |what: &str| Error::usage(format!("cannot read {what} of {origin}: it is not PEM"));
        let certificates = |pem: &[u8], what: &str| -> Result<Vec<CertificateDer<'static>>> {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            found.ok().filter(|found| !found.is_empty()).ok_or_else(|| unreadable(what))
        };
        let client_cert = match client_cert {
            Some((chain, key)) => {
                // The parser's error may quote what it read.
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unreadable("the key"))?;
                Some((certificates(chain, "the client certificate")?, key))
            }
            None => None,
        };
        Ok(TlsMaterial { ca: certificates(ca, "the CA certificate")?, client_cert, origin })
    }

    pub fn from_files(options: &ClientOptions) -> Result<Self> {
        let Some(ca) = &options.cacert else {
            return Err(Error::usage(
                "--etcd-cert needs --etcd-cacert, because etcd's own certificate is always checked",
            )
            .hint("give etcd's CA with --etcd-cacert; kubeadm keeps it in /etc/kubernetes/pki/etcd/ca.crt"));
        };
        let client_cert = match (&options.cert, &options.key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => None,
        };
        let client_cert = client_cert.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice()));
        TlsMaterial::from_pem(&read(ca)?, client_cert, "the files given".to_owned())
    }

    pub async fn from_secret(
        client: &KubeClient,
        namespace: &str,
        options: &ClientOptions,
        secret_name: &str,
    ) -> Result<Self, ConnectError> {
        let (namespace, name) = secret_name.split_once('/').unwrap_or((namespace, secret_name));
        let secret = match client.secret(namespace, name).await {
            Ok(secret) => secret,
            Err(failure) if failure.is_not_found() => {
                return Err(Error::usage(format!(
                    "cannot read Secret {namespace}/{name} of --etcd-cert-secret: it does not exist"
                ))
                .into());
            }
            Err(failure) => return Err(failure.into()),
        };
        let given_ca = options.cacert.as_deref().map(read).transpose()?;
        Ok(TlsMaterial::from_secret_data(&secret, given_ca.as_deref(), &format!("Secret {namespace}/{name}"))?)
    }

    fn from_secret_data(secret: &Secret, given_ca: Option<&[u8]>, origin: &str) -> Result<Self> {
        let entry = |names: &[&str]| {
            let data = secret.data.as_ref()?;
            names.iter().find_map(|name| data.get(*name)).map(|bytes| bytes.0.as_slice())
        };
        let client_cert = CERT_KEY_NAMES.iter().find_map(|(cert, key)| Some((entry(&[cert])?, entry(&[key])?)));
        let names = || {
            let names: Vec<&str> = secret.data.iter().flatten().map(|(name, _)| name.as_str()).collect();
            format!("its entries are: {}", names.join(", "))
        };
        let Some(pair) = client_cert else {
            return Err(
                Error::usage(format!("{origin} has no client certificate and key under a known name")).hint(names())
            );
        };
        let Some(ca) = given_ca.or_else(|| entry(CA_NAMES)) else {
            return Err(Error::usage(format!("{origin} has no CA certificate of etcd"))
                .hint("give it with --etcd-cacert")
                .hint(names()));
        };
        TlsMaterial::from_pem(ca, Some(pair), origin.to_owned())
    }

    /// Reads the certificates that a pod mounts from Secrets, and the CA perhaps from a ConfigMap, as on hosted control
    /// planes. `None` if there are none, or if they may not be read.
    pub async fn from_pod(client: &KubeClient, member: &Member, candidates: &[Credentials]) -> Option<Self> {
        for candidate in candidates {
            let (Some((cert, key)), Some(cacert), Some(mounts)) =
                (&candidate.client_cert, &candidate.cacert, &candidate.mounts)
            else {
                continue;
            };
            let mut found = Vec::new();
            for path in [cacert, cert, key] {
                let Some((object, entry)) = find_mounted_entry(mounts, path) else { break };
                match object.read_entry(client, &member.namespace, &entry).await {
                    Ok(bytes) => found.extend(bytes),
                    Err(failure) => {
                        tracing::info!(%object, reason = %failure.error(), "etcd's certificates cannot be read");
                        return None;
                    }
                }
            }
            if let [ca, cert, key] = found.as_slice()
                && let Ok(tls) = TlsMaterial::from_pem(ca, Some((cert, key)), "the Secrets of the etcd pod".to_owned())
            {
                return Some(tls);
            }
        }
        None
    }
}

/// Names of certificate and key in Secrets: of cert-manager, Cilium, Calico, kubeadm, etcd operators, kube-prometheus.
const CERT_KEY_NAMES: &[(&str, &str)] = &[
    ("tls.crt", "tls.key"),
    ("etcd-client.crt", "etcd-client.key"),
    ("client.crt", "client.key"),
    ("healthcheck-client.crt", "healthcheck-client.key"),
    ("apiserver-etcd-client.crt", "apiserver-etcd-client.key"),
    ("etcd-cert", "etcd-key"),
    ("cert.pem", "key.pem"),
    ("client.pem", "client-key.pem"),
    ("etcd-client.pem", "etcd-client-key.pem"),
    ("cert", "key"),
];

/// Names of the CA certificate in Secrets.
const CA_NAMES: &[&str] = &[
    "ca.crt",
    "etcd-client-ca.crt",
    "etcd-ca.crt",
    "server-ca.crt",
    "etcd-ca",
    "ca.pem",
    "etcd-ca.pem",
    "etcd-client-ca.pem",
    "ca",
];

/// The object behind a volume of a pod, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MountedObject {
    Secret(String),
    /// OpenShift's hosted control planes keep the CA here, because it is not secret.
    ConfigMap(String),
}

impl fmt::Display for MountedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountedObject::Secret(name) => write!(f, "Secret {name}"),
            MountedObject::ConfigMap(name) => write!(f, "ConfigMap {name}"),
        }
    }
}

impl MountedObject {
    /// Returns an entry; `None` if the object has no such entry.
    async fn read_entry(&self, client: &KubeClient, namespace: &str, entry: &str) -> Result<Option<Vec<u8>>, ApiError> {
        Ok(match self {
            MountedObject::Secret(name) => {
                let secret = client.secret(namespace, name).await?;
                secret.data.and_then(|mut data| data.remove(entry)).map(|bytes| bytes.0)
            }
            MountedObject::ConfigMap(name) => {
                let map = client.config_map(namespace, name).await?;
                let text = map.data.and_then(|mut data| data.remove(entry)).map(String::into_bytes);
                text.or_else(|| map.binary_data.and_then(|mut data| data.remove(entry)).map(|bytes| bytes.0))
            }
        })
    }
}

/// Returns the object and the entry behind a path in a container.
fn find_mounted_entry(mounts: &[Mount], path: &str) -> Option<(MountedObject, String)> {
    let covering = mounts.iter().filter(|mount| covers(&mount.mount.mount_path, path));
    mounted_entry(covering.max_by_key(|mount| mount.mount.mount_path.len())?, path)
}

/// The same for one mount.
fn mounted_entry(mount: &Mount, path: &str) -> Option<(MountedObject, String)> {
    let below = path.strip_prefix(mount.mount.mount_path.trim_end_matches('/'))?;
    let file = match (&mount.mount.sub_path, below.trim_start_matches('/')) {
        (Some(file), "") => file.as_str(),
        (None, file) => file,
        _ => return None,
    };
    let entry = |items: Option<&Vec<KeyToPath>>| match items {
        Some(items) => items.iter().find(|item| item.path == file).map(|item| item.key.clone()),
        None => Some(file.to_owned()),
    };
    let volume = &mount.volume;
    if let Some(secret) = &volume.secret {
        return Some((MountedObject::Secret(secret.secret_name.clone()?), entry(secret.items.as_ref())?));
    }
    if let Some(map) = &volume.config_map {
        return Some((MountedObject::ConfigMap(map.name.clone()), entry(map.items.as_ref())?));
    }
    let sources = volume.projected.as_ref()?.sources.as_ref()?;
    // A source that lists the file comes first. A source without items may have any file.
    let mut projected: Vec<(MountedObject, Option<&Vec<KeyToPath>>)> = sources
        .iter()
        .filter_map(|source| {
            let secret = source.secret.as_ref();
            let map = source.config_map.as_ref();
            secret
                .map(|secret| (MountedObject::Secret(secret.name.clone()), secret.items.as_ref()))
                .or_else(|| map.map(|map| (MountedObject::ConfigMap(map.name.clone()), map.items.as_ref())))
        })
        .collect();
    projected.sort_by_key(|(_, items)| items.is_none());
    projected.into_iter().find_map(|(object, items)| Some((object, entry(items)?)))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::usage(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests;
