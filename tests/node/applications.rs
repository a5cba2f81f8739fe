//! Images of applications, made of what Debian has.
use crate::images::Image;
use outrigger_harness::Node;
use outrigger_harness::assets::{self, Program};
use outrigger_harness::demand::available;
use std::path::Path;

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
