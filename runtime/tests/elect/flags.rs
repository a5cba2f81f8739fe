//! Flags, variables, metrics, and what a process costs: as the page says.
use crate::{
    api::{namespace, source},
    asking::{ask, eventually, now},
    elector::{PROGRAM, Start},
};
use outrigger_harness::Memory;
use std::{collections::BTreeSet, process::Command};

/// The rows of the table below this heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = source("docs/leader-election.md");
    let mut lines = page.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "there is no table {heading}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect()
    })
    .collect()
}

#[test]
fn the_page_lists_the_flags_with_their_variables_and_defaults() {
    let output = Command::new(PROGRAM).args(["elect", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let bracketed = |text: &str, what: &str| {
        let rest = text.split_once(&format!("[{what}"))?.1;
        Some(rest.split([']', '=']).next()?.trim().to_owned())
    };
    let known: BTreeSet<[String; 3]> = help
        .split("\n      --")
        .skip(1)
        .map(|text| {
            let flag = text.split([' ', '\n']).next().unwrap();
            let default = bracketed(text, "default: ").unwrap_or_default();
            [
                format!("--{flag}"),
                bracketed(text, "env: ").unwrap_or_default(),
                default,
            ]
        })
        .collect();
    let listed: BTreeSet<[String; 3]> = table("| flag | variable | default | meaning |")
        .into_iter()
        .map(|cells| [0, 1, 2].map(|cell| cells[cell].clone()))
        .collect();
    assert_eq!(listed, known);
}

#[test]
fn bad_flags_are_refused_with_the_way_out() {
    let long = "a".repeat(64);
    let cases: &[(&[&str], &str)] = &[
        (&[], "--election <NAME>"),
        (&["--election=Shop"], "write lower-case letters"),
        (&["--election=shop,"], "write lower-case letters"),
        (&["--election", &long], "at most 63"),
        (&["--election=a..b"], "is not the name of a Lease"),
        (&["--election=a,b,a"], "names an election twice"),
        (
            &["--election=a,b", "--label-pod"],
            "and this process is in 2; name one, or leave --label-pod out",
        ),
        (
            &["--election=a", "--lease-duration=1500ms"],
            "a Lease holds whole seconds",
        ),
        (
            &["--election=a", "--lease-duration=10s"],
            "must be shorter than --lease-duration",
        ),
        (&["--election=a", "--retry-period=9s"], "1.2 times --retry-period"),
        (&["--election=a", "--max-validity=11s"], "write 1ms to --renew-deadline"),
        (&["--election=a", "--spread=x"], "write seconds, as 10s"),
        (&["--election=a", "--listen=4040"], "invalid socket address"),
        (
            &["--election=a", "--log-level=lud=x=y"],
            "use error, warn, info, debug or trace",
        ),
        (&["--election=a"], "outside of a cluster, give --kubeconfig"),
        (
            &["--election=a", "--kubeconfig=/nowhere"],
            "failed to use the kubeconfig /nowhere",
        ),
    ];
    for (arguments, message) in cases {
        let output = Command::new(PROGRAM)
            .arg("elect")
            .args(*arguments)
            .env_clear()
            .env("OUTRIGGER_LISTEN", "127.0.0.1:0")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(message), "{arguments:?}: {said}");
    }
    let service = [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
    ];
    let output = Command::new(PROGRAM)
        .args([
            "elect",
            "--election=a",
            "--listen=127.0.0.1:0",
            "--service-account=/nowhere",
        ])
        .env_clear()
        .envs(service)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("failed to read /nowhere/token; the policy leader-elector mounts"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_those_that_the_page_lists() {
    let Some((cluster, namespace)) = namespace("metrics").await else {
        return;
    };
    let elector = Start::new("web-0", "shop,bank")
        .in_namespace(cluster.kubeconfig(), &namespace.name)
        .go();
    for path in ["/elections/shop", "/elections/bank"] {
        eventually("it leads", || elector.leads(path).then_some(()));
    }
    let text = elector.get("/metrics").body;
    let known: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| format!("{name}{}", if kind == "counter" { "_total" } else { "" }))
        .collect();
    let rows = table("| metric | labels | meaning |");
    let listed: BTreeSet<String> = rows.iter().map(|cells| cells[0].clone()).collect();
    assert_eq!(listed, known, "{text}");
    for line in [
        "outrigger_elect_leader{election=\"shop\"} 1",
        "outrigger_elect_leader{election=\"bank\"} 1",
        "outrigger_elect_terms_total{election=\"bank\"} 1",
        "outrigger_elect_writes_total{election=\"shop\",outcome=\"done\"} ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// The budget is for a release build; what any build needs is told, and must not be absurd.
#[tokio::test(flavor = "multi_thread")]
async fn it_starts_at_once_and_needs_little_memory() {
    let Some((cluster, namespace)) = namespace("cost").await else {
        return;
    };
    let begin = now();
    let elector = Start::new("web-0", "shop")
        .in_namespace(cluster.kubeconfig(), &namespace.name)
        .go();
    let started = now() - begin;
    eventually("it leads", || elector.leads("/").then_some(()));
    let leads = now() - begin;
    for _ in 0..200 {
        assert_eq!(ask(elector.address, "GET", "/").unwrap().status, 200);
    }
    let resident = Memory::of(elector.pid()).unwrap().resident / 1024;
    println!("listens after {started:?}, leads after {leads:?}, {resident} KiB resident");
    assert!(resident < 60 * 1024, "{resident} KiB");
}
