#!/bin/bash
# What a power cut does to the node: all of its processes end at once, containers too, and what is not on a disk is gone. The next up.sh
# goes on with what is. With names only these end: kubelet, etcd, ..., or pods.
set -uo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/remains.sh"
[ "$(owner)" = "$RUN" ] || { echo "there is no node" >&2; exit 1; }

pid_of() { local pid time; alive "$1" && read -r pid time <"$RUN/pid/$1" && echo "$pid"; }
if [ $# -gt 0 ]; then
  for name; do
    case $name in pods) kill -9 $(shims; in_pods);; *) kill -9 "$(pid_of "$name")";; esac || exit 1
  done
  exit
fi
networks=$(pod_networks) sockets=$(shim_sockets)
kill_processes || exit 1
rm -f "$RUN"/pid/*
remove_networks $networks
unmount
remove_cgroups
# On a machine these lie in memory.
rm -rf "$RUN/containerd/state" "$CONTAINERD_SOCKET"* $sockets
