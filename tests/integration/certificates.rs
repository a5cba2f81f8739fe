//! The certificate, while serving.
use crate::{
    client::Connection,
    program::{OUTRIGGER, Program, eventually},
    reviews::creation,
};
use outrigger::tls::authority::{self, Paths};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{fs, path::Path, process::Command};

/// An authority and leaf of its own in this directory.
fn pair(directory: &Path, name: &str) -> Paths {
    authority::ensure(&directory.join(name), &[]).unwrap()
}

fn install(directory: &Path, certificate: &Path, key: &Path) {
    fs::copy(certificate, directory.join("tls.crt")).unwrap();
    fs::copy(key, directory.join("tls.key")).unwrap();
}

async fn shown(program: &Program, authority: &Path) -> Option<CertificateDer<'static>> {
    let stream = crate::client::handshake(program.listen, authority, &["http/1.1"])
        .await
        .ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.clone().into_owned())
}

fn leaf(paths: &Paths) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&paths.certificate).unwrap()
}

#[tokio::test]
async fn rows_45_and_48_a_new_certificate_is_taken_up_and_a_bad_one_is_not_and_no_connection_is_dropped() {
    let store = tempfile::tempdir().unwrap();
    let (first, second, third) = (
        pair(store.path(), "1"),
        pair(store.path(), "2"),
        pair(store.path(), "3"),
    );
    let program = Program::start(&["--tls-cert", "tls.crt", "--tls-key", "tls.key"], |directory| {
        install(directory, &first.certificate, &first.key);
    });
    let directory = program.directory.path();
    let mut open = Connection::open(program.listen, &first.authority).await;
    assert_eq!(open.post(creation().to_string()).await.status, 200);

    install(directory, &second.certificate, &second.key);
    eventually("the new certificate is not shown", || async {
        shown(&program, &second.authority).await == Some(leaf(&second))
    })
    .await;
    assert_eq!(open.post(creation().to_string()).await.status, 200);

    let bad: [(&str, &dyn Fn()); 4] = [
        ("a mismatched key", &|| {
            install(directory, &third.certificate, &first.key)
        }),
        ("half a certificate", &|| {
            fs::write(directory.join("tls.crt"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap()
        }),
        ("an empty certificate", &|| {
            fs::write(directory.join("tls.crt"), "").unwrap()
        }),
        ("no key", &|| fs::remove_file(directory.join("tls.key")).unwrap()),
    ];
    for (index, (case, break_it)) in bad.into_iter().enumerate() {
        break_it();
        // Half-written states may be met on the way, and count as well.
        eventually(case, || async { failures(&program).await > index }).await;
        assert_eq!(shown(&program, &second.authority).await, Some(leaf(&second)), "{case}");
        assert_eq!(program.get("/readyz").await.status, 200, "{case}");
    }
    install(directory, &third.certificate, &third.key);
    eventually("the repaired certificate is not shown", || async {
        shown(&program, &third.authority).await.is_some()
    })
    .await;
    assert_eq!(open.post(creation().to_string()).await.status, 200);
}

async fn failures(program: &Program) -> usize {
    let metrics = program.get("/metrics").await.body;
    let prefix = r#"outrigger_reloads_total{source="certificate",result="failed"} "#;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(prefix)?.parse().ok())
        .unwrap()
}

#[tokio::test]
async fn row_44_an_expired_certificate_is_served_but_not_ready_until_it_is_repaired() {
    let store = tempfile::tempdir().unwrap();
    let good = pair(store.path(), "good");
    let program = Program::start(&["--tls-cert", "tls.crt", "--tls-key", "tls.key"], |directory| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        fs::write(directory.join("tls.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
    });
    assert_eq!(program.get("/readyz").await.status, 503);
    install(program.directory.path(), &good.certificate, &good.key);
    eventually("not ready", || async { program.get("/readyz").await.status == 200 }).await;
}

#[tokio::test]
async fn our_own_certificate_is_used_again_by_the_next_process() {
    let shared = tempfile::tempdir().unwrap();
    let certs = shared.path().to_str().unwrap();
    let first = Program::start(&["--certs", certs], |_| {});
    let paths = Paths::new(shared.path());
    let shown_first = shown(&first, &paths.authority).await;
    drop(first);
    let second = Program::start(&["--certs", certs], |_| {});
    assert!(shown_first.is_some());
    assert_eq!(shown(&second, &paths.authority).await, shown_first);
    assert!(second.log().contains("ca.crt"));
}

#[test]
fn the_certs_command_writes_what_serve_would() {
    let directory = tempfile::tempdir().unwrap();
    let run = || {
        Command::new(OUTRIGGER)
            .args(["certs", "--dns", "webhook.example"])
            .current_dir(directory.path())
            .output()
            .unwrap()
    };
    let output = run();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("certs/ca.crt"));
    let first = fs::read(directory.path().join("certs/tls.crt")).unwrap();
    assert!(run().status.success());
    assert_eq!(fs::read(directory.path().join("certs/tls.crt")).unwrap(), first);
}
