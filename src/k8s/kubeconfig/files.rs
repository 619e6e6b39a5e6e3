//! Reads kubeconfig files.

use std::path::Path;

use kube::config::{Kubeconfig, KubeconfigError};

use crate::error::{Error, Result};

/// Reads the file of `--kubeconfig`, else those of KUBECONFIG, else ~/.kube/config. Several files are merged; the first
/// that sets a value wins.
pub(super) fn read_kubeconfig(explicit: Option<&Path>) -> Result<Kubeconfig> {
    if let Some(path) = explicit {
        return read_file(path);
    }
    let list = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let mut paths: Vec<_> = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
    if paths.is_empty() {
        paths.extend(std::env::home_dir().map(|home| home.join(".kube").join("config")));
    }
    let mut merged = Kubeconfig::default();
    for path in paths.iter().filter(|path| path.exists()) {
        merged = merged.merge(read_file(path)?).map_err(|error| {
            let path = path.display();
            Error::failed(format!("cannot merge the kubeconfig {path} with the others in KUBECONFIG: {error}"))
        })?;
    }
    Ok(merged)
}

fn read_file(path: &Path) -> Result<Kubeconfig> {
    if let Err(error) = std::fs::metadata(path) {
        return Err(Error::failed(format!("cannot read the kubeconfig {}: {error}", path.display())));
    }
    Kubeconfig::read_from(path).map_err(|error| match error {
        KubeconfigError::ReadConfig(error, _) => {
            Error::failed(format!("cannot read the kubeconfig {}: {error}", path.display()))
        }
        // The parser's message may quote the line, and the lines of a kubeconfig have keys and tokens.
        _ => Error::failed(format!("the kubeconfig {} is not valid", path.display()))
            .hint(format!("run 'kubectl config view --kubeconfig {}' to see where", path.display())),
    })
}
