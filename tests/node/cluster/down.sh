#!/bin/bash
# Ends what up.sh has started, and takes away its containers, mounts, cgroups and network namespace. KEEP=1 keeps $RUN (keys,
# images, data), so that the next up.sh goes on with it.
set -uo pipefail
. "$(dirname "$0")/env.sh"

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
  local ids id
  ids=$(in_containerd containers ls -q 2>/dev/null)
  in_containerd tasks ls -q 2>/dev/null | for_each tasks rm -f
  echo "$ids" | for_each containers rm
  # Outside of $RUN: this path is compiled in.
  for id in $ids; do rm -f /var/lib/cni/results/*-"$id"-*; done
}
# When even that has failed: our shims know our socket.
kill_shims() {
  local file pid
  for file in /proc/[0-9]*/cmdline; do
    if { tr '\0' ' ' <"$file"; } 2>/dev/null | grep -q "^[^ ]*containerd-shim-runc-v2 .*-address $CONTAINERD_SOCKET "; then
      pid=${file#/proc/}; pid=${pid%/cmdline}
      kill -9 $(cat "/proc/$pid/task/"*/children 2>/dev/null) "$pid" 2>/dev/null
    fi
  done
}
mounts() { awk -v run="$RUN/" 'index($5, run) == 1 {print $5}' /proc/self/mountinfo | sort -r; }

for name in forward proxy scheduler controllers kubelet; do stop $name; done
networks=$(grep -rhoE --include=config.json '/run/netns/cni-[0-9a-f-]+' "$RUN/containerd/state" 2>/dev/null | sort -u)
if [ -f "$RUN/containerd/config.toml" ] && command -v ctr >/dev/null; then
  revive_containerd
  remove_containers
fi
kill_shims
for network in $networks; do umount "$network" 2>/dev/null; rm -f "$network"; done
stop containerd; stop apiserver 20; stop etcd
for _ in 1 2 3; do mounts | while read -r mount; do umount "$mount" 2>/dev/null || umount -l "$mount"; done; done
for cgroup in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods; do
  [ ! -d "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
done
if [ -s "$RUN/sysctl.before" ]; then
  while IFS= read -r setting; do sysctl -qw "$setting"; done <"$RUN/sysctl.before"
  rm -f "$RUN/sysctl.before"
fi
# Outside of $RUN, since these paths are compiled in.
find /var/log/containers -maxdepth 1 -lname "$RUN/*" -delete 2>/dev/null
rm -f /var/lib/kubelet/device-plugins/kubelet.sock
rmdir /var/lib/cni/results /var/lib/cni /run/containerd/s /run/containerd /var/lib/kubelet/device-plugins /var/lib/kubelet /var/log/containers 2>/dev/null
[ ! -e "/run/netns/$NETNS" ] || ip netns del "$NETNS"
# A mount that is left may be a directory of the host.
if [ -n "$(mounts)" ]; then echo "mounts are left under $RUN; it is not deleted" >&2; exit 1; fi
[ -n "${KEEP:-}" ] || rm -rf "$RUN"
