//! What kubelet makes of what a policy mounts: files that follow an annotation, tokens, and volumes that the application has already.
use crate::room::Room;
use serde_json::Value;
use std::fs;

const SLEEP: &str = r#"image: "local/busybox:1", command: [sh, -c, "trap 'exit 0' TERM; sleep 100000 & wait"]"#;

/// A Pod that asks for the policy, and its further lines.
fn pod(name: &str, policy: &str, annotations: &str, spec: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, annotations: {{outrigger.dev/inject: {policy}{annotations}}}}}
spec:
  terminationGracePeriodSeconds: 5
{spec}
"#
    )
    .replace("@SLEEP@", SLEEP)
}

const FILES: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: reader}
spec:
  parameters: [{name: word, type: string, default: none}]
  sidecars:
    - container: {name: reader, @SLEEP@, securityContext: {runAsUser: 65534, runAsNonRoot: true, readOnlyRootFilesystem: true}}
      files: {mountPath: /etc/reader, items: {reader.yaml: {word: "${params.word}"}}}
"#;

#[tokio::test]
async fn a_file_is_readable_for_a_helper_that_is_not_root_and_follows_its_annotation() {
    let Some(room) = Room::with_outrigger("files").await else {
        return;
    };
    room.policies(&FILES.replace("@SLEEP@", SLEEP)).await;
    let said = ", reader.outrigger.dev/word: first";
    room.apply(&pod("web", "reader", said, "  containers: [{name: web, @SLEEP@}]"))
        .await;
    room.ready("web").await;
    let read = "cat /etc/reader/reader.yaml";
    assert_eq!(room.exec("web", "reader", read).await.unwrap(), "word: first\n");
    let web = room.get(&["pod", "web"]).await;
    let annotations = web["metadata"]["annotations"].as_object().unwrap();
    let file = annotations
        .keys()
        .find(|key| key.starts_with("reader.files.outrigger.dev/"));
    let change = format!("{}=word: second", file.unwrap());
    room.run(&["annotate", "pod", "web", "--overwrite", &change]).await;
    room.exec_until("web", "reader", read, |text| text.trim() == "word: second")
        .await;
}

const TOKENS: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: tokens}
spec:
  sidecars:
    - {container: {name: inherits, @SLEEP@}}
    - {container: {name: none, @SLEEP@}, serviceAccountToken: None}
    - container: {name: own, @SLEEP@, securityContext: {runAsUser: 65534, runAsGroup: 65534}}
      serviceAccountToken: {audience: vault, expirationSeconds: 600, path: vault}
"#;

const DIRECTORY: &str = "ls /var/run/secrets/kubernetes.io/serviceaccount 2>/dev/null || true";

/// The claims of a token, which is a JWT.
fn claims(token: &str) -> Value {
    let middle = token.split('.').nth(1).unwrap().replace('-', "+").replace('_', "/");
    let padded = format!("{middle}{}", "=".repeat((4 - middle.len() % 4) % 4));
    let bytes: k8s_openapi::ByteString = serde_json::from_value(padded.into()).unwrap();
    serde_json::from_slice(&bytes.0).unwrap()
}

#[tokio::test]
async fn a_helper_has_the_token_that_its_policy_says_whatever_the_application_has() {
    let Some(room) = Room::with_outrigger("tokens").await else {
        return;
    };
    room.policies(&TOKENS.replace("@SLEEP@", SLEEP)).await;
    let usual = "  containers: [{name: web, @SLEEP@}]";
    let without = format!("  automountServiceAccountToken: false\n{usual}");
    room.apply(&pod("usual", "tokens", "", usual)).await;
    room.apply(&pod("without", "tokens", "", &without)).await;
    let the_usual = "ca.crt\nnamespace\ntoken\n";
    let cases = [
        ("usual", "web", the_usual),
        ("usual", "inherits", the_usual),
        ("usual", "none", ""),
        ("usual", "own", "ca.crt\nnamespace\nvault\n"),
        ("without", "web", ""),
        ("without", "inherits", ""),
        ("without", "none", ""),
        ("without", "own", "ca.crt\nnamespace\nvault\n"),
    ];
    for (pod, container, expected) in cases {
        room.ready(pod).await;
        let found = room.exec(pod, container, DIRECTORY).await.unwrap();
        assert_eq!(found, expected, "{pod} {container}");
    }
    for pod in ["usual", "without"] {
        let read = "cat /var/run/secrets/kubernetes.io/serviceaccount/vault";
        let claims = claims(room.exec(pod, "own", read).await.unwrap().trim());
        assert_eq!(claims["aud"], serde_json::json!(["vault"]), "{claims}");
        assert_eq!(claims["kubernetes.io"]["pod"]["name"], pod, "{claims}");
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(life, 600);
    }
}

