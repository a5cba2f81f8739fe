//! The images that policies name and that are made here: ours, and others' whose programs Debian has.
use super::Image;
use outrigger_harness::Node;
use outrigger_harness::assets::{self, Program};
use outrigger_harness::cargo;
use outrigger_harness::demand::available;
use std::path::Path;

/// The webhook.
pub fn outrigger(node: &Node) {
    program(
        node,
        "outrigger/outrigger:0.1.0",
        Path::new(env!("CARGO_BIN_EXE_outrigger")),
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

/// Debian's nginx, with a shell for hooks.
pub fn nginx(node: &Node) {
    Image {
        name: "local/nginx:1",
        programs: &[(Path::new("/usr/sbin/nginx"), "/usr/sbin/nginx")],
        copies: &[],
        shell: true,
        entrypoint: &["/usr/sbin/nginx"],
        user: "",
    }
    .import(node);
}

/// Debian's memcached.
pub fn memcached(node: &Node) {
    Image {
        name: "local/memcached:1",
        programs: &[(Path::new("/usr/bin/memcached"), "/usr/bin/memcached")],
        copies: &[],
        shell: false,
        entrypoint: &["/usr/bin/memcached", "-u", "nobody"],
        user: "",
    }
    .import(node);
}

/// nats-server, with its store in `/tmp`; `None`: it cannot be built, and that has been said.
pub fn nats(node: &Node) -> Option<()> {
    let server = available(assets::program(Program::NatsServer))?;
    Image {
        name: "local/nats:1",
        programs: &[(&server, "/nats-server")],
        copies: &[],
        shell: false,
        entrypoint: &["/nats-server", "--jetstream", "--store_dir", "/tmp/store"],
        user: "65532:65532",
    }
    .import(node);
    Some(())
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
