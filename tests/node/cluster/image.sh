#!/bin/bash
# Makes an image of one layer, and imports it into the node's containerd. The same input gives the same image.
#   image.sh -n NAME:TAG (-r ROOT_DIRECTORY | -b STATIC_BINARY) [-e ENTRYPOINT_WORD]... [-c COMMAND_WORD]... [-E NAME=VALUE]... [-u USER] [-w DIRECTORY]
# A binary lies at /<its name>, and is the entrypoint when none is given.
set -euo pipefail
. "$(dirname "$0")/env.sh"
name= root= binary= user= directory=/
entrypoint=() command=() variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
while getopts n:r:b:e:c:E:u:w: flag; do case $flag in
  n) name=$OPTARG;; r) root=$OPTARG;; b) binary=$OPTARG;; e) entrypoint+=("$OPTARG");; c) command+=("$OPTARG");;
  E) variables+=("$OPTARG");; u) user=$OPTARG;; w) directory=$OPTARG;; *) exit 2;;
esac; done
[ -n "$name" ] && { [ -n "$root" ] || [ -n "$binary" ]; } || { sed -n 2,4p "$0"; exit 2; }

string() { printf '"'; printf %s "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' | tr '\n' ' '; printf '"'; }
strings() { local separator= word; printf '['; for word in "$@"; do printf %s "$separator"; string "$word"; separator=,; done; printf ']'; }

work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
if [ -n "$binary" ]; then
  root=$work/root
  mkdir -p "$root"/{etc,tmp}; chmod 1777 "$root/tmp"
  install -m 755 "$binary" "$root/$(basename "$binary")"
  [ ${#entrypoint[@]} -gt 0 ] || entrypoint=("/$(basename "$binary")")
fi
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$root" -cf "$work/layer.tar" .
digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
machine=$(uname -m); machine=${machine/x86_64/amd64}; machine=${machine/aarch64/arm64}
printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Env":%s,"Entrypoint":%s,"Cmd":%s,"User":%s,"WorkingDir":%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$machine" "$(strings "${variables[@]}")" "$(strings ${entrypoint[@]+"${entrypoint[@]}"})" "$(strings ${command[@]+"${command[@]}"})" \
  "$(string "$user")" "$(string "$directory")" "$digest" >"$work/config.json"
printf '[{"Config":"config.json","RepoTags":[%s],"Layers":["layer.tar"]}]' "$(string "$name")" >"$work/manifest.json"
tar --mtime=@0 --owner=0 --group=0 -C "$work" -cf "$work/image.tar" manifest.json config.json layer.tar
images import "$work/image.tar" >/dev/null
