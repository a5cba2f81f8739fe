//! What each pattern adds, as the API server validates and stores it.
use crate::pods::{annotated, asking};
use crate::policies::{LOG_SAVER, MEMCACHED, METRICS, PREPARE, with};
use crate::scene::Scene;
use serde_json::json;

#[tokio::test]
async fn a_sidecar_shares_a_directory_and_brings_its_configuration() {
    let Some(scene) = Scene::new("sidecar", &[LOG_SAVER]).await else {
        return;
    };
    let pod = annotated(asking("log-saver"), "log-saver.outrigger.dev/memoryMiB", "128");
    let pod = scene.admit(&pod).await;
    assert_eq!(pod.names("initContainers"), ["log-saver"]);
    assert_eq!(
        pod.container("log-saver")["restartPolicy"],
        "Always",
        "a native sidecar"
    );
    assert_eq!(pod.container("log-saver")["resources"]["requests"]["memory"], "128Mi");

    let volume = pod.volume_at("app", "/var/log/app");
    assert_eq!(pod.volume_at("log-saver", "/var/log/app"), volume);
    assert_eq!(pod.volume(volume)["emptyDir"]["sizeLimit"], "1Gi");
    assert_eq!(pod.mount("log-saver", "/var/log/app").unwrap()["readOnly"], true);
    assert!(pod.mount("app", "/var/log/app").unwrap()["readOnly"].is_null());

    let files = &pod.volume(pod.volume_at("log-saver", "/etc/log-saver"))["downwardAPI"]["items"];
    assert_eq!(files[0]["path"], "config.yaml");
    let field = files[0]["fieldRef"]["fieldPath"].as_str().unwrap();
    let key = field
        .strip_prefix("metadata.annotations['")
        .unwrap()
        .strip_suffix("']")
        .unwrap();
    assert!(key.starts_with("log-saver.files.outrigger.dev/"), "{key}");
    let text = pod.annotation(key).unwrap();
    assert!(text.contains("/var/log/app/*.log") && text.contains("stdout"), "{text}");
}

#[tokio::test]
async fn a_sidecar_joins_the_volume_that_the_application_mounts_already() {
    let Some(scene) = Scene::new("joined", &[LOG_SAVER]).await else {
        return;
    };
    let mut pod = asking("log-saver");
    pod["spec"]["volumes"] = json!([{"name": "logs", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "logs", "mountPath": "/var/log/app", "subPath": "web"}]);
    let pod = scene.admit(&pod).await;
    assert_eq!(pod.volume_at("log-saver", "/var/log/app"), "logs");
    assert_eq!(pod.mount("log-saver", "/var/log/app").unwrap()["subPath"], "web");
}

#[tokio::test]
async fn a_classic_sidecar_stands_beside_the_application() {
    let classic = with(
        LOG_SAVER,
        "      sharedVolumes:",
        "      lifecycle: Container\n      sharedVolumes:",
    );
    let Some(scene) = Scene::new("classic", &[&classic]).await else {
        return;
    };
    let pod = scene.admit(&asking("log-saver")).await;
    assert_eq!(pod.names("containers"), ["app", "log-saver"]);
    assert!(pod.names("initContainers").is_empty());
    assert!(pod.container("log-saver")["restartPolicy"].is_null());
}

#[tokio::test]
async fn a_classic_sidecar_in_front_leaves_the_application_the_default_container() {
    let first = "      lifecycle: Container\n      placement: {position: First}\n      sharedVolumes:";
    let classic = with(LOG_SAVER, "      sharedVolumes:", first);
    let Some(scene) = Scene::new("in-front", &[&classic]).await else {
        return;
    };
    let pod = scene.admit(&asking("log-saver")).await;
    assert_eq!(pod.names("containers"), ["log-saver", "app"]);
    assert_eq!(pod.annotation("kubectl.kubernetes.io/default-container"), Some("app"));
}

#[tokio::test]
async fn an_ambassador_starts_first_and_tells_its_address() {
    let Some(scene) = Scene::new("ambassador", &[MEMCACHED]).await else {
        return;
    };
    let mut pod = asking("memcached");
    pod["spec"]["initContainers"] = json!([{"name": "migrate", "image": "registry.test/migrate:1"}]);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "CACHE", "value": "$(MEMCACHED_ADDR)"}]);
    let pod = scene.admit(&pod).await;
    assert_eq!(pod.names("initContainers"), ["memcached-proxy", "migrate"]);
    for container in ["app", "migrate"] {
        assert_eq!(
            pod.variable(container, "MEMCACHED_ADDR"),
            Some("127.0.0.1:11211"),
            "{container}"
        );
    }
    assert_eq!(
        pod.container("app")["env"][0]["name"],
        "MEMCACHED_ADDR",
        "before those that refer to it"
    );
    assert_eq!(pod.variable("memcached-proxy", "MEMCACHED_ADDR"), None);
}

