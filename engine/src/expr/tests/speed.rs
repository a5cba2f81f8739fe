//! Prints what an evaluation takes: `cargo test --release -p outrigger-engine speed -- --nocapture --ignored`.

use std::hint::black_box;
use std::time::Instant;

use super::{VOCABULARY, namespace, params, pod};
use crate::expr::{Expression, Scope};

#[test]
#[ignore = "a measurement"]
fn speed_of_evaluations() {
    let (params, pod, namespace) = (params(), pod(), namespace());
    let scope = Scope::new()
        .params(&params)
        .object(&pod)
        .namespace_object(&namespace)
        .request_namespace("shop");
    for source in [
        "params.path",
        "params.port + 1",
        "string(params.port) + 'Mi'",
        "params.path.startsWith('/var')",
        "params.path.matches('^/[a-z/]+$')",
        "params.path.replace('/', '-')",
        "params.hosts.map(h, h + ':80').join(',')",
        "object.metadata.name",
        "!object.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'Job')",
        "object.spec.containers.exists(c, c.name == 'other')",
        "math.greatest(params.port, 9000)",
        "params.path.lowerAscii()",
    ] {
        let started = Instant::now();
        let expression = Expression::compile(source, &VOCABULARY).unwrap();
        let compiled = started.elapsed();
        let rounds = 100_000;
        let started = Instant::now();
        for _ in 0..rounds {
            black_box(expression.evaluate(black_box(&scope))).unwrap();
        }
        println!(
            "{:>7} ns  compiled in {compiled:>9.1?}  {source}",
            started.elapsed().as_nanos() / rounds
        );
    }
}
