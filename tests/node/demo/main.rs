//! `make demo`: a node with Outrigger and an example of each bundled policy, which stays until `make demo-down`.
//!
//! Progress goes to stderr; to stdout what to try then. What fails is taken away again, whatever ends this process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the images are made by the tests' code; the node goes away when it panics"
)]

#[path = "../applications.rs"]
mod applications;
#[path = "../images/mod.rs"]
mod images;
mod progress;
#[path = "../stand_in.rs"]
mod stand_in;

use anyhow::{Context, Result, anyhow, bail};
use outrigger_harness::assets::{Program, program};
use outrigger_harness::demand::Absent;
use outrigger_harness::{Helm, Node, Page, cargo, rundir};
use progress::Progress;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const NAMESPACE: &str = "demo";
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match demo().await {
        Ok(told) => {
            print!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("make demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<String> {
    let progress = Progress::begin();
    let node = Node::claim().map_err(why)?;
    // Here, and not while others wait for it.
    for tool in [Program::Helm, Program::NatsServer] {
        program(tool).map_err(why)?;
    }
    progress.done("the programs of Kubernetes are built, helm and nats-server");
    match bring_up(&node, &progress).await {
        Ok(kubeconfig) => {
            let told = what_to_try(&kubeconfig, node.programs());
            node.stay()?;
            Ok(told)
        }
        Err(error) if node.stays() => Err(error.context("what was there before stays; make demo-down takes it away")),
        Err(error) => {
            progress.done("failed; what has come up is taken away");
            node.down()?;
            Err(error)
        }
    }
}

fn why(absent: Absent) -> anyhow::Error {
    match absent {
        Absent::NotInstalled(why) | Absent::Elsewhere(why) | Absent::Broken(why) => anyhow!(why),
    }
}

/// The kubeconfig for who tries it out.
async fn bring_up(node: &Node, progress: &Progress) -> Result<PathBuf> {
    // The script tells its own time.
    node.up(|line| progress.done(line.split_once(" s  ").map_or(line, |(_, what)| what)))?;
    import_images(node)?;
    progress.done("images are made of programs of this machine");
    install(node).await?;
    progress.done("Outrigger is installed by its chart, and registered");
    apply_examples(node, progress).await?;
    for tool in ["helm", "outrigger"] {
        node.add_program(tool, &tool_path(tool)?)?;
    }
    kubeconfig(node).await
}

fn tool_path(tool: &str) -> Result<PathBuf> {
    match tool {
        "helm" => program(Program::Helm).map_err(why),
        _ => Ok(cargo::beside(tool)),
    }
}

fn import_images(node: &Node) -> Result<()> {
    use images::own;
    for import in [
        own::outrigger,
        own::runtime,
        own::twemproxy,
        own::nginx_exporter,
        own::python,
        stand_in::fluent_bit,
        stand_in::git_sync,
        applications::nginx,
        applications::memcached,
    ] {
        import(node);
    }
    applications::nats(node).map_err(why)
}

fn bundled() -> Result<Vec<String>> {
    let entries = fs::read_dir(rundir::workspace().join("policies"))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

async fn install(node: &Node) -> Result<()> {
    let helm = Helm::find().context("helm is needed")?.with(&node.kubeconfig());
    let values = json!({"policies": {"bundled": bundled()?}, "countPods": true});
    let place = ["--namespace", "outrigger-system", "--create-namespace"];
    let install = [
        "upgrade",
        "--install",
        "outrigger",
        "charts/outrigger",
        "--wait",
        "--values",
        "-",
    ];
    let output = helm.run(&[&install[..], &place].concat(), &values).await;
    if !output.success {
        bail!("helm fails: {}{}", output.stdout, output.stderr);
    }
    let configuration = "mutatingwebhookconfiguration/00-outrigger-pods";
    kubectl(node, &["wait", "--for=create", configuration, "--timeout=60s"]).await?;
    let ready = [
        "wait",
        "--for=condition=Ready",
        "clusterinjectionpolicies",
        "--all",
        "--timeout=60s",
    ];
    kubectl(node, &ready).await?;
    is_called(node).await
}

/// Until the API server calls it, which hears of a new configuration a moment later.
async fn is_called(node: &Node) -> Result<()> {
    let namespace = format!(r#"{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{NAMESPACE}"}}}}"#);
    let applied = node.kubectl(&["apply", "-f", "-"], Some(namespace)).await;
    if !applied.success {
        bail!("kubectl apply: {}", applied.stderr);
    }
    let asks = "--annotations=outrigger.dev/inject=log-saver";
    let helpers = "--output=jsonpath={.spec.initContainers[*].name}";
    let try_out = [
        "run",
        "tried",
        "--image=x",
        "--dry-run=server",
        asks,
        helpers,
        "--namespace",
        NAMESPACE,
    ];
    let begun = Instant::now();
    loop {
        let tried = node.kubectl(&try_out, None).await;
        if tried.success && tried.stdout == "log-saver" {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "Pods do not get the helper that they ask for: {}{}",
                tried.stdout,
                tried.stderr
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn apply_examples(node: &Node, progress: &Progress) -> Result<()> {
    let examples = rundir::workspace().join("examples").display().to_string();
    let place = ["--namespace", NAMESPACE];
    kubectl(node, &[&["apply", "--filename", &examples][..], &place].concat()).await?;
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    let list = ["get", "deployments,statefulsets", "--output=name"];
    for workload in kubectl(node, &[&list[..], &place].concat()).await?.lines() {
        kubectl(node, &[&["rollout", "status", workload, &timeout][..], &place].concat()).await?;
        let name = workload.rsplit('/').next().unwrap_or(workload);
        progress.done(&format!("the example's {name} is ready"));
    }
    let client = ["wait", "--for=condition=Ready", "pod/client", &timeout];
    kubectl(node, &[&client[..], &place].concat()).await?;
    Ok(())
}

async fn kubectl(node: &Node, arguments: &[&str]) -> Result<String> {
    let output = node.kubectl(arguments, None).await;
    if !output.success {
        bail!("kubectl {}: {}", arguments.join(" "), output.stderr.trim_end());
    }
    Ok(output.stdout)
}

/// It speaks to the namespace of the examples.
async fn kubeconfig(node: &Node) -> Result<PathBuf> {
    let path = node.directory().join("demo.kubeconfig");
    fs::copy(node.kubeconfig(), &path)?;
    let file = format!("--kubeconfig={}", path.display());
    let set = ["config", "set-context", "--current", "--namespace", NAMESPACE, &file];
    kubectl(node, &set).await?;
    Ok(path)
}

fn what_to_try(kubeconfig: &Path, programs: &Path) -> String {
    let (kubeconfig, programs) = (kubeconfig.display(), programs.display());
    let commands = Page::read("examples/README.md").part("## Things to try").blocks("sh");
    format!(
        "\nOutrigger runs, with an example of each bundled policy: examples/README.md. In this shell kubectl speaks to them after\n\n\
         export KUBECONFIG={kubeconfig} PATH={programs}:$PATH\n\n\
         Things to try:\n\n{}\nmake demo-down takes all of it away.\n",
        commands.join("\n")
    )
}
