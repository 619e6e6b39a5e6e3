//! From kubeconfig files and flags to the one cluster and user that are meant, with kubectl's precedence.
//!
//! Sources: client-go `tools/clientcmd/{loader,client_config,merged_client_builder}.go`. The client library's own
//! inference takes no flags and fails on a missing file in a KUBECONFIG list, which kubectl skips.

use std::path::Path;

use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};

use super::ConnectOptions;
use crate::error::{Error, Result};

/// What the kubeconfig and the flags come to.
pub(super) struct Target {
    pub config: Config,
    /// The context, else the cluster's name, else the server's host.
    pub name: String,
    pub context: Option<String>,
}

pub(super) async fn resolve(options: &ConnectOptions) -> Result<Target> {
    if options.impersonate.is_none() && (!options.impersonate_group.is_empty() || options.impersonate_uid.is_some()) {
        return Err(Error::usage("--as-group and --as-uid need --as"));
    }
    if options.insecure_skip_tls_verify && options.certificate_authority.is_some() {
        return Err(Error::usage("--insecure-skip-tls-verify and --certificate-authority exclude each other"));
    }
    let files = read(options.kubeconfig.as_deref())?;
    let empty = files.clusters.is_empty() && files.contexts.is_empty();
    if empty && options.server.is_none() && options.context.is_none() && options.cluster.is_none() {
        return in_cluster(options);
    }

    let context_name = options.context.clone().or_else(|| nonempty(files.current_context.clone()));
    let context = pick_context(&files, context_name.as_deref(), options)?;
    let (cluster_name, mut cluster) = pick_cluster(&files, context.as_ref(), options)?;
    let (user_name, mut user) = pick_user(&files, context.as_ref(), options)?;
    override_cluster(&mut cluster, options);
    override_user(&mut user, options);
    if let Some(plugin) = user.exec.as_mut().filter(|_| options.unattended) {
        if plugin.interactive_mode == Some(ExecInteractiveMode::Always) {
            return Err(Error::failed(
                "the credential plugin of this context asks questions, and nobody can answer them here",
            )
            .hint("back this cluster up by itself"));
        }
        plugin.interactive_mode = Some(ExecInteractiveMode::Never);
    }

    let config = Config::from_custom_kubeconfig(
        single(cluster_name.clone(), cluster, user_name, user, context.and_then(|context| context.namespace)),
        &KubeConfigOptions::default(),
    )
    .await
    .map_err(|error| unusable(&error))?;
    let mut config = config;
    config.default_retry = false;
    let host = config.cluster_url.host().unwrap_or_default().to_owned();
    let context = context_name.filter(|_| !empty);
    let name = context.clone().or_else(|| nonempty(Some(cluster_name))).unwrap_or(host);
    Ok(Target { config, name, context })
}

/// The contexts that a list such as `a,b` names, or all; none when one context or the current one is meant.
///
/// # Errors
/// [`Usage`](crate::error::Kind::Usage) for a name that is not in the kubeconfig, or a kubeconfig without contexts.
pub(super) fn selected_contexts(options: &ConnectOptions, all: bool) -> Result<Vec<String>> {
    let list = options.context.as_deref().unwrap_or_default();
    if all && !list.is_empty() {
        return Err(Error::usage("--all-contexts and --context exclude each other"));
    }
    if !all && !list.contains(',') {
        return Ok(Vec::new());
    }
    let files = read(options.kubeconfig.as_deref())?;
    let has = |name: &str| files.contexts.iter().any(|context| context.name == name);
    if all {
        let names: Vec<String> = files.contexts.iter().map(|context| context.name.clone()).collect();
        return if names.is_empty() { Err(Error::usage("the kubeconfig has no contexts")) } else { Ok(names) };
    }
    // A comma may be part of a name.
    if has(list) {
        return Ok(Vec::new());
    }
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        pick_context(&files, Some(name), options)?;
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// All files that apply, merged; the first to set a value wins.
fn read(explicit: Option<&Path>) -> Result<Kubeconfig> {
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
            Error::failed(format!(
                "the kubeconfig {} does not go with the others in KUBECONFIG: {error}",
                path.display()
            ))
        })?;
    }
    Ok(merged)
}

