//! The policy scatter-gather: the helper in front of the leaves, and the merging container, of its page.
use crate::image::Dockerfile;
use crate::kubelet::Container;
use crate::machine::{eventually, free_ports, program, runtime};
use crate::pods::{admit, container, policy, texts};
use outrigger_harness::keeper::{Kept, Program};
use outrigger_harness::rundir::workspace;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// The Python programs and the JSON answers of the page.
fn page(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(workspace().join("policies/scatter-gather/README.md")).unwrap();
    let start = format!("\n```{language}\n");
    let blocks = page.split(&start).skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.map(str::to_owned).collect()
}

/// Starts a program of the page, and waits until it listens.
fn python(python: &Path, program: &str, port: u16, words: &str) -> Kept {
    let arguments = [
        format!("PORT={port}"),
        format!("WORDS={words}"),
        python.display().to_string(),
        "-c".to_owned(),
        program.to_owned(),
    ];
    let kept = Program {
        path: Path::new("/usr/bin/env"),
        arguments: arguments.into(),
        stdout: Stdio::null(),
        stderr: Stdio::null(),
        scratch: None,
    }
    .start()
    .unwrap();
    eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    kept
}

/// The body of an answer.
fn get(port: u16, path: &str) -> Value {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: search\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn the_application_of_the_page_answers_as_the_page_says() {
    // What the image starts with the policy's arguments.
    assert_eq!(
        Dockerfile::read().stage("runtime").entrypoint,
        ["/usr/local/bin/outrigger-runtime"]
    );
    let Some(interpreter) = program("python3", "python3") else {
        return;
    };
    let programs = page("python");
    let (leaf, merge) = (&programs[0], &programs[1]);
    let [a, b, merging, port, admin] = free_ports();
    let _a = python(&interpreter, leaf, a, "outrigger canoe");
    let b_leaf = python(&interpreter, leaf, b, "oar outboard");
    let _merge = python(&interpreter, merge, merging, "");

    let pod = admit(
        "scatter-gather",
        &[
            ("shards", &format!("a=127.0.0.1:{a},b=127.0.0.1:{b}")),
            ("port", &port.to_string()),
            ("adminPort", &admin.to_string()),
            ("merge", &format!("http://127.0.0.1:{merging}/merge")),
            ("require", "1"),
            // A busy machine is no dead shard.
            ("deadlineMs", "60000"),
            ("mergeTimeoutMs", "60000"),
            ("connectTimeoutMs", "60000"),
        ],
    )
    .unwrap();
    let helper = Container::prepare(&pod, "scatter-gather");
    let runtime = runtime();
    assert_eq!(
        helper.startup_probe(&runtime).status.code(),
        Some(1),
        "ready before it was started"
    );
    let mut running = helper.start(&runtime);
    eventually("the startup probe passes", || {
        helper.startup_probe(&runtime).status.success().then_some(())
    });
    assert_eq!(running.ended(), None, "{}", helper.log());

    let shown: Vec<Value> = page("json")
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    assert_eq!(get(port, "/search?q=out"), shown[0]);
    drop(b_leaf);
    assert_eq!(get(port, "/search?q=out"), shown[1]);
    // The third is what the merging container gets.
    assert_eq!(shown[2][0]["shard"], "a");
    let env = &container(&pod, "web")["env"];
    assert_eq!(
        *env,
        json!([{"name": "SCATTER_GATHER_URL", "value": format!("http://127.0.0.1:{port}")}])
    );
}

/// What the program says to arguments; `None` when it serves.
fn refusal(parameters: &[(&str, &str)]) -> Option<String> {
    let pod = match admit("scatter-gather", parameters) {
        Ok(pod) => pod,
        Err(refusal) => return Some(refusal),
    };
    let helper = Container::prepare(&pod, "scatter-gather");
    // It stops at this level of logs, after it has read all other flags.
    let mut arguments = helper.arguments();
    arguments.retain(|argument| !argument.starts_with("--log-level="));
    let output = Command::new(runtime())
        .args(arguments)
        .arg("--log-level=a=b=c")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    (!said.contains("use error, warn, info, debug or trace")).then_some(said)
}

#[test]
fn the_program_takes_the_flags_that_any_parameters_make() {
    let spec = policy("scatter-gather");
    let declared = spec["spec"]["parameters"].as_array().unwrap();
    let name = |parameter: &Value| parameter["name"].as_str().unwrap().to_owned();
    // The least and the most of every number, and every choice. The two ports must differ.
    for end in ["minimum", "maximum"] {
        let values: Vec<(String, String)> = declared
            .iter()
            .filter(|parameter| parameter["name"] != "adminPort")
            .filter_map(|parameter| Some((name(parameter), parameter.get(end)?.to_string())))
            .collect();
        assert!(values.len() > 15);
        let mut parameters: Vec<(&str, &str)> = values.iter().map(|(name, value)| (&**name, &**value)).collect();
        parameters.push(("shards", "a=leaf:80"));
        assert_eq!(refusal(&parameters), None, "{end}");
    }
    for parameter in declared {
        for choice in texts(&parameter["enum"])
            .iter()
            .filter(|_| name(parameter) != "logLevel")
        {
            assert_eq!(
                refusal(&[("shards", "a=leaf:80"), (&name(parameter), choice)]),
                None,
                "{choice}"
            );
        }
    }
    for (shards, replicas) in [
        ("1", "leaf-{shard}:80"),
        ("1024", "dns:{shard}.leaf.shop.svc:8080|10.0.0.1:80|[fd00::1]:80"),
        ("statefulset:leaf:16", "endpoints:leaf.shop/{shard}:http"),
        ("a, b,c-1.x", "endpoints:leaf-{shard}:80"),
        (
            "a=10.0.0.1:80|[fd00::1]:80, b=dns:leaf_b:80,c=endpoints:leaf.shop/x:http",
            "",
        ),
    ] {
        assert_eq!(refusal(&[("shards", shards), ("replicas", replicas)]), None, "{shards}");
    }
    for (parameter, value) in [
        ("merge", "concat"),
        ("merge", "first"),
        ("merge", "http://merge.shop:80/a?b=c&d"),
        ("require", "1"),
        ("require", "100%"),
        ("require", "7%"),
        ("accept", "200-299, 404,500-599"),
        ("hedgeAfter", "never"),
        ("hedgeAfter", "50ms"),
        ("hedgeMethods", "GET, POST"),
        ("forwardHeaders", "*"),
        ("forwardHeaders", "X-One, accept"),
        ("deadlineHeader", "X-Time-Left"),
    ] {
        assert_eq!(
            refusal(&[("shards", "a=leaf:80"), (parameter, value)]),
            None,
            "{parameter}: {value}"
        );
    }
}

#[test]
fn what_the_program_would_refuse_is_refused_when_the_pod_is_made() {
    for (parameter, value) in [
        ("shards", ""),
        ("shards", "A"),
        ("shards", "a=x"),
        ("shards", "statefulset:leaf"),
        ("replicas", "leaf:80 --merge=first"),
        ("merge", "zip"),
        ("merge", "https://127.0.0.1/"),
        ("require", "0"),
        ("require", "101%"),
        ("accept", "99"),
        ("hedgeAfter", "soon"),
        ("hedgeMethods", "GET POST"),
        ("forwardHeaders", "a b"),
    ] {
        let parameters = if parameter == "shards" {
            vec![]
        } else {
            vec![("shards", "a=leaf:80")]
        };
        let parameters: Vec<_> = parameters.into_iter().chain([(parameter, value)]).collect();
        let said = admit("scatter-gather", &parameters).unwrap_err();
        assert!(
            said.contains(&format!("scatter-gather.outrigger.dev/{parameter}")),
            "{parameter}: {value}: {said}"
        );
    }
}

#[test]
fn only_who_watches_endpoint_slices_has_a_token() {
    let mounts = |replicas: &str| -> BTreeSet<String> {
        let pod = admit("scatter-gather", &[("shards", "2"), ("replicas", replicas)]).unwrap();
        let volumes = pod["spec"]["volumes"].as_array().unwrap().clone();
        volumes
            .iter()
            .flat_map(|volume| volume.as_object().unwrap().keys().cloned())
            .collect()
    };
    assert!(mounts("leaf-{shard}:80").contains("emptyDir"));
    assert!(mounts("endpoints:leaf/{shard}:80").contains("projected"));
}
