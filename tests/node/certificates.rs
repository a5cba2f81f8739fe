//! The certificate that the replicas serve, and the authority that signs it, are renewed while Pods are created.
use crate::injector::SYSTEM;
use crate::room::Room;
use crate::stream;
use outrigger_harness::demand::say;

/// The data of the Secret that is under this key.
async fn secret(room: &Room, key: &str) -> String {
    let path = format!("jsonpath={{.data.{}}}", key.replace('.', "\\."));
    room.run(
        &[
            &SYSTEM[..],
            &["get", "secret", "outrigger-certificate", "--output", &path],
        ]
        .concat(),
    )
    .await
}

async fn other_than(room: &Room, key: &str, former: &str) {
    let path = format!("jsonpath={{.data.{}}}", key.replace('.', "\\."));
    let get = ["get", "secret", "outrigger-certificate", "--output", &path];
    room.until(&[&SYSTEM[..], &get].concat(), |data| !data.is_empty() && data != former)
        .await;
}

#[tokio::test]
async fn row_45_certificate_and_authority_are_renewed_and_no_pod_is_created_without_its_helper() {
    let Some(room) = Room::with_outrigger("certificates").await else {
        return;
    };
    let stream = stream::start(&room).await;
    // The certificate, by time.
    let (authority, certificate) = (secret(&room, "ca.key").await, secret(&room, "tls.crt").await);
    other_than(&room, "tls.crt", &certificate).await;
    assert_eq!(secret(&room, "ca.key").await, authority);
    stream.flows().await;
    // The authority, when it is asked for; with it the certificate.
    let certificate = secret(&room, "tls.crt").await;
    let rotate = [
        "annotate",
        "secret",
        "outrigger-certificate",
        "outrigger.dev/rotate=now",
    ];
    room.run(&[&SYSTEM[..], &rotate].concat()).await;
    other_than(&room, "ca.key", &authority).await;
    other_than(&room, "tls.crt", &certificate).await;
    for _ in 0..5 {
        stream.flows().await;
    }
    let created = stream.end().await.flawless(90, String::new);
    say(&format!("certificates renewed: {created} Pods created meanwhile"));
}
