# The cluster's authority, a certificate for each of its programs, and their kubeconfigs.
pki=$RUN/pki

certificate() { # NAME SUBJECT [NAMES]
  [ -f "$pki/$1.crt" ] && return
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 -out "$pki/$1.crt" \
    -extfile <(echo "extendedKeyUsage=serverAuth,clientAuth"; [ -z "${3:-}" ] || echo "subjectAltName=$3") 2>/dev/null
}

kubeconfig() { # FILE CERTIFICATE SERVER
  cat >"$1" <<K
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "$3", certificate-authority: $pki/ca.crt}}]
users: [{name: user, user: {client-certificate: $pki/$2.crt, client-key: $pki/$2.key}}]
contexts: [{name: node, context: {cluster: node, user: user}}]
current-context: node
K
}

make_pki() {
  [ -f "$pki/ca.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=outrigger-node \
    -addext keyUsage=critical,keyCertSign,digitalSignature -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
  certificate apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$NODE_IP,IP:$API_SVC_IP,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet
  certificate kubelet-server "/CN=$NODE" "IP:$NODE_IP,DNS:$NODE"
  certificate kubelet "/O=system:nodes/CN=system:node:$NODE"
  certificate admin /O=system:masters/CN=admin
  certificate controllers /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  [ -f "$pki/sa.key" ] || openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
  local api=https://$NODE_IP:$API_PORT user
  kubeconfig "$KUBECONFIG_INSIDE" admin "$api"
  kubeconfig "$KUBECONFIG_HOST" admin "https://127.0.0.1:$API_PORT"
  for user in kubelet controllers scheduler proxy; do kubeconfig "$RUN/$user.kubeconfig" "$user" "$api"; done
}
