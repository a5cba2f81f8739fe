# What a node is seen by besides its own programs and $RUN, and how that is taken away.

# Which node this machine has: its $RUN. Not below it, where cargo clean would take it away.
owner() { cat "$OWNER" 2>/dev/null; }

# Containers' processes: our shims know our socket.
shims() {
  comm -12 <(grep -lsz 'containerd-shim-runc-v2$' /proc/[0-9]*/cmdline | sort) \
    <(grep -lszFx -- "$CONTAINERD_SOCKET" /proc/[0-9]*/cmdline | sort) | cut -d/ -f3
}
cgroups() { find /sys/fs/cgroup -maxdepth 2 -type d -name kubepods; }
in_pods() { cgroups | while read -r cgroup; do find "$cgroup" -name cgroup.procs -exec cat {} +; done; }
processes() { { ip netns pids "$NETNS"; shims; in_pods; } 2>/dev/null | sort -u; }
kill_processes() {
  local left try
  for ((try = 0; try < 100; try++)); do
    left=$(processes)
    [ -n "$left" ] || return 0
    kill -9 $left 2>/dev/null
    sleep 0.1
  done
  echo "these processes do not end: $left" >&2; return 1
}

# Named by containerd's state: to be asked while that is there.
pod_networks() { grep -rhoE --include=config.json '/run/netns/cni-[0-9a-f-]+' "$RUN/containerd/state" 2>/dev/null | sort -u; }
shim_sockets() { cat "$RUN"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*/address 2>/dev/null | grep -o '/run/containerd/s/[0-9a-f]*'; }

remove_networks() {
  local network
  for network; do umount "$network" 2>/dev/null; rm -f "$network"; done
  [ ! -e "/run/netns/$NETNS" ] || ip netns del "$NETNS"
  # A mount that ip makes for the first one, and leaves.
  [ -n "$(ls /run/netns 2>/dev/null)" ] || { umount /run/netns; rmdir /run/netns; } 2>/dev/null
}
mounts() { awk -v run="$RUN/" 'index($5, run) == 1 {print $5}' /proc/self/mountinfo | sort -r; }
unmount() {
  local mount
  for _ in 1 2 3; do mounts | while read -r mount; do umount "$mount" 2>/dev/null || umount -l "$mount"; done; done
}
remove_cgroups() {
  local cgroup
  for cgroup in $(cgroups); do find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null; done
}
