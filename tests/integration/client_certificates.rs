//! `--client-ca` and `--client-name`: who is answered, and who is not.
use crate::{
    client::{Connection, try_handshake},
    program::{OUTRIGGER, Program, eventually},
    reviews::creation,
    security_page::{make_certificates, sh},
};
use rustls::version::{TLS12, TLS13};
use std::{fs, path::Path, process::Command};

/// Has an authority of this directory sign a certificate; `subject` and `extensions` as openssl wants them.
fn sign(directory: &Path, authority: &str, name: &str, subject: &str, extensions: &str) {
    sh(
        directory,
        &format!(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '{subject}' -keyout {name}.key -out {name}.csr
             printf '%b' '{extensions}' > {name}.ext
             openssl x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.crt"
        ),
    );
}

const FOR_CLIENTS: &str = "extendedKeyUsage = clientAuth\\n";

fn authority(directory: &Path, name: &str) {
    sh(
        directory,
        &format!(
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN={name}' -keyout {name}.key -out {name}.crt"
        ),
    );
}

/// Whether a client with this certificate, or none, is answered, whichever version of TLS it speaks.
async fn is_answered(program: &Program, certificate: Option<&str>) -> bool {
    let answers = answers(program, certificate).await;
    assert_eq!(answers[0], answers[1], "{certificate:?}");
    answers[0]
}

/// The same for TLS 1.2 and 1.3.
async fn answers(program: &Program, certificate: Option<&str>) -> [bool; 2] {
    let mut answers = [false; 2];
    for (answered, version) in answers.iter_mut().zip([&TLS12, &TLS13]) {
        let files = certificate.map(|name| {
            let path = |suffix: &str| program.directory.path().join(format!("{name}.{suffix}"));
            (path("crt"), path("key"))
        });
        let stream = try_handshake(program.listen, &program.authority(), version, files).await;
        *answered = match stream {
            // With TLS 1.3, a client learns that it is not wanted when it expects an answer.
            Ok(stream) => Connection { stream }.try_post(creation().to_string()).await.is_ok(),
            Err(_) => false,
        };
    }
    answers
}

fn serving(arguments: &[&str]) -> Program {
    Program::start(&[&["--client-ca", "client-ca.crt"], arguments].concat(), |directory| {
        make_certificates(directory);
        authority(directory, "foreign");
        let for_clients = FOR_CLIENTS;
        sign(directory, "client-ca", "another-name", "/CN=somebody", for_clients);
        sign(
            directory,
            "client-ca",
            "two-names",
            "/CN=kube-apiserver/CN=somebody",
            for_clients,
        );
        let with = |names: &str| format!("{for_clients}subjectAltName = {names}\\n");
        sign(directory, "client-ca", "dns", "/O=x", &with("DNS:api.example"));
        sign(directory, "client-ca", "uri", "/O=x", &with("URI:spiffe://example/api"));
        sign(
            directory,
            "client-ca",
            "near",
            "/CN=kube-apiserver2",
            &with("DNS:x.api.example"),
        );
        sign(
            directory,
            "client-ca",
            "for-servers",
            "/CN=kube-apiserver",
            "extendedKeyUsage = serverAuth\\n",
        );
        sign(directory, "foreign", "of-foreign", "/CN=kube-apiserver", for_clients);
        expired(directory);
    })
}

