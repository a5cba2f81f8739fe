//! Builds the programs of the modules `tests/kubernetes`, `tests/node/cluster/coredns`, `tests/helm` and of those in `tests/programs`
//! with Go, once, each into a directory of its module and version below Cargo's target directory.
use crate::demand::{Absent, say};
use crate::{another, rundir};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Kubernetes' database.
    Etcd,
    /// The API server.
    ApiServer,
    /// The command line client.
    Kubectl,
    /// Garbage collection, ReplicaSets, Jobs, tokens.
    ControllerManager,
    /// Chooses nodes.
    Scheduler,
    /// Runs Pods.
    Kubelet,
    /// Services.
    KubeProxy,
    /// The cluster's name server.
    CoreDns,
    /// Applies JSON Patches with the API server's library.
    JsonPatch,
    /// The nginx project's exporter of metrics.
    NginxExporter,
    /// The queue engine NATS, with JetStream.
    NatsServer,
    /// Prometheus, of whose discoveries it has that of Pods alone.
    Prometheus,
    /// Installs the chart.
    Helm,
    /// Signs images, and verifies that they are.
    Cosign,
    /// Keeps images, in memory.
    Registry,
}

/// How a program is built, and where it is kept.
struct Recipe {
    name: &'static str,
    /// Where its Go module lies, from the root of the sources.
    module: &'static str,
    /// Below this directory of Cargo's target directory it is kept, by version.
    kept: &'static str,
    /// The module whose version counts.
    versioned: &'static str,
    package: &'static str,
    /// Sources of our own that are built into it.
    sources: &'static [&'static str],
    /// It goes into an image that holds nothing else.
    is_static: bool,
    /// What is left out of it, or put in.
    tags: &'static str,
}

const OF_KUBERNETES: Recipe = Recipe {
    name: "",
    module: "tests/kubernetes",
    kept: "kubernetes",
    versioned: "k8s.io/kubernetes",
    package: "",
    sources: &[],
    is_static: false,
    tags: "",
};

const fn of_kubernetes(name: &'static str, package: &'static str) -> Recipe {
    Recipe {
        name,
        package,
        ..OF_KUBERNETES
    }
}

impl Tool {
    /// The file's name.
    pub fn name(self) -> &'static str {
        self.recipe().name
    }

    fn recipe(self) -> Recipe {
        match self {
            Tool::Etcd => of_kubernetes("etcd", "go.etcd.io/etcd/server/v3"),
            Tool::ApiServer => of_kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            Tool::Kubectl => of_kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            Tool::ControllerManager => of_kubernetes(
                "kube-controller-manager",
                "k8s.io/kubernetes/cmd/kube-controller-manager",
            ),
            Tool::Scheduler => of_kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            Tool::Kubelet => of_kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
            Tool::KubeProxy => of_kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
            Tool::JsonPatch => Recipe {
                sources: &["jsonpatch/main.go"],
                ..of_kubernetes("jsonpatch", "./jsonpatch")
            },
            Tool::CoreDns => Recipe {
                name: "coredns",
                module: "tests/node/cluster/coredns",
                kept: "coredns",
                versioned: "github.com/coredns/coredns",
                package: ".",
                sources: &["main.go"],
                is_static: true,
                tags: "",
            },
            Tool::NginxExporter => Recipe {
                name: "nginx-prometheus-exporter",
                module: "tests/programs/exporter",
                kept: "programs",
                versioned: "github.com/nginxinc/nginx-prometheus-exporter",
                package: "github.com/nginxinc/nginx-prometheus-exporter",
                sources: &[],
                is_static: false,
                tags: "",
            },
            Tool::NatsServer => Recipe {
                name: "nats-server",
                module: "tests/programs/nats",
                kept: "programs",
                versioned: "github.com/nats-io/nats-server/v2",
                package: "github.com/nats-io/nats-server/v2",
                sources: &[],
                is_static: false,
                tags: "",
            },
            Tool::Prometheus => Recipe {
                name: "prometheus",
                module: "tests/programs/prometheus",
                kept: "programs",
                versioned: "github.com/prometheus/prometheus",
                package: "github.com/prometheus/prometheus/cmd/prometheus",
                sources: &[],
                is_static: false,
                tags: "remove_all_sd,enable_kubernetes_sd",
            },
            Tool::Cosign => Recipe {
                name: "cosign",
                module: "tests/programs/cosign",
                kept: "programs",
                versioned: "github.com/sigstore/cosign/v3",
                package: ".",
                sources: &["main.go"],
                is_static: false,
                tags: "",
            },
            Tool::Registry => Recipe {
                name: "registry",
                module: "tests/programs/cosign",
                kept: "programs",
                versioned: "github.com/google/go-containerregistry",
                package: "github.com/google/go-containerregistry/cmd/registry",
                sources: &[],
                is_static: false,
                tags: "",
            },
            Tool::Helm => Recipe {
                name: "helm",
                module: "tests/helm",
                kept: "helm",
                versioned: "helm.sh/helm/v4",
                package: "helm.sh/helm/v4/cmd/helm",
                sources: &[],
                is_static: false,
                tags: "",
            },
        }
    }
}

