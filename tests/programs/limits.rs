//! What the parameters of a policy admit, the program takes: no Pod is made whose helper would then refuse to start.
//!
//! The values are derived from the policy ([`edges`]), rendered as the webhook renders them, and read by the program itself. What no
//! rule of one parameter can tell, as it depends on another, the program tells with both.
use crate::edges;
use crate::kubelet::Container;
use crate::machine::runtime;
use crate::pods::{admit, admit_with, container, only, policy, texts};
use outrigger_engine::Snapshot;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// Values of parameters.
type Parameters = &'static [(&'static str, &'static str)];
/// What a parameter needs beside it, given its value.
type Companions = fn(&str, &str) -> Vec<(&'static str, &'static str)>;

/// A policy, and the program that it starts.
struct Shown {
    name: &'static str,
    snapshot: Snapshot,
}

impl Shown {
    fn new(name: &'static str) -> Shown {
        let snapshot = only(name);
        Shown { name, snapshot }
    }

    fn admit(&self, parameters: &[(&str, &str)]) -> Result<Value, String> {
        admit_with(&self.snapshot, self.name, parameters)
    }

    /// Why the program does not start; `None` when all flags are good.
    fn refusal(&self, parameters: &[(&str, &str)]) -> Option<String> {
        let pod = self
            .admit(parameters)
            .unwrap_or_else(|refusal| panic!("{parameters:?}: {refusal}"));
        let helper = Container::prepare(&pod, self.name);
        // With all other flags read, it stops at one of these, whichever is not asked about.
        let level = parameters.iter().any(|(parameter, _)| *parameter == "logLevel");
        let (flag, value, said_last) = match level {
            true => ("--listen=", "192.0.2.1:9", "failed to listen on 192.0.2.1:9"),
            false => ("--log-level=", "a=b=c", "use error, warn, info, debug or trace"),
        };
        let mut arguments = helper.arguments();
        arguments.retain(|argument| !argument.starts_with(flag));
        arguments.push(format!("{flag}{value}"));
        let output = Command::new(runtime())
            .args(arguments)
            .env_clear()
            .envs(helper.environment())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        (!said.contains(said_last)).then_some(said)
    }
}

/// The parameter with a value, and those beside it.
fn with<'a>(parameter: &'a str, value: &'a str, beside: Vec<(&'static str, &'static str)>) -> Vec<(&'a str, &'a str)> {
    let others = beside.into_iter().filter(|(name, _)| *name != parameter);
    [(parameter, value)].into_iter().chain(others).collect()
}