#[tokio::test]
async fn an_adapter_is_advertised_to_prometheus() {
    let Some(scene) = Scene::new("adapter", &[METRICS]).await else {
        return;
    };
    let pod = scene.admit(&asking("metrics")).await;
    for (key, value) in [
        ("scrape", "true"),
        ("port", "9113"),
        ("path", "/metrics"),
        ("scheme", "http"),
    ] {
        assert_eq!(pod.annotation(&format!("prometheus.io/{key}")), Some(value), "{key}");
    }
    let port = &pod.container("exporter")["ports"][0];
    assert_eq!(port["containerPort"], 9113);
    assert!(port["name"].is_string(), "{port}");
}

#[tokio::test]
async fn an_adapter_leaves_the_word_to_an_application_that_speaks_for_itself() {
    let Some(scene) = Scene::new("own-metrics", &[METRICS]).await else {
        return;
    };
    let pod = annotated(asking("metrics"), "prometheus.io/port", "8080");
    let answer = scene.namespace.create(&pod).await;
    assert!(
        answer.warnings.iter().any(|warning| warning.contains("prometheus.io")),
        "{:?}",
        answer.warnings
    );
    let pod = crate::pods::Admitted(answer.object());
    assert_eq!(pod.annotation("prometheus.io/port"), Some("8080"));
    assert_eq!(pod.annotation("prometheus.io/scrape"), None, "all or nothing");
}

#[tokio::test]
async fn an_init_container_runs_once_and_the_application_finds_what_it_made() {
    let Some(scene) = Scene::new("init", &[PREPARE]).await else {
        return;
    };
    let pod = scene.admit(&asking("prepare")).await;
    assert_eq!(pod.names("initContainers"), ["prepare"]);
    assert!(pod.container("prepare")["restartPolicy"].is_null());
    assert_eq!(pod.volume_at("prepare", "/srv/data"), pod.volume_at("app", "/srv/data"));
    assert_eq!(pod.variable("app", "PREPARED"), Some("yes"));
}

#[tokio::test]
async fn sidecar_ambassador_adapter_and_init_container_share_one_pod() {
    let Some(scene) = Scene::new("all", &[LOG_SAVER, MEMCACHED, METRICS, PREPARE]).await else {
        return;
    };
    let pod = scene.admit(&asking("prepare,metrics,memcached,log-saver")).await;
    assert_eq!(pod.injected(), ["log-saver", "memcached", "metrics", "prepare"]);
    assert_eq!(pod.names("containers"), ["app"]);
    let helpers = pod.names("initContainers");
    assert_eq!(helpers.len(), 4, "{helpers:?}");
    assert_eq!(
        helpers[0], "memcached-proxy",
        "an ambassador is there before all others"
    );
}

#[tokio::test]
async fn additions_to_the_pod_itself_are_made() {
    let policy = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: extras}
spec:
  app:
    volumeMounts: [{name: certs, mountPath: /certs, readOnly: true}]
  pod:
    labels: {extras: "${namespaceObject.metadata.name}"}
    annotations: {example.com/extras: "on"}
    volumes: [{name: certs, emptyDir: {medium: Memory}}]
    imagePullSecrets: [{name: registry}]
    hostAliases: [{ip: 10.0.0.9, hostnames: [mail.test]}]
    shareProcessNamespace: true
"#;
    let Some(scene) = Scene::new("extras", &[policy]).await else {
        return;
    };
    let pod = scene.admit(&asking("extras")).await;
    assert_eq!(pod.0["metadata"]["labels"]["extras"], scene.namespace.name);
    assert_eq!(pod.annotation("example.com/extras"), Some("on"));
    assert_eq!(
        pod.volume(pod.volume_at("app", "/certs"))["emptyDir"]["medium"],
        "Memory"
    );
    let spec = &pod.0["spec"];
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(spec["hostAliases"][0]["hostnames"], json!(["mail.test"]));
    assert_eq!(spec["shareProcessNamespace"], true);
}