/// Openssl makes none that has expired.
fn expired(directory: &Path) {
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let key = rcgen::KeyPair::from_pem(&read("client-ca.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("client-ca.crt"), key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(
        directory.join("expired.crt"),
        params.signed_by(&key, &issuer).unwrap().pem(),
    )
    .unwrap();
    fs::write(directory.join("expired.key"), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn row_50_only_clients_of_the_authority_and_with_the_name_are_answered() {
    let names = ["kube-apiserver", "api.example", "spiffe://example/api"];
    let names: Vec<&str> = names.iter().flat_map(|name| ["--client-name", name]).collect();
    let program = serving(&names);
    for (certificate, expected) in [
        (Some("api-server"), true),
        (Some("dns"), true),
        (Some("uri"), true),
        (None, false),
        (Some("another-name"), false),
        (Some("two-names"), false),
        (Some("near"), false),
        (Some("for-servers"), false),
        (Some("of-foreign"), false),
        (Some("expired"), false),
    ] {
        assert_eq!(is_answered(&program, certificate).await, expected, "{certificate:?}");
    }
    // Health has a port of its own.
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(program.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn row_50_without_a_name_every_certificate_of_the_authority_is_good_and_openssl_is_answered() {
    let program = serving(&[]);
    for (certificate, expected) in [
        (Some("api-server"), true),
        (Some("another-name"), true),
        (Some("for-servers"), false),
        (Some("of-foreign"), false),
        (None, false),
    ] {
        assert_eq!(is_answered(&program, certificate).await, expected, "{certificate:?}");
    }
    for (certificate, expected) in [("-cert api-server.crt -key api-server.key", true), ("", false)] {
        let command = format!(
            "printf 'GET / HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n' | \
             timeout 20 openssl s_client -quiet -connect {} -CAfile certs/ca.crt {certificate} 2>&1 || true",
            program.listen
        );
        let output = Command::new("bash")
            .args(["-c", &command])
            .current_dir(program.directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.contains("HTTP/1.1 404"), expected, "{certificate}: {said}");
        assert!(expected || said.contains("certificate required"), "{said}");
    }
}

#[tokio::test]
async fn row_50_another_authority_is_taken_up_and_one_that_cannot_be_used_is_not() {
    let program = serving(&["--client-name", "kube-apiserver"]);
    let path = |name: &str| program.directory.path().join(name);
    let mut open = {
        let files = Some((path("api-server.crt"), path("api-server.key")));
        let stream = try_handshake(program.listen, &program.authority(), &TLS13, files).await;
        Connection {
            stream: stream.unwrap(),
        }
    };
    assert!(open.try_post(creation().to_string()).await.is_ok());
    let first = fs::read_to_string(path("client-ca.crt")).unwrap();
    let failed = r#"outrigger_reloads_total{source="client-authority",result="failed"} "#;
    let failures = || async {
        let metrics = program.get("/metrics").await.body;
        let count = metrics.lines().find_map(|line| line.strip_prefix(failed)?.parse().ok());
        count.unwrap_or(0)
    };
    for (index, bad) in ["", "-----BEGIN CERTIFICATE-----\nMIIB", "no PEM at all"]
        .into_iter()
        .enumerate()
    {
        fs::write(path("client-ca.crt"), bad).unwrap();
        eventually("the bad file is not noticed", || async { failures().await > index }).await;
        assert!(is_answered(&program, Some("api-server")).await, "{bad}");
        assert!(!is_answered(&program, Some("of-foreign")).await, "{bad}");
    }
    let second = fs::read_to_string(path("foreign.crt")).unwrap();
    fs::write(path("client-ca.crt"), format!("{first}{second}")).unwrap();
    eventually("two authorities are not taken up", || async {
        answers(&program, Some("of-foreign")).await == [true; 2]
    })
    .await;
    assert!(is_answered(&program, Some("api-server")).await);
    fs::write(path("client-ca.crt"), second).unwrap();
    eventually("the old authority is not let go", || async {
        answers(&program, Some("api-server")).await == [false; 2]
    })
    .await;
    assert!(is_answered(&program, Some("of-foreign")).await);
    assert!(
        open.try_post(creation().to_string()).await.is_ok(),
        "an open connection was closed"
    );
    assert_eq!(program.get("/readyz").await.status, 200);
}

#[test]
fn a_file_that_holds_no_authority_ends_the_process_with_2() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("policies")).unwrap();
    fs::write(directory.path().join("policies/a.yaml"), crate::program::policy("a")).unwrap();
    fs::write(directory.path().join("ca.crt"), "nothing").unwrap();
    for (arguments, message) in [
        (&["--client-ca", "ca.crt"][..], "ca.crt: it holds no certificate"),
        (&["--client-ca", "nowhere"], "nowhere"),
        (&["--client-name", "x"], "--client-ca"),
    ] {
        let output = Command::new(OUTRIGGER)
            .args([
                "serve",
                "--policies",
                "policies",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
            ])
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(message), "{said}");
    }
}
