//! Which cluster, and as whom: the files that `kubectl` reads, or the service account of the pod that we run in.

use crate::error::{ClusterError, Problem, causes};
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{
    AuthInfo, Config, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo,
};
use std::io::IsTerminal;
use std::path::PathBuf;

/// Which cluster, and as whom. What is not said is taken from the settings that `kubectl` uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// A file of settings. Otherwise those that `KUBECONFIG` names, or `~/.kube/config`, or the service account of the pod
    /// that this runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; otherwise its current one.
    pub context: Option<String>,
}

/// What the settings say.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) files: Vec<PathBuf>,
    /// None within a pod of the cluster.
    pub(crate) context: Option<String>,
}

impl Settings {
    /// Reads them.
    pub(crate) async fn read(place: &Place) -> Result<Self, ClusterError> {
        let files = files(place)?;
        if files.is_empty() {
            return within_a_pod(place);
        }
        let listed = files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let failed = |error: KubeconfigError| {
            ClusterError::new(Problem::Invalid, format!("read {listed}: {}", words(&error)))
        };
        let kubeconfig = merged(&files).map_err(failed)?;
        let context = place.context.clone().or_else(|| kubeconfig.current_context.clone());
        let known = kubeconfig.contexts.iter().map(|known| known.name.clone()).collect::<Vec<_>>();
        let Some(context) = context.filter(|context| known.contains(context)) else {
            let wanted = match place.context.as_ref().or(kubeconfig.current_context.as_ref()) {
                Some(name) => format!("find the context `{name}` in {listed}: there is none of this name"),
                None => format!("find the current context in {listed}: it names none"),
            };
            let message = match known.as_slice() {
                [] => format!("{wanted}, and no other"),
                known => format!("{wanted}; there are: {}", known.join(", ")),
            };
            return Err(ClusterError::new(Problem::Invalid, message));
        };
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)?;
        if config.root_cert.as_ref().is_some_and(Vec::is_empty) {
            let message =
                format!("read {listed}: the certificate authority of context {context} holds no certificate");
            return Err(ClusterError::new(Problem::Invalid, message));
        }
        Ok(Self { config: behind_a_proxy(config), files, context: Some(context) })
    }
}

/// The files of settings that there are; none within a pod.
fn files(place: &Place) -> Result<Vec<PathBuf>, ClusterError> {
    if let Some(path) = &place.kubeconfig {
        return Ok(vec![path.clone()]);
    }
    if let Some(named) = std::env::var_os("KUBECONFIG").filter(|named| !named.is_empty()) {
        // As `kubectl` does it: a list may name files that are not there.
        let there: Vec<PathBuf> = std::env::split_paths(&named).filter(|path| path.is_file()).collect();
        if there.is_empty() {
            let message = format!("read KUBECONFIG={}: there is no such file", named.display());
            return Err(ClusterError::new(Problem::Invalid, message));
        }
        return Ok(there);
    }
    let usual = std::env::home_dir().map(|home| home.join(".kube/config"));
    Ok(usual.filter(|path| path.is_file()).into_iter().collect())
}

fn within_a_pod(place: &Place) -> Result<Settings, ClusterError> {
    let invalid = |message: String| Err(ClusterError::new(Problem::Invalid, message));
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        let message = "find a cluster: there is no KUBECONFIG, no ~/.kube/config, and this is no pod; name a file: \
                       KUBECONFIG=PATH";
        return invalid(message.to_owned());
    }
    if let Some(context) = &place.context {
        return invalid(format!(
            "find the context {context}: within a pod there are none; name a file: KUBECONFIG=PATH"
        ));
    }
    match Config::incluster() {
        Ok(config) => Ok(Settings { config: behind_a_proxy(config), files: Vec::new(), context: None }),
        Err(error) => invalid(format!("read the service account of this pod: {}", causes(&error))),
    }
}

fn merged(files: &[PathBuf]) -> Result<Kubeconfig, KubeconfigError> {
    let mut all = Kubeconfig::default();
    for path in files {
        all = all.merge(Kubeconfig::read_from(path)?)?;
    }
    // Ours to decide: `kube` would refuse lists of exceptions that others understand.
    for named in &mut all.clusters {
        if let Some(cluster) = named.cluster.as_mut().filter(|cluster| cluster.proxy_url.is_none()) {
            cluster.proxy_url = Some(UNDECIDED.to_owned());
        }
    }
    all.auth_infos.iter_mut().for_each(keep_from_our_input);
    Ok(all)
}

/// Stands where a cluster names no proxy of its own.
const UNDECIDED: &str = "http://undecided.invalid";

/// A plugin for credentials may ask a person at a terminal. What else comes in is not for it.
fn keep_from_our_input(named: &mut NamedAuthInfo) {
    if std::io::stdin().is_terminal() {
        return;
    }
    if let Some(AuthInfo { exec: Some(plugin), .. }) = &mut named.auth_info {
        plugin.interactive_mode = Some(ExecInteractiveMode::Never);
    }
}

/// Goes the way that `HTTPS_PROXY` and `NO_PROXY` say, where the settings say none.
fn behind_a_proxy(mut config: Config) -> Config {
    if config.proxy_url.as_ref().is_none_or(|proxy| proxy.host() == Some("undecided.invalid")) {
        let intercept = Matcher::from_env().intercept(&config.cluster_url);
        config.proxy_url = intercept.map(|intercept| intercept.uri().clone());
    }
    // Plugins are told of it too.
    if let Some(cluster) = config.auth_info.exec.as_mut().and_then(|plugin| plugin.cluster.as_mut()) {
        cluster.proxy_url = config.proxy_url.as_ref().map(ToString::to_string);
    }
    config
}

/// What is wrong with a file, without what stands in it.
fn words(error: &KubeconfigError) -> String {
    match error {
        // Its own words would show the lines around the place, and tokens with them.
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => format!("line {}, column {} is not as it should be", place.line(), place.column()),
            None => "it is not YAML, or not of this kind".to_owned(),
        },
        KubeconfigError::ParseCertificates(_) => "its certificate authority is no PEM".to_owned(),
        KubeconfigError::ParseProxyUrl(_) => "its `proxy-url` is none".to_owned(),
        other => causes(other),
    }
}
