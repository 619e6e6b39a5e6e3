//! Selects the cluster and the user from kubeconfig files and flags, with kubectl's precedence.
//!
//! Sources: client-go `tools/clientcmd/{loader,client_config,merged_client_builder}.go`. The client library's own
//! inference takes no flags and fails on a missing file in a KUBECONFIG list, which kubectl skips.

mod files;
mod overrides;

use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};

use super::options::ConnectOptions;
use crate::error::{Error, Result};
use files::read_kubeconfig;
use overrides::{override_cluster, override_user};

/// The connection that the kubeconfig and the flags give.
pub(super) struct ResolvedConfig {
    pub config: Config,
    /// The name of the context, else of the cluster, else the server's host.
    pub name: String,
    pub context: Option<String>,
}

/// Resolves the kubeconfig and the flags; runs the credential plugin.
///
/// # Errors
/// Flags that contradict each other, entries that do not exist, files or credentials that cannot be read.
pub(super) async fn resolve(options: &ConnectOptions) -> Result<ResolvedConfig> {
    if options.impersonate.is_none() && (!options.impersonate_group.is_empty() || options.impersonate_uid.is_some()) {
        return Err(Error::usage("--as-group and --as-uid need --as"));
    }
    if options.insecure_skip_tls_verify && options.certificate_authority.is_some() {
        return Err(Error::usage("--insecure-skip-tls-verify cannot be used with --certificate-authority"));
    }
    let files = read_kubeconfig(options.kubeconfig.as_deref())?;
    let is_empty = files.clusters.is_empty() && files.contexts.is_empty();
    if is_empty && options.server.is_none() && options.context.is_none() && options.cluster.is_none() {
        return resolve_in_cluster(options);
    }

    let context_name = options.context.clone().or_else(|| non_empty(files.current_context.clone()));
    let context = find_context(&files, context_name.as_deref(), options)?;
    let (cluster_name, mut cluster) = find_cluster(&files, context.as_ref(), options)?;
    let (user_name, mut user) = find_user(&files, context.as_ref(), options)?;
    override_cluster(&mut cluster, options);
    override_user(&mut user, options);
    if let Some(plugin) = user.exec.as_mut().filter(|_| options.unattended) {
        if plugin.interactive_mode == Some(ExecInteractiveMode::Always) {
            return Err(Error::failed(
                "cannot run the credential plugin of this context: it asks questions, and several backups run at once",
            )
            .hint("back up this cluster in a run of its own with --context NAME"));
        }
        plugin.interactive_mode = Some(ExecInteractiveMode::Never);
    }

    let namespace = context.and_then(|context| context.namespace);
    let selected = minimal_kubeconfig(cluster_name.clone(), cluster, user_name, user, namespace);
    let mut config = Config::from_custom_kubeconfig(selected, &KubeConfigOptions::default())
        .await
        .map_err(|error| config_error(&error))?;
    config.default_retry = false;
    let host = config.cluster_url.host().unwrap_or_default().to_owned();
    let context = context_name.filter(|_| !is_empty);
    let name = context.clone().or_else(|| non_empty(Some(cluster_name))).unwrap_or(host);
    Ok(ResolvedConfig { config, name, context })
}

