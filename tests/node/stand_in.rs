//! Stand-ins for helpers that cannot be had without a registry: images of the same name, started with the same arguments,
//! files, mounts and user.
use crate::images::Image;
use outrigger_harness::Node;
use std::path::Path;

/// In place of fluent-bit: reads from its configuration which files are tailed, and prints each of their lines. Told to end, it looks
/// once more, as the policy has fluent-bit do.
const TAIL: &str = r#"#!/bin/sh
config=${1#--config=}
files=$(sed -n 's/^ *path: //p' "$config" | tr -d "\"'")
[ -n "$files" ] || { echo "no path in $config" >&2; exit 1; }
look() {
  for file in $files; do
    [ -f "$file" ] || continue
    seen=seen_$(echo "$file" | tr -c 'a-zA-Z0-9\n' _)
    eval "from=\${$seen:-0}"
    to=$(wc -c <"$file")
    [ "$to" -eq "$from" ] || tail -c "+$((from + 1))" "$file" | head -c "$((to - from))"
    eval "$seen=$to"
  done
}
trap 'ended=yes' TERM
while [ -z "$ended" ]; do look; sleep 0.2; done
look
"#;

/// Imports the stand-in for fluent-bit under the name that the policy uses.
pub fn fluent_bit(node: &Node) {
    let directory = tempfile::tempdir().unwrap();
    let script = executable(directory.path(), "fluent-bit", TAIL);
    Image {
        name: "fluent/fluent-bit:4.0",
        programs: &[],
        copies: &[(&script, "/fluent-bit/bin/fluent-bit")],
        shell: true,
        entrypoint: &["/fluent-bit/bin/fluent-bit"],
        user: "",
    }
    .import(node);
}

fn executable(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// In place of git-sync: a clone for each version, and a link that is moved when the clone is whole.
const SYNC: &str = r#"#!/bin/sh
export HOME=/tmp
for argument; do case $argument in
  --repo=*) repo=${argument#*=};; --ref=*) ref=${argument#*=};; --root=*) root=${argument#*=};; --link=*) link=${argument#*=};;
  --period=*) period=${argument#*=};;
esac; done
trap 'exit 0' TERM
while :; do
  version=$(git ls-remote "$repo" "$ref" | cut -f1)
  if [ -n "$version" ] && [ "$(readlink "$root/$link")" != ".worktrees/$version" ]; then
    mkdir -p "$root/.worktrees"
    if git clone --quiet "$repo" "$root/.worktrees/$version" && git -C "$root/.worktrees/$version" checkout --quiet "$version"; then
      ln -sfn ".worktrees/$version" "$root/.next" && mv -T "$root/.next" "$root/$link" && echo "at $version"
    fi
  fi
  sleep "${period%s}" & wait $!
done
"#;

/// Imports the stand-in for git-sync under the name that the policy uses. It also serves repositories, as `local/git:1`.
pub fn git_sync(node: &Node) {
    let directory = tempfile::tempdir().unwrap();
    let script = executable(directory.path(), "git-sync", SYNC);
    for (name, entrypoint) in [
        ("registry.k8s.io/git-sync/git-sync:v4.5.1", &["/git-sync"][..]),
        ("local/git:1", &[]),
    ] {
        Image {
            name,
            programs: &[
                (Path::new("/usr/bin/git"), "/usr/bin/git"),
                (
                    Path::new("/usr/lib/git-core/git-remote-http"),
                    "/usr/lib/git-core/git-remote-http",
                ),
            ],
            copies: &[(&script, "/git-sync")],
            shell: true,
            entrypoint,
            user: "",
        }
        .import(node);
    }
}
