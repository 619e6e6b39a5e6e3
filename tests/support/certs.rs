//! Certificates for a real etcd with TLS: good, wrong and expired ones.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::support::directory::Directory;

/// A CA and the directory with what it issued.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: Directory,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let directory = Directory::new();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(directory.path().join("ca.crt"), certificate.pem()).expect("it can be written");
        Authority { issuer: Issuer::new(params, key), directory }
    }

    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A certificate for `names`, for both ends of a connection; its file and its key's.
    pub fn issue(&self, file: &str, names: &[&str], expired: bool) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, file);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |end: &str| self.directory.path().join(format!("{file}.{end}"));
        std::fs::write(path("crt"), certificate.pem()).expect("it can be written");
        std::fs::write(path("key"), key.serialize_pem()).expect("it can be written");
        (path("crt"), path("key"))
    }
}