/// Returns the contexts of a list such as `a,b`, or all; none for a run with a single context.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) for a name that is not in the kubeconfig, or a kubeconfig without contexts.
pub(super) fn selected_contexts(options: &ConnectOptions, all: bool) -> Result<Vec<String>> {
    let list = options.context.as_deref().unwrap_or_default();
    if all && !list.is_empty() {
        return Err(Error::usage("--all-contexts cannot be used with --context"));
    }
    if !all && !list.contains(',') {
        return Ok(Vec::new());
    }
    let files = read_kubeconfig(options.kubeconfig.as_deref())?;
    let has = |name: &str| files.contexts.iter().any(|context| context.name == name);
    if all {
        let names: Vec<String> = files.contexts.iter().map(|context| context.name.clone()).collect();
        return if names.is_empty() { Err(Error::usage("the kubeconfig has no contexts")) } else { Ok(names) };
    }
    // The name of a context may have a comma.
    if has(list) {
        return Ok(Vec::new());
    }
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        find_context(&files, Some(name), options)?;
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Uses the service account of a pod without a kubeconfig, as kubectl does.
fn resolve_in_cluster(options: &ConnectOptions) -> Result<ResolvedConfig> {
    let mut config = Config::incluster().map_err(|_| {
        Error::failed("no cluster is configured: there is no kubeconfig, and this is not a pod of a cluster")
            .hint("pass --kubeconfig FILE, or set KUBECONFIG")
    })?;
    config.default_retry = false;
    override_user(&mut config.auth_info, options);
    let name = config.cluster_url.host().unwrap_or_default().to_owned();
    Ok(ResolvedConfig { config, name, context: None })
}

fn find_context(files: &Kubeconfig, name: Option<&str>, options: &ConnectOptions) -> Result<Option<Context>> {
    let Some(name) = name else {
        if options.cluster.is_some() || options.server.is_some() {
            return Ok(None);
        }
        let names = files.contexts.iter().map(|context| &context.name);
        return Err(Error::usage("the kubeconfig has no current context").hint(name_hint("--context", names)));
    };
    match files.contexts.iter().find(|context| context.name == name) {
        Some(found) => Ok(Some(found.context.clone().unwrap_or_default())),
        None => Err(Error::usage(format!("context \"{name}\" does not exist"))
            .hint(name_hint("--context", files.contexts.iter().map(|context| &context.name)))),
    }
}

fn find_cluster(files: &Kubeconfig, context: Option<&Context>, options: &ConnectOptions) -> Result<(String, Cluster)> {
    let name = options.cluster.clone().or_else(|| non_empty(context.map(|context| context.cluster.clone())));
    let Some(name) = name else {
        return Ok((String::new(), Cluster::default()));
    };
    match files.clusters.iter().find(|cluster| cluster.name == name) {
        Some(found) => Ok((name, found.cluster.clone().unwrap_or_default())),
        None if options.server.is_some() && options.cluster.is_none() => Ok((name, Cluster::default())),
        None => Err(Error::usage(format!("cluster \"{name}\" does not exist"))
            .hint(name_hint("--cluster", files.clusters.iter().map(|cluster| &cluster.name)))),
    }
}

fn find_user(files: &Kubeconfig, context: Option<&Context>, options: &ConnectOptions) -> Result<(String, AuthInfo)> {
    let name = options.user.clone().or_else(|| non_empty(context.and_then(|context| context.user.clone())));
    let Some(name) = name else {
        return Ok((String::new(), AuthInfo::default()));
    };
    match files.auth_infos.iter().find(|user| user.name == name) {
        Some(found) => Ok((name, found.auth_info.clone().unwrap_or_default())),
        // client-go uses no credentials if a context names a user that does not exist.
        None if options.user.is_none() => Ok((name, AuthInfo::default())),
        None => Err(Error::usage(format!("user \"{name}\" does not exist"))
            .hint(name_hint("--user", files.auth_infos.iter().map(|user| &user.name)))),
    }
}

/// Creates a kubeconfig of the selected entries alone, from which the client library loads certificates and plugins.
fn minimal_kubeconfig(
    cluster_name: String,
    cluster: Cluster,
    user_name: String,
    user: AuthInfo,
    namespace: Option<String>,
) -> Kubeconfig {
    let context =
        Context { cluster: cluster_name.clone(), user: Some(user_name.clone()), namespace, ..Context::default() };
    Kubeconfig {
        clusters: vec![NamedCluster { name: cluster_name, cluster: Some(cluster), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo { name: user_name, auth_info: Some(user), ..NamedAuthInfo::default() }],
        contexts: vec![NamedContext { name: "selected".to_owned(), context: Some(context), ..NamedContext::default() }],
        current_context: Some("selected".to_owned()),
        ..Kubeconfig::default()
    }
}

fn config_error(error: &kube::config::KubeconfigError) -> Error {
    use kube::config::KubeconfigError as E;
    let message = match error {
        E::MissingClusterUrl => "cannot use the kubeconfig: the cluster has no server".to_owned(),
        E::ParseClusterUrl(error) => format!("cannot use the kubeconfig: the server is not a URL: {error}"),
        E::ParseProxyUrl(error) => format!("cannot use the kubeconfig: the proxy-url is not a URL: {error}"),
        E::LoadCertificateAuthority(error) => format!("cannot load the certificate authority: {error}"),
        E::ParseCertificates(_) => "cannot load the certificate authority: not a PEM certificate".to_owned(),
        E::LoadClientCertificate(error) => format!("cannot load the client certificate: {error}"),
        // The error may quote the key.
        E::LoadClientKey(_) => "cannot load the client key".to_owned(),
        _ => "cannot use the kubeconfig: the selected context is not valid".to_owned(),
    };
    Error::failed(message).hint("run 'kubectl config view --minify' to see what is configured")
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn name_hint<'n>(flag: &str, names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let list = match names.as_slice() {
        [] => "none".to_owned(),
        names if names.len() > 20 => format!("{}, … ({} in all)", names[..20].join(", "), names.len()),
        names => names.join(", "),
    };
    format!("name one with {flag}; the kubeconfig has: {list}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Kubeconfig {
        let yaml = "
apiVersion: v1
kind: Config
current-context: prod
contexts:
- {name: prod, context: {cluster: prod, user: ann, namespace: shop}}
- {name: bare, context: {cluster: prod, user: missing}}
clusters:
- {name: prod, cluster: {server: 'https://prod:6443'}}
users:
- {name: ann, user: {token: from-file}}
";
        Kubeconfig::from_yaml(yaml).expect("the sample is a kubeconfig")
    }

    #[test]
    fn an_unknown_context_lists_the_known_ones() {
        let error = find_context(&files(), Some("prd"), &ConnectOptions::default()).expect_err("there is no prd");
        assert_eq!(error.message(), "context \"prd\" does not exist");
        assert!(error.hints()[0].contains("prod, bare"));
    }

    #[test]
    fn a_user_that_only_the_context_names_may_be_missing() {
        let files = files();
        let context = find_context(&files, Some("bare"), &ConnectOptions::default()).expect("it is there");
        assert!(find_user(&files, context.as_ref(), &ConnectOptions::default()).is_ok());
        let options = ConnectOptions { user: Some("missing".into()), ..ConnectOptions::default() };
        assert!(find_user(&files, context.as_ref(), &options).is_err());
    }
}