const VOLUMES: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: sharer}
spec:
  parameters: [{name: path, type: string, default: /data}]
  sidecars:
    - {container: {name: reads, @SLEEP@}, sharedVolumes: [{path: "${params.path}", readOnly: true}]}
    - {container: {name: writes, @SLEEP@}, sharedVolumes: [{path: "${params.path}"}]}
"#;

/// The application's own volume, which would be a claim's on a cluster with storage.
const CLAIM: &str = r#"
  containers:
    - {name: web, @SLEEP@, volumeMounts: [{name: data, mountPath: /data, subPath: mine@MORE@}]}
  volumes: [{name: data, hostPath: {path: "@DIRECTORY@"}}]"#;

/// One that nobody can write to.
const CONFIGURATION: &str = r#"
  containers:
    - {name: web, @SLEEP@, volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, configMap: {name: kube-root-ca.crt}}]"#;

#[tokio::test]
async fn helpers_share_the_volume_that_the_application_has_there() {
    let Some(room) = Room::with_outrigger("volumes").await else {
        return;
    };
    room.policies(&VOLUMES.replace("@SLEEP@", SLEEP)).await;
    let directory = room.directory("claim");
    fs::create_dir_all(directory.join("mine/deeper")).unwrap();
    fs::write(directory.join("others"), "not mine").unwrap();
    let claim = CLAIM.replace("@DIRECTORY@", &directory.display().to_string());
    // Where the application itself only reads, helpers may write nevertheless.
    let read_only = claim.replace("@MORE@", ", readOnly: true");
    let claim = claim.replace("@MORE@", "");
    // The directory is below the application's own mount.
    let deeper = ", sharer.outrigger.dev/path: /data/deeper";
    room.apply(&pod("claimed", "sharer", "", &claim)).await;
    room.apply(&pod("deeper", "sharer", deeper, &claim)).await;
    room.apply(&pod("reader", "sharer", "", &read_only)).await;
    room.apply(&pod("new", "sharer", "", "  containers: [{name: web, @SLEEP@}]"))
        .await;
    let impossible = pod("impossible", "sharer", "", CONFIGURATION);
    let refused = room
        .attempt(&["apply", "-f", "-"], Some(&impossible))
        .await
        .unwrap_err();
    assert!(
        refused.contains("policy \"sharer\"") && refused.contains("/data"),
        "{refused}"
    );

    let write = "(mkdir -p /data/deeper && echo $HOSTNAME >/data/deeper/file) 2>/dev/null && echo yes || echo no";
    for (pod, application_writes) in [("claimed", "yes"), ("deeper", "yes"), ("reader", "no"), ("new", "yes")] {
        room.ready(pod).await;
        for (container, writes) in [("reads", "no"), ("web", application_writes), ("writes", "yes")] {
            let wrote = room.exec(pod, container, write).await.unwrap();
            assert_eq!(wrote.trim(), writes, "{pod} {container}");
        }
        for container in ["reads", "web", "writes"] {
            let read = room
                .exec(pod, container, "ls /data; cat /data/deeper/file")
                .await
                .unwrap();
            assert_eq!(read, format!("deeper\n{pod}\n"), "{container}");
        }
    }
    let here = fs::read_to_string(directory.join("mine/deeper/file")).unwrap();
    assert_eq!(here, "reader\n");
}
