//! What is compared with what, and what the ratio should be.
use crate::{
    process::Process,
    question::{Expected, Question},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::{fs, path::Path, path::PathBuf};
use tempfile::TempDir;

const LOG_SAVER: &str = include_str!("../../policies/log-saver/policy.yaml");

/// Two servers and what the second is asked.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub base: Side,
    pub other: Side,
    pub question: Question,
    pub targets: Targets,
}

/// What the ratio of the second server to the first should be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Targets {
    pub least_throughput: Option<f64>,
    pub most_cpu: Option<f64>,
}

/// One of the two servers.
#[derive(Debug, Clone)]
pub enum Side {
    NoOp(Question),
    /// The policies that come with Outrigger.
    Bundled,
    Loaded(usize, Kind),
}

/// How the policy that is injected is found among others, and the others are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    OnRequest,
    NamespaceLabel,
    PodSelector,
    /// A namespace selector, and a condition where that holds.
    Condition,
    /// A condition of its own for each policy, and nothing else: every one is evaluated for every Pod.
    OnlyConditions,
}

/// A server that serves, and the files that it serves from.
pub struct Started {
    pub process: Process,
    _directory: TempDir,
}

const ASKED: (&str, &str) = ("outrigger.dev/inject", "log-saver");
const PATH: (&str, &str) = ("log-saver.outrigger.dev/path", "/var/log/nginx");

pub fn all() -> Vec<Scenario> {
    let beside_no_op = |name, annotations: &[_], expected, throughput, cpu| Scenario {
        name,
        base: Side::NoOp(Question::new(annotations, Expected::NoPatch)),
        other: Side::Bundled,
        question: Question::new(annotations, expected),
        targets: Targets {
            least_throughput: Some(throughput),
            most_cpu: Some(cpu),
        },
    };
    let by_default = Expected::LogSaver("/var/log/app");
    let many = |name, kind, annotations: &[_], most_cpu| Scenario {
        name,
        base: Side::Loaded(10, kind),
        other: Side::Loaded(1000, kind),
        question: Question::new(annotations, Expected::LogSaver("/var/log/app")),
        targets: Targets {
            least_throughput: None,
            most_cpu,
        },
    };
    vec![
        beside_no_op("injecting", &[ASKED], by_default, 0.65, 1.6),
        beside_no_op(
            "injecting with a parameter",
            &[ASKED, PATH],
            Expected::LogSaver(PATH.1),
            0.65,
            1.6,
        ),
        beside_no_op("nothing to inject", &[], Expected::NoPatch, 0.95, 1.1),
        many("1000 policies: on request", Kind::OnRequest, &[ASKED], Some(1.2)),
        many(
            "1000 policies: by namespace label",
            Kind::NamespaceLabel,
            &[],
            Some(1.2),
        ),
        many("1000 policies: by Pod selector", Kind::PodSelector, &[], Some(1.2)),
        many("1000 policies: by condition", Kind::Condition, &[], Some(1.2)),
        many(
            "1000 policies: by nothing but conditions",
            Kind::OnlyConditions,
            &[],
            None,
        ),
    ]
}

impl Side {
    pub fn name(&self) -> String {
        match self {
            Side::NoOp(_) => "no-op".into(),
            Side::Bundled => "outrigger".into(),
            Side::Loaded(count, _) => format!("{count} policies"),
        }
    }

    /// What this side is asked, and what it must answer.
    pub fn question<'a>(&'a self, scenario: &'a Scenario) -> &'a Question {
        match self {
            Side::NoOp(question) => question,
            Side::Bundled | Side::Loaded(..) => &scenario.question,
        }
    }

    pub fn start(&self, program: &Path) -> Result<Started> {
        let directory = TempDir::new()?;
        let certificates = directory.path().join("certs");
        let process = match self {
            Side::NoOp(_) => Process::no_op(&certificates)?,
            Side::Bundled => {
                let (policies, namespaces) = (bundled(), namespace());
                let arguments = [
                    Path::new("--policies"),
                    &policies,
                    Path::new("--namespaces"),
                    &namespaces,
                ];
                Process::outrigger(program, &certificates, &arguments)?
            }
            Side::Loaded(count, kind) => {
                let policies = directory.path().join("policies");
                fs::create_dir(&policies)?;
                fs::write(policies.join("all.yaml"), documents(&kind.policies(*count)?))?;
                let namespaces = directory.path().join("namespaces.yaml");
                fs::write(&namespaces, kind.namespace().to_string())?;
                let arguments = [
                    Path::new("--policies"),
                    &policies,
                    Path::new("--namespaces"),
                    &namespaces,
                ];
                Process::outrigger(program, &certificates, &arguments)?
            }
        };
        Ok(Started {
            process,
            _directory: directory,
        })
    }
}

/// The policies that come with Outrigger.
pub fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// The namespace of the review: in a cluster it is known.
fn namespace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/namespace.json")
}

fn documents(policies: &[Value]) -> String {
    policies.iter().map(|policy| format!("---\n{policy}\n")).collect()
}

impl Kind {
    /// The log saver, and others up to `count`.
    fn policies(self, count: usize) -> Result<Vec<Value>> {
        let mut log_saver: Value = serde_saphyr::from_str(LOG_SAVER)?;
        self.select(&mut log_saver, "shop", "frontend");
        let mut policies = vec![log_saver];
        policies.extend((1..count).map(|i| {
            let mut other = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
                "metadata": {"name": format!("policy-{i}")},
                "spec": {"sidecars": [{"container": {"name": format!("helper-{i}"), "image": "helper:1"}}]}});
            self.select(&mut other, &format!("team-{i}"), &format!("tier-{i}"));
            other
        }));
        Ok(policies)
    }

    fn select(self, policy: &mut Value, team: &str, tier: &str) {
        let condition = |expression: String| json!([{"name": "condition", "expression": expression}]);
        let matches = match self {
            Kind::OnRequest | Kind::NamespaceLabel => return,
            Kind::PodSelector => json!({"podSelector": {"matchLabels": {"tier": tier}}}),
            Kind::Condition => json!({"namespaceSelector": {"matchLabels": {"team": team}},
                "conditions": condition("has(object.metadata.generateName)".into())}),
            Kind::OnlyConditions => {
                json!({"conditions": condition(format!("object.metadata.labels['tier'] == '{tier}'"))})
            }
        };
        policy["spec"]["match"] = matches;
    }

    /// The namespace of the Pod.
    fn namespace(self) -> Value {
        let labels = match self {
            Kind::NamespaceLabel => json!({"inject.outrigger.dev/log-saver": "enabled"}),
            _ => json!({"team": "shop"}),
        };
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}})
    }
}
