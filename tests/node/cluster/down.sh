#!/bin/bash
# Ends what up.sh has started, and takes away its containers, mounts, cgroups and network namespace. KEEP=1 keeps $RUN (keys,
# images, data), so that the next up.sh goes on with it.
set -uo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/remains.sh"

stop() { # NAME [SECONDS]
  local pid time try
  alive "$1" || { rm -f "$RUN/pid/$1"; return 0; }
  read -r pid time <"$RUN/pid/$1"
  kill "$pid" 2>/dev/null
  for ((try = 0; try < ${2:-10} * 10; try++)); do alive "$1" || break; sleep 0.1; done
  alive "$1" && kill -9 "$pid" 2>/dev/null
  rm -f "$RUN/pid/$1"
}
in_containerd() { timeout 20 ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@"; }
for_each() { xargs -r -P8 -I{} timeout 20 ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@" {} >/dev/null 2>&1; }

# Only a containerd can take its containers down cleanly, also after one that has crashed.
revive_containerd() {
  alive containerd && return
  setsid containerd -c "$RUN/containerd/config.toml" >>"$RUN/log/containerd.log" 2>&1 </dev/null &
  local pid=$! try
  for ((try = 0; try < 50; try++)); do ctr --address "$CONTAINERD_SOCKET" version >/dev/null 2>&1 && break; sleep 0.2; done
  remember containerd $pid
}
remove_containers() {
  local ids
  ids=$(in_containerd containers ls -q 2>/dev/null)
  in_containerd tasks ls -q 2>/dev/null | for_each tasks rm -f
  echo "$ids" | for_each containers rm
}

end() {
  local name networks sockets
  for name in forward proxy scheduler controllers kubelet; do stop $name; done
  networks=$(pod_networks) sockets=$(shim_sockets)
  if [ -f "$RUN/containerd/config.toml" ] && command -v ctr >/dev/null; then
    revive_containerd
    remove_containers
  fi
  stop containerd; stop apiserver 20; stop etcd
  # When even that has failed.
  kill_processes || exit 1
  remove_networks $networks
  unmount
  remove_cgroups
  rm -f $sockets
  if [ -s "$RUN/sysctl.before" ]; then
    while IFS= read -r setting; do sysctl -qw "$setting"; done <"$RUN/sysctl.before"
    rm -f "$RUN/sysctl.before"
  fi
  rm -f "$OWNER"
}

case $(owner) in
  "$RUN") end;;
  "") ;; # The machine has been restarted since.
  *) rm -rf "$RUN"; exit;; # It was refused for the sake of that one.
esac
# Outside of $RUN, since these paths are compiled in.
find /var/log/containers -maxdepth 1 -lname "$RUN/*" -delete 2>/dev/null
for file in /var/lib/cni/results/outrigger-pods-*; do
  container=${file#*outrigger-pods-}
  rm -f /var/lib/cni/results/*-"${container%-*}"-*
done
rm -f /var/lib/kubelet/device-plugins/kubelet.sock
rmdir /var/lib/cni/results /var/lib/cni /run/containerd/s /run/containerd /var/lib/kubelet/device-plugins /var/lib/kubelet /var/log/containers 2>/dev/null
# A mount that is left may be a directory of the host.
if [ -n "$(mounts)" ]; then echo "mounts are left under $RUN; it is not deleted" >&2; exit 1; fi
[ -n "${KEEP:-}" ] || rm -rf "$RUN"
