//! Wrong flags are refused, with the way out; the environment is as good as flags.
use std::process::Command;

fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_outrigger-runtime"))
        .args(["work", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    said
}

#[test]
fn a_wrong_flag_is_refused_with_the_way_out() {
    const APPLICATION: &[&str] = &["--queue", "q", "--application", "http://127.0.0.1:1"];
    const CASES: &[(&[&str], &str)] = &[
        (&["--concurrency", "0"], "1..=4096"),
        (&["--concurrency", "many"], "invalid digit"),
        (&["--max-attempts", "0"], "1..=1000"),
        (&["--timeout", "0"], "at least 10ms"),
        (&["--timeout", "1h"], "write seconds, as 10s"),
        (&["--backoff", "10s", "--max-backoff", "1s"], "raise the latter"),
        (&["--max-bytes", "1GB"], "256MiB"),
        (&["--replicas", "6"], "1..=5"),
        (&["--subject", "a.*"], "no wildcard, as in: orders.items"),
        (&["--stream", "a.b"], "letters, digits"),
        (&["--nats", "http://nats"], "write nats://HOST:PORT"),
        (&["--nats", "nats://a:b@nats:4222"], "OUTRIGGER_NATS_PASSWORD"),
        (&["--nats-cert", "x"], "--nats-key"),
        (&["--nats-credentials", "/nowhere"], "failed to read /nowhere"),
        (&["--nats-credentials", "/nowhere", "--nats-user", "a"], "leave one out"),
        (&["--files", "/tmp"], "cannot be used with"),
        (&["--ready", "healthz"], "begins with a slash: /healthz"),
        (&["--results", "maybe"], "publish, none"),
        (&["--log-level", "a=b=c"], "use error, warn, info, debug or trace"),
        (&["--no-such-flag"], "unexpected argument"),
    ];
    for (flags, way_out) in CASES {
        let said = refused(&[APPLICATION, flags].concat(), &[]);
        assert!(said.contains(way_out), "{flags:?}: {said}");
    }
    assert!(refused(&["--queue", "q"], &[]).contains("give --application URL, or --files DIRECTORY"));
    assert!(refused(&["--application", "http://127.0.0.1:1"], &[]).contains("--queue"));
    assert!(refused(&["--queue", "q", "--application", "https://127.0.0.1"], &[]).contains("there is no TLS"));
    assert!(refused(&["--queue", "q", "--files", "/tmp", "--ready", "a/b"], &[]).contains("without a slash"));
    let environment = [("OUTRIGGER_WORK_QUEUE", "q"), ("OUTRIGGER_WORK_APPLICATION", "ftp://x")];
    assert!(refused(&[], &environment).contains("write http://127.0.0.1:PORT/PATH"));
}
