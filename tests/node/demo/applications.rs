//! Images of applications: what Debian has, under the name `local/…`.
use crate::images::Image;
use outrigger_harness::Node;
use std::path::Path;

/// Debian's nginx, with the directories that it is compiled for.
pub fn nginx(node: &Node) {
    let empty = tempfile::tempdir().unwrap();
    let state = Path::new("/var/lib/nginx");
    Image {
        name: "local/nginx:1",
        programs: &[(Path::new("/usr/sbin/nginx"), "/usr/sbin/nginx")],
        copies: &[
            (state, "/var/lib/nginx"),
            (empty.path(), "/var/log/nginx"),
            (empty.path(), "/run"),
        ],
        shell: false,
        entrypoint: &["/usr/sbin/nginx"],
        user: "",
    }
    .import(node);
}

/// Debian's memcached.
pub fn memcached(node: &Node) {
    one(node, "local/memcached:1", Path::new("/usr/bin/memcached"));
}

/// A nats-server.
pub fn nats(node: &Node, server: &Path) {
    one(node, "local/nats:1", server);
}

fn one(node: &Node, name: &str, program: &Path) {
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
