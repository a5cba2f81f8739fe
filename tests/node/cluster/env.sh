# What the scripts beside this one have in common. Every setting can be given in the environment.
: "${HERE:=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}"
: "${BIN:?the directory of etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubectl and coredns}"
: "${RUN:?a directory for all state: keys, data, logs, images, process ids}"
: "${NETNS:=outrigger}"     # the network namespace that everything runs in; made and deleted here
: "${NODE:=node1}"
: "${NODE_IP:=10.90.0.1}"   # on a bridge inside the namespace: kubelet refuses a loopback address
: "${POD_CIDR:=10.91.0.0/24}"
: "${SVC_CIDR:=10.92.0.0/24}"
: "${API_SVC_IP:=10.92.0.1}" # the first of SVC_CIDR
: "${DNS_IP:=10.92.0.10}"
: "${API_PORT:=26443}"      # on NODE_IP inside, and on 127.0.0.1 of the host
: "${WAIT:=120}"            # seconds for each thing to come up

CONTAINERD_SOCKET=$RUN/containerd/containerd.sock
OWNER=/run/$NETNS.node
KUBECONFIG_INSIDE=$RUN/kubeconfig
KUBECONFIG_HOST=$RUN/kubeconfig-host

# Not "ip netns exec": that mounts another /sys, without the cgroups.
inside() { nsenter --net=/run/netns/"$NETNS" "$@"; }
kubectl() { inside "$BIN/kubectl" --kubeconfig "$KUBECONFIG_INSIDE" "$@"; }
images() { ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io images "$@"; }
# Process ids are used again: the start time tells whether it is still the same process.
started_at() { awk '$3 != "Z" {print $22}' "/proc/$1/stat" 2>/dev/null; }
alive() {
  local pid time
  [ -s "$RUN/pid/$1" ] || return 1
  read -r pid time <"$RUN/pid/$1"
  [ "$(started_at "$pid")" = "$time" ]
}
# What has just been started in the background is called NAME from now on.
remember() { echo "$2 $(started_at "$2")" >"$RUN/pid/$1"; }