/// The built program, at once when it was built before from the same module.
///
/// # Errors
/// When Go is not installed, or the build fails.
pub fn build(tool: Tool) -> Result<PathBuf, Absent> {
    if Command::new("go").arg("version").output().is_err() {
        return Err(Absent::NotInstalled(what_to_install(tool)));
    }
    build_once(tool).map_err(|error| Absent::Broken(format!("failed to build {}: {error:#}", tool.name())))
}

fn what_to_install(tool: Tool) -> String {
    let go = "install Go (Debian: apt-get install golang-go; elsewhere https://go.dev/dl)";
    match tool {
        Tool::JsonPatch => format!("the API server's patch library is needed: {go}"),
        Tool::NginxExporter => format!("the nginx project's exporter is needed: {go}"),
        Tool::CoreDns => format!("the cluster's name server is needed: {go}"),
        Tool::NatsServer => format!("nats-server is needed: {go}"),
        Tool::Prometheus => format!("Prometheus is needed: {go}"),
        Tool::Helm => format!("helm is needed: {go}"),
        Tool::Cosign => format!("cosign is needed: {go}"),
        Tool::Registry => format!("a registry is needed: {go}"),
        _ => format!(
            "an API server is needed: {go}, or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl"
        ),
    }
}

fn build_once(tool: Tool) -> Result<PathBuf> {
    let recipe = tool.recipe();
    let (source, versioned) = (recipe.module, recipe.versioned);
    let module = module(&recipe)?;
    let inputs = inputs(&module, &recipe)?;
    let version = version(&inputs, versioned).with_context(|| format!("{source}/go.mod requires no {versioned}"))?;
    let dir = rundir::target().join(recipe.kept).join(&version);
    fs::create_dir_all(&dir)?;
    // Other test binaries wait here for the one that builds.
    let turn = File::create(dir.join(format!("{}.lock", tool.name())))?;
    turn.lock()?;
    let (path, stamp) = (dir.join(tool.name()), dir.join(format!("{}.built-from", tool.name())));
    if path.is_file() && fs::read_to_string(&stamp).is_ok_and(|built_from| built_from == inputs) {
        return Ok(path);
    }
    let partial = dir.join(format!("{}.partial", tool.name()));
    compile(&module, &recipe, &version, &partial)?;
    fs::rename(&partial, &path)?;
    fs::write(&stamp, inputs)?;
    Ok(path)
}

/// The directory with the module.
fn module(recipe: &Recipe) -> Result<PathBuf> {
    let module = rundir::workspace().join(recipe.module);
    match another::wanted() {
        Some(version) if recipe.module == OF_KUBERNETES.module => {
            let directory = rundir::target().join("kubernetes").join(&version);
            another::module(&version, &directory.join("module"), &module)
        }
        _ => Ok(module),
    }
}

