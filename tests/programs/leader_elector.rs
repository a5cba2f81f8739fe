//! The policy leader-elector: what it renders is what the program takes. (What the program then does is tested in `runtime/tests/elect/`.)
use crate::kubelet::Container;
use crate::machine::runtime;
use crate::pods::{admit, container};
use std::process::Command;

/// What the helper says on standard error, and how it ends, where there is no API server.
fn started(parameters: &[(&str, &str)]) -> (Option<i32>, String) {
    let pod = admit("leader-elector", parameters).unwrap();
    let container = Container::prepare(&pod, "leader-elector");
    let output = Command::new(runtime())
        .args(container.arguments())
        .env_clear()
        .envs(container.environment())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_program_takes_what_any_parameters_make() {
    let port = "45231";
    let cases: &[&[(&str, &str)]] = &[
        &[("elections", "shop")],
        &[("elections", "a, b,c"), ("spreadMs", "2000"), ("logFormat", "text")],
        &[("elections", "shop"), ("labelPod", "true"), ("logLevel", "debug")],
        &[
            ("elections", "shop"),
            ("leaseDurationSeconds", "1"),
            ("renewDeadlineMs", "700"),
            ("retryPeriodMs", "50"),
            ("maxValidityMs", "1"),
        ],
    ];
    for case in cases {
        let (code, said) = started(&[&[("port", port)], *case].concat());
        // All flags were good, so the next thing is what a Pod would have.
        assert!(
            code == Some(2) && said.contains("KUBERNETES_SERVICE_HOST"),
            "{case:?}: {said}"
        );
    }
    let together: &[(&[(&str, &str)], &str)] = &[
        (
            &[("elections", "a,b"), ("labelPod", "true")],
            "--label-pod is for a single election",
        ),
        (
            &[("elections", "a"), ("renewDeadlineMs", "15000")],
            "must be shorter than --lease-duration",
        ),
        (&[("elections", "a,a")], "names an election twice"),
    ];
    for (case, message) in together {
        let (code, said) = started(case);
        assert!(code == Some(2) && said.contains(message), "{case:?}: {said}");
    }
}

#[test]
fn the_application_learns_the_address_and_is_held_back_until_the_lease_is_seen() {
    let pod = admit("leader-elector", &[("elections", "shop"), ("port", "4140")]).unwrap();
    let env = &container(&pod, "web")["env"];
    assert_eq!(env[0]["name"], "LEADER_ELECTION_URL");
    assert_eq!(env[0]["value"], "http://127.0.0.1:4140");
    let container = Container::prepare(&pod, "leader-elector");
    let probe = container.startup_probe(&runtime());
    assert_eq!(probe.status.code(), Some(1), "nobody listens, and it is ready");
}