/// Shows all edges of all parameters to the program.
fn check(name: &'static str, least: usize, companions: Companions) {
    let (spec, shown_to) = (policy(name), Shown::new(name));
    let declared = spec["spec"]["parameters"].as_array().unwrap();
    let mut shown = 0;
    let mut wrong = Vec::new();
    for parameter in declared {
        let called = parameter["name"].as_str().unwrap();
        for value in edges::values(parameter) {
            let beside = companions(called, &value);
            // An empty list may be one too few, and then there is no Pod.
            let parameters = with(called, &value, beside);
            if value.is_empty() && shown_to.admit(&parameters).is_err() {
                continue;
            }
            shown += 1;
            wrong.extend(
                shown_to
                    .refusal(&parameters)
                    .map(|said| format!("{called}: {value:?}: {said}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{} of {shown}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(shown >= least, "{shown} values");
}

const LONG_LEASE: [(&str, &str); 3] = [
    ("elections", "shop"),
    ("leaseDurationSeconds", "86400"),
    ("renewDeadlineMs", "86399999"),
];

fn of_leader_elector(parameter: &str, value: &str) -> Vec<(&'static str, &'static str)> {
    match (parameter, value) {
        ("leaseDurationSeconds", "1") => vec![
            ("elections", "shop"),
            ("renewDeadlineMs", "900"),
            ("retryPeriodMs", "100"),
        ],
        ("renewDeadlineMs", "100") => vec![("elections", "shop"), ("retryPeriodMs", "50"), ("maxValidityMs", "100")],
        ("renewDeadlineMs" | "retryPeriodMs" | "maxValidityMs", _) => LONG_LEASE.to_vec(),
        _ => vec![("elections", "shop")],
    }
}

fn of_work_queue(parameter: &str, value: &str) -> Vec<(&'static str, &'static str)> {
    let mut beside = vec![("queue", "orders")];
    match parameter {
        "backoffMs" => beside.push(("maxBackoffSeconds", "86400")),
        // A path of the application, or else the name of a file.
        "ready" if !value.is_empty() && !value.starts_with('/') => beside.push(("files", "/work")),
        _ => {}
    }
    beside
}

fn of_scatter_gather(parameter: &str, value: &str) -> Vec<(&'static str, &'static str)> {
    match parameter {
        // Where not all say themselves where their replicas are.
        "shards" if value.split(',').any(|shard| !shard.contains('=')) => vec![("replicas", "{shard}:80")],
        "shards" => vec![],
        "replicas" if value.is_empty() => vec![("shards", "a=leaf:80")],
        "replicas" => vec![("shards", "a")],
        "require" => vec![("shards", "1024"), ("replicas", "{shard}:80")],
        _ => vec![("shards", "a=leaf:80")],
    }
}

#[test]
fn the_program_takes_all_that_leader_elector_admits() {
    check("leader-elector", 80, of_leader_elector);
}

#[test]
fn the_program_takes_all_that_work_queue_admits() {
    check("work-queue", 350, of_work_queue);
}

#[test]
fn the_program_takes_all_that_scatter_gather_admits() {
    check("scatter-gather", 500, of_scatter_gather);
}

/// Each end of a number, with nothing beside it: where others forbid it, the message names both.
#[test]
fn a_number_that_others_forbid_is_refused_with_their_names() {
    let needed: [(&'static str, Parameters); 3] = [
        ("leader-elector", &[("elections", "shop")]),
        ("work-queue", &[("queue", "orders")]),
        ("scatter-gather", &[("shards", "a=leaf:80")]),
    ];
    let mut refused = Vec::new();
    for (name, beside) in needed {
        let (spec, shown_to) = (policy(name), Shown::new(name));
        let numbers = spec["spec"]["parameters"].as_array().unwrap().iter();
        for parameter in numbers.filter(|parameter| parameter["type"] == "integer") {
            let called = parameter["name"].as_str().unwrap();
            for value in edges::values(parameter) {
                let Some(said) = shown_to.refusal(&with(called, &value, beside.to_vec())) else {
                    continue;
                };
                let flags: BTreeSet<&str> = said
                    .split([' ', ',', ':'])
                    .filter(|word| word.starts_with("--"))
                    .collect();
                assert!(flags.len() == 2, "{name}: {called}={value}: {said}");
                refused.push((called.to_owned(), value));
            }
        }
    }
    let expected = [
        ("leaseDurationSeconds", "1"),
        ("renewDeadlineMs", "100"),
        ("renewDeadlineMs", "86399999"),
        ("retryPeriodMs", "60000"),
        ("maxValidityMs", "60000"),
        ("backoffMs", "3600000"),
    ];
    assert_eq!(
        refused,
        expected.map(|(called, value)| (called.to_owned(), value.to_owned()))
    );
}

/// The flags of a subcommand that its policy sets to nothing, neither as an argument nor by their variable.
fn left_out(name: &str, command: &str, parameters: &[(&str, &str)]) -> Vec<String> {
    let output = Command::new(runtime()).args([command, "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let pod = admit(name, parameters).unwrap();
    let helper = container(&pod, name);
    let arguments = texts(&helper["args"]);
    let variables = helper["env"].as_array().into_iter().flatten();
    let variables: Vec<&str> = variables.map(|variable| variable["name"].as_str().unwrap()).collect();
    let flags = help
        .split("\n      --")
        .skip(1)
        .filter(|text| !text.starts_with("help"));
    let flags = flags.map(|text| {
        let variable = text.split_once("[env: ").and_then(|(_, rest)| rest.split('=').next());
        (text.split([' ', '\n']).next().unwrap(), variable.unwrap_or_default())
    });
    let set = |(flag, variable): &(&str, &str)| {
        variables.contains(variable)
            || arguments
                .iter()
                .any(|argument| argument.starts_with(&format!("--{flag}=")))
    };
    flags
        .filter(|flag| !set(flag))
        .map(|(flag, _)| flag.to_owned())
        .collect()
}

#[test]
fn every_useful_flag_is_a_parameter() {
    // What a Pod has in one place only, and how long a stop may take: no longer than answers are valid.
    let elect = left_out("leader-elector", "elect", &[("elections", "shop")]);
    assert_eq!(elect, ["service-account", "kubeconfig", "shutdown-grace"]);
    let every = [
        ("queue", "q"),
        ("secret", "s"),
        ("credentialsSecret", "s"),
        ("caSecret", "s"),
        ("clientSecret", "s"),
        ("ready", "/up"),
        ("stream", "s"),
        ("subject", "s"),
        ("resultsStream", "s"),
        ("resultsSubject", "s"),
    ];
    // That comes instead of --application.
    assert_eq!(left_out("work-queue", "work", &every), ["files"]);
    // A cluster has one name server for all.
    let gather = left_out(
        "scatter-gather",
        "gather",
        &[("shards", "2"), ("replicas", "{shard}.leaf:80")],
    );
    assert_eq!(gather, ["dns-server"]);
}

#[test]
fn what_is_only_wrong_together_is_told_with_the_way_out() {
    let cases: [(&'static str, Parameters, &str); 7] = [
        ("leader-elector", &[("elections", "a,a")], "names an election twice"),
        (
            "leader-elector",
            &[("elections", "a,b"), ("labelPod", "true")],
            "is for a single election",
        ),
        (
            "work-queue",
            &[("queue", "q"), ("ready", "up")],
            "begins with a slash: /healthz",
        ),
        (
            "work-queue",
            &[("queue", "q"), ("files", "/work"), ("ready", "/up")],
            "without a slash",
        ),
        (
            "scatter-gather",
            &[("shards", "a,b,a"), ("replicas", "{shard}:80")],
            "shard a is there twice",
        ),
        (
            "scatter-gather",
            &[("shards", "a,b"), ("replicas", "leaf:80")],
            "write {shard} where its name belongs",
        ),
        (
            "scatter-gather",
            &[("shards", "a,b")],
            "write a=HOST:PORT, or --replicas with {shard} in it",
        ),
    ];
    for (name, parameters, way_out) in cases {
        let said = Shown::new(name).refusal(parameters).unwrap_or_default();
        assert!(said.contains(way_out), "{parameters:?}: {said}");
    }
    // How long a name may be is not for a pattern to count, with {shard} in it.
    let long = format!("leaf-{{shard}}-{}:80", "x".repeat(60));
    let said = Shown::new("scatter-gather").refusal(&[("shards", "2"), ("replicas", &long)]);
    let said = said.unwrap_or_default();
    assert!(
        said.contains("at most 63 characters between the dots of a name"),
        "{said}"
    );
}

/// Values that the program would refuse, and that the rules of the parameter refuse before there is a Pod.
#[test]
fn what_the_program_refuses_is_refused_before() {
    let cases: [(&'static str, Parameters, &[&str]); 5] = [
        (
            "scatter-gather",
            &[("shards", "")],
            &[
                "0",
                "00",
                "1025",
                "statefulset:leaf:0",
                "statefulset:leaf:1025",
                "a=leaf:0",
                "a=leaf:65536",
                "a=leaf..x:80",
                "a=[::::]:80",
                "a=endpoints:leaf:0",
                "a={shards}:80",
                "a|leaf:80",
                ",",
                "a,",
                "a..b",
                "a=leaf:80|",
                "a=|leaf:80",
            ],
        ),
        (
            "scatter-gather",
            &[("shards", "a"), ("replicas", "")],
            &[
                "leaf",
                "|leaf:80",
                "leaf:80|",
                "{shard",
                "http://leaf:80",
                "endpoints:a.b.c:80",
                ":::",
            ],
        ),
        (
            "scatter-gather",
            &[("shards", "a=leaf:80"), ("merge", "")],
            &["http://a:0/", "http://a:65536/", "http://a/<", "http:///"],
        ),
        (
            "scatter-gather",
            &[("shards", "a=leaf:80"), ("accept", "")],
            &["299-200", "500-400", "200-600", ",200", "200,"],
        ),
        (
            "work-queue",
            &[("queue", "q"), ("nats", "")],
            &["nats://a:0", "nats://a:65536", "nats://", ""],
        ),
    ];
    for (name, parameters, values) in cases {
        let shown_to = Shown::new(name);
        let (asked, beside) = parameters.split_last().unwrap();
        for value in values {
            let parameters = [beside, &[(asked.0, *value)]].concat();
            let said = shown_to.admit(&parameters).map(|_| ()).unwrap_err();
            assert!(said.contains(asked.0) || value.is_empty(), "{parameters:?}: {said}");
        }
    }
    let electors = Shown::new("leader-elector");
    for name in ["a..b", "a.-b", "a-.b", ""] {
        electors.admit(&[("elections", name)]).unwrap_err();
    }
}
