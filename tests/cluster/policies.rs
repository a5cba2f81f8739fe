//! The policies of these tests; their images are never pulled.

/// A sidecar with parameters, a shared volume and a file.
pub const LOG_SAVER: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: log-saver}
spec:
  description: Forwards the application's log files to log storage.
  parameters:
    - {name: path, type: string, default: /var/log/app, pattern: "/[a-z0-9/._-]+", description: Directory of the log files.}
    - {name: destination, type: string, enum: [stdout, loki], default: stdout, settableBy: [Namespace]}
    - {name: memoryMiB, type: integer, minimum: 16, maximum: 1024, default: 64}
  sidecars:
    - container:
        name: log-saver
        image: registry.test/log-saver:1
        args: ["--config=/etc/log-saver/config.yaml"]
        resources: {requests: {cpu: 10m, memory: "${string(params.memoryMiB)}Mi"}}
      sharedVolumes:
        - {path: "${params.path}", readOnly: true, emptyDir: {sizeLimit: 1Gi}}
      files:
        mountPath: /etc/log-saver
        items:
          config.yaml:
            pipeline:
              inputs: [{name: tail, path: "${params.path}/*.log"}]
              outputs: [{name: "${params.destination}", match: "*"}]
"#;

/// An ambassador that tells the application its address, and has no use for the API server.
pub const MEMCACHED: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: memcached}
spec:
  ambassadors:
    - container:
        name: memcached-proxy
        image: registry.test/memcached-proxy:1
        startupProbe: {tcpSocket: {port: 11211}}
      serviceAccountToken: None
      endpoints:
        - {name: memcached, port: 11211, protocol: TCP, env: [{name: MEMCACHED_ADDR, value: "127.0.0.1:11211"}]}
"#;

/// An adapter that serves metrics.
pub const METRICS: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: metrics}
spec:
  adapters:
    - container: {name: exporter, image: "registry.test/exporter:1"}
      metrics: {port: 9113, path: /metrics, scheme: http}
"#;

/// A plain init container, a variable, and a token of its own.
pub const PREPARE: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: prepare}
spec:
  initContainers:
    - container: {name: prepare, image: "registry.test/prepare:1"}
      sharedVolumes: [{path: /srv/data, emptyDir: {}}]
  app:
    env: [{name: PREPARED, value: "yes"}]
"#;

/// A sidecar with a projected token.
pub const VAULT: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: vault}
spec:
  sidecars:
    - container: {name: vault-agent, image: "registry.test/vault-agent:1"}
      serviceAccountToken: {audience: vault.test, expirationSeconds: 3600, path: token}
"#;

/// A sidecar for Pods of the tier `frontend` in namespaces of the team `web`, without being asked.
pub const BY_MATCH: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: frontend}
spec:
  match:
    namespaceSelector: {matchLabels: {team: web}}
    podSelector: {matchLabels: {tier: frontend}}
  sidecars:
    - container: {name: frontend, image: "registry.test/frontend:1"}
"#;

/// The same policy with another line: `with(METRICS, "spec:", "spec:\n  paused: true")`.
#[track_caller]
pub fn with(policy: &str, old: &str, new: &str) -> String {
    assert!(policy.contains(old), "{old} is not in the policy");
    policy.replacen(old, new, 1)
}