fn read_file(path: &Path) -> Result<Kubeconfig> {
    if let Err(error) = std::fs::metadata(path) {
        return Err(Error::failed(format!("cannot read the kubeconfig {}: {error}", path.display())));
    }
    Kubeconfig::read_from(path).map_err(|error| match error {
        kube::config::KubeconfigError::ReadConfig(error, _) => {
            Error::failed(format!("cannot read the kubeconfig {}: {error}", path.display()))
        }
        // The parser's message may quote the line, and a kubeconfig's lines hold keys and tokens.
        _ => Error::failed(format!("the kubeconfig {} is not valid", path.display()))
            .hint(format!("'kubectl config view --kubeconfig {}' says where", path.display())),
    })
}

/// A pod without a kubeconfig uses its service account, as kubectl does there.
fn in_cluster(options: &ConnectOptions) -> Result<Target> {
    let mut config = Config::incluster().map_err(|_| {
        Error::failed("no cluster is configured: there is no kubeconfig, and this is not a pod of a cluster")
            .hint("pass --kubeconfig FILE, or set KUBECONFIG")
    })?;
    config.default_retry = false;
    override_user(&mut config.auth_info, options);
    let name = config.cluster_url.host().unwrap_or_default().to_owned();
    Ok(Target { config, name, context: None })
}

fn pick_context(files: &Kubeconfig, name: Option<&str>, options: &ConnectOptions) -> Result<Option<Context>> {
    let Some(name) = name else {
        if options.cluster.is_some() || options.server.is_some() {
            return Ok(None);
        }
        return Err(Error::usage("the kubeconfig has no current context")
            .hint(format!("pass --context: {}", known(files.contexts.iter().map(|context| &context.name)))));
    };
    let found = files.contexts.iter().find(|context| context.name == name);
    match found {
        Some(found) => Ok(Some(found.context.clone().unwrap_or_default())),
        None => Err(Error::usage(format!("context \"{name}\" does not exist"))
            .hint(format!("the kubeconfig has: {}", known(files.contexts.iter().map(|context| &context.name))))),
    }
}

fn pick_cluster(files: &Kubeconfig, context: Option<&Context>, options: &ConnectOptions) -> Result<(String, Cluster)> {
    let name = options.cluster.clone().or_else(|| nonempty(context.map(|context| context.cluster.clone())));
    let Some(name) = name else {
        return Ok((String::new(), Cluster::default()));
    };
    match files.clusters.iter().find(|cluster| cluster.name == name) {
        Some(found) => Ok((name, found.cluster.clone().unwrap_or_default())),
        None if options.server.is_some() && options.cluster.is_none() => Ok((name, Cluster::default())),
        None => Err(Error::usage(format!("cluster \"{name}\" does not exist"))
            .hint(format!("the kubeconfig has: {}", known(files.clusters.iter().map(|cluster| &cluster.name))))),
    }
}

fn pick_user(files: &Kubeconfig, context: Option<&Context>, options: &ConnectOptions) -> Result<(String, AuthInfo)> {
    let wanted = options.user.clone().or_else(|| nonempty(context.and_then(|context| context.user.clone())));
    let Some(name) = wanted else {
        return Ok((String::new(), AuthInfo::default()));
    };
    match files.auth_infos.iter().find(|user| user.name == name) {
        Some(found) => Ok((name, found.auth_info.clone().unwrap_or_default())),
        // client-go goes on without credentials when a context names a user that is not there.
        None if options.user.is_none() => Ok((name, AuthInfo::default())),
        None => Err(Error::usage(format!("user \"{name}\" does not exist"))
            .hint(format!("the kubeconfig has: {}", known(files.auth_infos.iter().map(|user| &user.name))))),
    }
}

/// client-go `getCluster`: a server from the command line takes the TLS name from there, too, and an insecure flag
/// clears the authority.
fn override_cluster(cluster: &mut Cluster, options: &ConnectOptions) {
    if let Some(server) = &options.server {
        let server = if server.contains("://") { server.clone() } else { format!("https://{server}") };
        cluster.server = Some(server);
        cluster.tls_server_name = options.tls_server_name.clone();
    }
    if options.tls_server_name.is_some() {
        cluster.tls_server_name = options.tls_server_name.clone();
    }
    if let Some(file) = &options.certificate_authority {
        cluster.certificate_authority = Some(file.display().to_string());
        cluster.certificate_authority_data = None;
        cluster.insecure_skip_tls_verify = None;
    }
    if options.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = None;
    }
}

