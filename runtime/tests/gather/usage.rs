//! Wrong flags are refused with the way out.
use crate::stage::PROGRAM;
use std::process::Command;

fn refused(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).arg("gather").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn wrong_flags_are_refused_with_the_way_out() {
    let good = [
        "--shards=a=127.0.0.1:1,b=127.0.0.1:2",
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
    ];
    const CASES: &[(&[&str], &str)] = &[
        (&["--merge=zip"], "write concat, json-array, first, or a URL"),
        (&["--merge=https://127.0.0.1/"], "write concat"),
        (&["--merge-format=xml"], "[possible values: json, multipart]"),
        (&["--require=3"], "there are 2 shards; write at most that, or all"),
        (&["--require=none"], "write all, a number from 1, or a share"),
        (&["--require=2", "--merge=first"], "one answer is enough; leave it out"),
        (&["--deadline=0"], "--deadline: write a time above 0"),
        (&["--deadline=1m"], "write seconds, as 10s"),
        (&["--accept=2xx"], "as 200-299,404"),
        (&["--hedge-after=often"], "write p95, a time, as 50ms, or never"),
        (&["--hedge-share=0.1"], "write 0% to 100%"),
        (&["--forward-headers=a b"], "write names with commas, or *"),
        (&["--memory=1GB"], "write 65536, 64KiB or 1MiB"),
        (&["--concurrency=0"], "--concurrency"),
        (&["--listen=4042"], "--listen"),
        (&["--log-level=loud=x=y"], "use error, warn, info"),
    ];
    for (flags, message) in CASES {
        let said = refused(&[&good[..], flags].concat());
        assert!(said.contains(message), "{flags:?}: {said}");
    }
    for (flags, message) in [
        (vec![], "--shards"),
        (
            vec!["--shards=a,b"],
            "where are the replicas of a? write a=HOST:PORT, or --replicas with {shard} in it",
        ),
        (
            vec!["--shards=2", "--replicas=leaf:80"],
            "write {shard} where its name belongs",
        ),
        (vec!["--shards=a=leaf"], "write HOST:PORT"),
    ] {
        let said = refused(&flags);
        assert!(said.contains(message), "{flags:?}: {said}");
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let said = refused(&["--shards=a=127.0.0.1:1", "--admin=127.0.0.1:0", &listen]);
    assert!(said.contains("failed to listen on 127.0.0.1:"), "{said}");
}
