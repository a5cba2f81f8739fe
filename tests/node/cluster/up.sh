#!/bin/bash
# Brings up one whole Kubernetes node in a network namespace of its own: etcd, API server, controller manager, scheduler,
# containerd, kubelet, kube-proxy, CoreDNS. What runs already is left alone. Settings: env.sh. Undone by down.sh.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/remains.sh"
. "$HERE/pki.sh"
. "$HERE/config.sh"
mkdir -p "$RUN"/{pid,log,pki,etcd,cni/net.d,containerd,kubelet,pod-logs,img}
begin=$EPOCHREALTIME
say() { awk -v a="$begin" -v b="$EPOCHREALTIME" -v what="$*" 'BEGIN {printf "%6.1f s  %s\n", b - a, what}'; }

start() { # NAME COMMAND...
  local name=$1; shift
  if alive "$name"; then return; fi
  setsid nsenter --net=/run/netns/"$NETNS" "$@" >>"$RUN/log/$name.log" 2>&1 </dev/null &
  remember "$name" $!
}
wait_for() { # WHAT NAME COMMAND...
  local what=$1 name=$2 try; shift 2
  for ((try = 0; try < WAIT * 5; try++)); do
    if "$@" >/dev/null 2>&1; then say "$what"; return; fi
    alive "$name" || fail "$name" "$name has ended:"
    sleep 0.2
  done
  fail "$name" "not within $WAIT s: $what"
}
fail() { echo "$2"; tail -20 "$RUN/log/$1.log"; exit 1; } >&2

# Two kubelets would end each other's Pods.
alone() {
  if [ "$(owner)" != "$RUN" ] && [ -n "$(processes)" ]; then
    echo "there is another node on this machine; take it away first${1:+: make demo-down, where $1 is}" >&2; exit 1
  fi
  echo "$RUN" >"$OWNER"
}

network() {
  [ -e "/run/netns/$NETNS" ] || ip netns add "$NETNS"
  inside ip link set lo up
  # A bridge without ports, since not every kernel has dummy devices.
  inside ip link show node0 >/dev/null 2>&1 || inside ip link add node0 type bridge
  inside ip addr replace "$NODE_IP/24" dev node0
  inside ip link set node0 up
  # There is no default route: without this one a Service's address cannot be reached before it is translated.
  inside ip route replace "$SVC_CIDR" dev node0 src "$NODE_IP"
  inside sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
}

control_plane() {
  local etcd=http://127.0.0.1:23792
  start etcd "$BIN/etcd" --data-dir "$RUN/etcd" --unsafe-no-fsync --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
    --listen-peer-urls http://127.0.0.1:23793
  start apiserver "$BIN/kube-apiserver" --etcd-servers="$etcd" --bind-address="$NODE_IP" --advertise-address="$NODE_IP" --secure-port="$API_PORT" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
    --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.key" --service-account-signing-key-file="$pki/sa.key" \
    --service-cluster-ip-range="$SVC_CIDR"
}

controllers() {
  # Each controller has credentials of its own, and each of those the common limit of requests: too low for tests.
  start controllers "$BIN/kube-controller-manager" --kubeconfig="$RUN/controllers.kubeconfig" --authentication-kubeconfig="$RUN/controllers.kubeconfig" \
    --authorization-kubeconfig="$RUN/controllers.kubeconfig" --authentication-skip-lookup --leader-elect=false --bind-address=127.0.0.1 \
    --kube-api-qps=200 --kube-api-burst=400 --use-service-account-credentials --service-account-private-key-file="$pki/sa.key" \
    --root-ca-file="$pki/ca.crt" --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --flex-volume-plugin-dir="$RUN/kubelet/plugins-exec" --service-cluster-ip-range="$SVC_CIDR"
  start scheduler "$BIN/kube-scheduler" --kubeconfig="$RUN/scheduler.kubeconfig" --authentication-kubeconfig="$RUN/scheduler.kubeconfig" \
    --authorization-kubeconfig="$RUN/scheduler.kubeconfig" --authentication-skip-lookup --leader-elect=false --bind-address=127.0.0.1
}

have() { images ls -q 2>/dev/null | grep -qx "docker.io/$1"; }

# The images that the node itself needs, and busybox.
base_images() {
  if ! have local/pause:1; then
    gcc -Os -static -s -o "$RUN/img/pause" "$HERE/pause.c"
    "$HERE/image.sh" -n local/pause:1 -b "$RUN/img/pause"
  fi
  if ! have local/busybox:1; then
    local root=$RUN/img/busybox applet
    rm -rf "$root"; mkdir -p "$root"/{bin,etc,tmp,root}; chmod 1777 "$root/tmp"
    cp "$(command -v busybox)" "$root/bin/"
    for applet in $("$root/bin/busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    "$HERE/image.sh" -n local/busybox:1 -r "$root" -c sh
  fi
  have local/coredns:1 || "$HERE/image.sh" -n local/coredns:1 -b "$BIN/coredns"
}

# kubelet changes these for the whole machine; down.sh puts them back.
remember_sysctls() {
  [ -f "$RUN/sysctl.before" ] && return
  local name
  for name in vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes; do
    echo "$name=$(sysctl -n $name 2>/dev/null || true)"
  done | grep -v '=$' >"$RUN/sysctl.before"
}

# The API server on the host's loopback.
forward() {
  if alive forward; then return; fi
  setsid python3 "$HERE/forward.py" "127.0.0.1:$API_PORT" "/run/netns/$NETNS" "$NODE_IP:$API_PORT" >>"$RUN/log/forward.log" 2>&1 </dev/null &
  sleep 0.05; remember forward $!
}

# As this kubelet says: etcd may have kept what an earlier one has said.
node_is_ready() {
  local status since
  read -r status since < <(kubectl get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}')
  [ "$status" = True ] && [ ! "$since" \< "$(date -u -r "$RUN/pid/kubelet" +%FT%TZ)" ]
}
# By kube-proxy and CoreDNS.
names_are_resolved() { inside timeout 2 busybox nslookup -type=a kubernetes.default.svc.cluster.local "$DNS_IP"; }

# For the sockets below it: the kernel takes 107 characters.
[ ${#RUN} -le 70 ] || { echo "$RUN is too long a path for a node; set CARGO_TARGET_DIR to a shorter one" >&2; exit 1; }
alone "$(owner)"
network
make_pki
control_plane
containerd_config
start containerd containerd -c "$RUN/containerd/config.toml"
wait_for "containerd answers" containerd ctr --address "$CONTAINERD_SOCKET" version
base_images; say "images are there"
wait_for "the API server is ready" apiserver kubectl get --raw /readyz
controllers
remember_sysctls
kubelet_config
start kubelet "$BIN/kubelet" --config="$RUN/kubelet.yaml" --kubeconfig="$RUN/kubelet.kubeconfig" --root-dir="$RUN/kubelet" --cert-dir="$RUN/kubelet/pki" \
  --hostname-override="$NODE" --node-ip="$NODE_IP"
proxy_config
start proxy "$BIN/kube-proxy" --config="$RUN/proxy.yaml"
forward
wait_for "the node is ready" kubelet node_is_ready
wait_for "namespaces get their ServiceAccount" controllers kubectl get serviceaccount default --namespace default
wait_for "it is reached from this machine" forward "$BIN/kubectl" --kubeconfig "$KUBECONFIG_HOST" get --raw /readyz
sed "s/@DNS_IP@/$DNS_IP/" "$HERE/coredns.yaml" | kubectl apply -f - >/dev/null
wait_for "names are resolved" kubelet names_are_resolved
