//! Images of applications, made of what this machine has, under the name `local/…`. Each starts its program without arguments.
use crate::images::Image;
use outrigger_harness::Node;
use outrigger_harness::assets::{self, Program};
use outrigger_harness::demand::Absent;
use std::path::Path;

/// Debian's nginx, with the directories that it is compiled for, and a shell for hooks.
pub fn nginx(node: &Node) {
    let empty = tempfile::tempdir().unwrap();
    Image {
        name: "local/nginx:1",
        programs: &[(Path::new("/usr/sbin/nginx"), "/usr/sbin/nginx")],
        copies: &[
            (Path::new("/var/lib/nginx"), "/var/lib/nginx"),
            (empty.path(), "/var/log/nginx"),
            (empty.path(), "/run"),
        ],
        shell: true,
        entrypoint: &["/usr/sbin/nginx"],
        user: "",
    }
    .import(node);
}

/// Debian's memcached.
pub fn memcached(node: &Node) {
    alone(node, "local/memcached:1", Path::new("/usr/bin/memcached"));
}

/// nats-server.
///
/// # Errors
/// When it is not here, and cannot be built.
pub fn nats(node: &Node) -> Result<(), Absent> {
    let server = assets::program(Program::NatsServer)?;
    alone(node, "local/nats:1", &server);
    Ok(())
}

fn alone(node: &Node, name: &str, program: &Path) {
    let place = format!("/usr/bin/{}", program.file_name().unwrap().display());
    Image {
        name,
        programs: &[(program, &place)],
        copies: &[],
        shell: false,
        entrypoint: &[&place],
        user: "",
    }
    .import(node);
}
