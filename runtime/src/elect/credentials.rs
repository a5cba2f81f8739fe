//! The way to the API server: a service account's files in a Pod, or a kubeconfig elsewhere.
use anyhow::{Context, Result, bail};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// How the API server is reached.
#[derive(Debug, clap::Args)]
pub struct CredentialsArgs {
    /// Directory with the files `token`, `ca.crt` and `namespace` of a service account; the token is read anew as it is renewed
    #[arg(
        long,
        env = "OUTRIGGER_SERVICE_ACCOUNT",
        value_name = "DIRECTORY",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount"
    )]
    service_account: PathBuf,
    /// Kubeconfig to use instead of a service account, outside of a cluster
    #[arg(long, env = "OUTRIGGER_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the Leases; default: the service account's, or that of the kubeconfig's context
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
}

impl CredentialsArgs {
    /// A client, and the namespace. Nobody is called yet; a connection must come about within `connect`.
    ///
    /// # Errors
    /// When there is nothing to go by, or it cannot be used.
    pub async fn client(&self, connect: Duration) -> Result<(Client, String)> {
        let mut config = match &self.kubeconfig {
            Some(path) => from_kubeconfig(path).await?,
            None => from_service_account(&self.service_account)?,
        };
        config.connect_timeout = Some(connect);
        // An election knows best when to try again.
        config.default_retry = false;
        let namespace = self.namespace.clone().filter(|namespace| !namespace.is_empty());
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("failed to make a client of the API server")?;
        Ok((client, namespace))
    }
}

async fn from_kubeconfig(path: &Path) -> Result<Config> {
    let unusable = || format!("failed to use the kubeconfig {}", path.display());
    let kubeconfig = Kubeconfig::read_from(path).with_context(unusable)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(unusable)
}

fn from_service_account(directory: &Path) -> Result<Config> {
    let (Ok(host), Ok(port)) = (env::var(HOST), env::var(PORT)) else {
        bail!("{HOST} and {PORT} are not set, as they are in a Pod; outside of a cluster, give --kubeconfig");
    };
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host,
    };
    let url = format!("https://{host}:{port}");
    let mut config = Config::new(
        url.parse()
            .with_context(|| format!("{HOST} and {PORT} make no URL: {url}"))?,
    );
    let file = |name: &str| {
        let path = directory.join(name);
        let missing = || {
            format!(
                "failed to read {}; the policy leader-elector mounts a service account's files there, --service-account names another \
                 directory",
                path.display()
            )
        };
        let text = fs::read_to_string(&path).with_context(missing)?;
        Ok::<_, anyhow::Error>((path, text))
    };
    let (token, _) = file("token")?;
    config.auth_info.token_file = Some(token.display().to_string());
    config.root_cert_file = Some(file("ca.crt")?.0);
    // That file alone is trusted. With none here the client would begin by reading the system's authorities, and a small image
    // has none.
    config.root_cert = Some(Vec::new());
    if let Ok((_, namespace)) = file("namespace") {
        config.default_namespace = namespace.trim().to_owned();
    }
    Ok(config)
}