/// A token or certificate from the command line replaces what the kubeconfig has of the same kind; a token also
/// silences the plugins that would fetch another one.
fn override_user(user: &mut AuthInfo, options: &ConnectOptions) {
    if let Some(token) = &options.token {
        user.token = Some(token.clone().into());
        user.token_file = None;
        user.exec = None;
        user.auth_provider = None;
        user.username = None;
        user.password = None;
    }
    if let Some(file) = &options.client_certificate {
        user.client_certificate = Some(file.display().to_string());
        user.client_certificate_data = None;
    }
    if let Some(file) = &options.client_key {
        user.client_key = Some(file.display().to_string());
        user.client_key_data = None;
    }
    if let Some(name) = &options.impersonate {
        user.impersonate = Some(name.clone());
        user.impersonate_groups = (!options.impersonate_group.is_empty()).then(|| options.impersonate_group.clone());
        user.impersonate_uid = options.impersonate_uid.clone();
        user.impersonate_user_extra = None;
    }
}

/// A kubeconfig with nothing but the chosen parts, for the client library to load certificates and plugins from.
fn single(
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
        contexts: vec![NamedContext { name: "chosen".to_owned(), context: Some(context), ..NamedContext::default() }],
        current_context: Some("chosen".to_owned()),
        ..Kubeconfig::default()
    }
}

fn unusable(error: &kube::config::KubeconfigError) -> Error {
    use kube::config::KubeconfigError as E;
    let what = match error {
        E::MissingClusterUrl => "the chosen cluster has no server address".to_owned(),
        E::ParseClusterUrl(error) => format!("the address of the API server is not a URL: {error}"),
        E::ParseProxyUrl(error) => format!("the proxy address is not a URL: {error}"),
        E::LoadCertificateAuthority(error) => format!("the certificate authority cannot be loaded: {error}"),
        E::ParseCertificates(_) => "the certificate authority is not a PEM certificate".to_owned(),
        E::LoadClientCertificate(error) => format!("the client certificate cannot be loaded: {error}"),
        E::LoadClientKey(_) => "the client key cannot be loaded".to_owned(),
        _ => "the chosen part of the kubeconfig cannot be used".to_owned(),
    };
    Error::failed(what).hint("'kubectl config view --minify' shows what is configured")
}

fn nonempty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn known<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        names if names.len() > 20 => format!("{}, … ({} in all)", names[..20].join(", "), names.len()),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: prod
contexts:
- {name: prod, context: {cluster: prod, user: ann, namespace: shop}}
- {name: bare, context: {cluster: prod, user: nobody}}
clusters:
- {name: prod, cluster: {server: 'https://prod:6443', tls-server-name: inside, certificate-authority-data: eA==}}
users:
- {name: ann, user: {token: from-file, exec: {command: plugin}}}
";

    fn files() -> Kubeconfig {
        Kubeconfig::from_yaml(FILE).expect("the sample is a kubeconfig")
    }

    #[test]
    fn an_unknown_context_lists_the_known_ones() {
        let error = pick_context(&files(), Some("prd"), &ConnectOptions::default()).expect_err("there is no prd");
        assert_eq!(error.message(), "context \"prd\" does not exist");
        assert!(error.hints()[0].contains("prod, bare"));
    }

    #[test]
    fn a_server_from_the_command_line_forgets_the_files_tls_name() {
        let mut cluster = files().clusters[0].cluster.clone().expect("it is there");
        let options = ConnectOptions { server: Some("10.0.0.1:6443".into()), ..ConnectOptions::default() };
        override_cluster(&mut cluster, &options);
        assert_eq!(cluster.server.as_deref(), Some("https://10.0.0.1:6443"));
        assert_eq!(cluster.tls_server_name, None);
    }

    #[test]
    fn the_insecure_flag_clears_the_authority() {
        let mut cluster = files().clusters[0].cluster.clone().expect("it is there");
        override_cluster(&mut cluster, &ConnectOptions { insecure_skip_tls_verify: true, ..ConnectOptions::default() });
        assert_eq!(cluster.certificate_authority_data, None);
        assert_eq!(cluster.insecure_skip_tls_verify, Some(true));
    }

    #[test]
    fn a_token_silences_the_plugin() {
        let mut user = files().auth_infos[0].auth_info.clone().expect("it is there");
        override_user(&mut user, &ConnectOptions { token: Some("t".into()), ..ConnectOptions::default() });
        assert!(user.exec.is_none());
        assert!(user.token.is_some());
    }

    #[test]
    fn a_user_that_only_the_context_names_may_be_missing() {
        let files = files();
        let context = pick_context(&files, Some("bare"), &ConnectOptions::default()).expect("it is there");
        assert!(pick_user(&files, context.as_ref(), &ConnectOptions::default()).is_ok());
        let options = ConnectOptions { user: Some("nobody".into()), ..ConnectOptions::default() };
        assert!(pick_user(&files, context.as_ref(), &options).is_err());
    }
}
