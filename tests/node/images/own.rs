//! The images that policies name and that are made here: ours, and others' whose programs Debian has.
use super::Image;
use outrigger_harness::Node;
use outrigger_harness::cargo;
use std::path::Path;

/// The webhook.
pub fn outrigger(node: &Node) {
    program(
        node,
        "outrigger/outrigger:0.1.0",
        &cargo::beside("outrigger"),
        "/outrigger",
    );
}

/// What runs inside helpers.
pub fn runtime(node: &Node) {
    program(node, "outrigger/runtime:0.1.0", &cargo::runtime(), RUNTIME);
}

/// Debian's twemproxy, with the probe.
pub fn twemproxy(node: &Node) {
    let runtime = cargo::runtime();
    let nutcracker = Path::new("/usr/sbin/nutcracker");
    Image {
        name: "outrigger/twemproxy:0.1.0",
        programs: &[(nutcracker, "/usr/sbin/nutcracker"), (&runtime, RUNTIME)],
        copies: &[],
        shell: false,
        entrypoint: &["/usr/sbin/nutcracker"],
        user: "65532:65532",
    }
    .import(node);
}

/// Debian's exporter, under the name of the nginx project's.
pub fn nginx_exporter(node: &Node) {
    let exporter = Path::new("/usr/bin/prometheus-nginx-exporter");
    program(
        node,
        "nginx/nginx-prometheus-exporter:1.5.1",
        exporter,
        "/usr/bin/nginx-prometheus-exporter",
    );
}

const RUNTIME: &str = "/usr/local/bin/outrigger-runtime";

fn program(node: &Node, name: &str, program: &Path, place: &str) {
    Image {
        name,
        programs: &[(program, place)],
        copies: &[],
        shell: false,
        entrypoint: &[place],
        user: "65532:65532",
    }
    .import(node);
}

/// Debian's Python, for applications that developers write.
pub fn python(node: &Node) {
    Image {
        name: "local/python:1",
        programs: &[(Path::new("/usr/bin/python3"), "/usr/bin/python3")],
        copies: &[(Path::new("/usr/lib/python3.11"), "/usr/lib/python3.11")],
        shell: true,
        entrypoint: &["/usr/bin/python3", "-u"],
        user: "65534",
    }
    .import(node);
}