/// All that the program depends on.
fn inputs(module: &Path, recipe: &Recipe) -> Result<String> {
    let mut inputs = fs::read_to_string(module.join("go.mod"))? + recipe.tags;
    for source in recipe.sources {
        inputs += &fs::read_to_string(module.join(source))?;
    }
    Ok(inputs)
}

/// The version of `name` in a `go.mod`, with the `v`.
fn version(module: &str, name: &str) -> Option<String> {
    let mut lines = module
        .lines()
        .map(|line| line.trim_start_matches("require ").split_whitespace());
    let version = lines.find_map(|mut words| (words.next()? == name).then(|| words.next())?)?;
    Some(version.to_owned())
}

fn compile(module: &Path, recipe: &Recipe, version: &str, output: &Path) -> Result<()> {
    let log = output.with_extension("log");
    let mut command = Command::new("go");
    command
        .current_dir(module)
        .arg("build")
        .args(another::flags(module))
        .args(["-trimpath", "-tags", recipe.tags, "-ldflags", &stamps(version)?]);
    command.arg("-o").arg(output).arg(recipe.package);
    if recipe.is_static {
        command.env("CGO_ENABLED", "0");
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?);
    let child = command.spawn().context("failed to start go")?;
    if watch(child, recipe.name, version)? {
        return Ok(());
    }
    bail!("go build says:\n{}", fs::read_to_string(&log)?)
}

/// Without these the programs would call themselves v0.0.0-master.
fn stamps(version: &str) -> Result<String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next(), numbers.next());
    let (major, minor) = major
        .zip(minor)
        .with_context(|| format!("{version} is not a version"))?;
    let base = "k8s.io/component-base/version";
    Ok(format!(
        "-s -w -X {base}.gitVersion={version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion={version}"
    ))
}

/// Waits for the build, with a word now and then; true when it succeeded.
fn watch(mut child: Child, name: &str, version: &str) -> Result<bool> {
    let start = Instant::now();
    let mut next_word = Duration::from_secs(2);
    loop {
        let elapsed = start.elapsed();
        if let Some(status) = child.try_wait()? {
            if next_word > Duration::from_secs(2) {
                say(&format!("{name} {version}: took {} s", elapsed.as_secs()));
            }
            return Ok(status.success());
        }
        if elapsed >= next_word {
            let hint = "once; minutes the first time; kept under target/";
            say(&format!("{name} {version}: building ({hint}): {} s", elapsed.as_secs()));
            next_word = elapsed + Duration::from_secs(20);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Where Go keeps the sources of a module that `tests/helm/crds` requires; it is downloaded the first time.
///
/// # Errors
/// When Go is not installed, or cannot reach a module proxy.
pub fn sources(module: &str) -> Result<PathBuf, Absent> {
    let mut command = Command::new("go");
    command
        .current_dir(rundir::workspace().join("tests/helm/crds"))
        .args(["mod", "download", "-json", module]);
    let output = command.output().map_err(|_| {
        Absent::NotInstalled(format!(
            "the sources of {module} are needed: install Go (https://go.dev/dl)"
        ))
    })?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match told["Dir"].as_str() {
        Some(directory) => Ok(directory.into()),
        None => Err(Absent::Broken(format!(
            "failed to download {module}: {}{}",
            told["Error"].as_str().unwrap_or_default(),
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_read_from_the_module() {
        let module =
            "module x\n\nrequire (\n\tk8s.io/api v0.37.2 // indirect\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\n";
        assert_eq!(super::version(module, "k8s.io/kubernetes").as_deref(), Some("v1.37.2"));
        assert!(super::stamps("v1.37.2").unwrap().contains("gitMinor=37 "));
    }
}
