//! The policy nginx-metrics: the exporter beside a real nginx.
use crate::kubelet::Container;
use crate::machine::{eventually, free_ports, program};
use crate::options::Options;
use crate::pods::admit;
use outrigger_harness::assets;
use outrigger_harness::demand::available;
use outrigger_harness::keeper::{Kept, Program};
use outrigger_harness::rundir::workspace;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// nginx with the server block of the policy's example, at another port.
fn nginx(program: &Path, port: u16, directory: &Path) -> Kept {
    let example = fs::read_to_string(workspace().join("policies/nginx-metrics/example.yaml")).unwrap();
    let manifests: Vec<Value> = serde_saphyr::from_multiple(&example).unwrap();
    let block = manifests[0]["data"]["status.conf"].as_str().unwrap();
    let block = block.replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"));
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    // One process, so that it is gone when it is killed.
    let configuration = format!(
        "master_process off; daemon off; pid nginx.pid; error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{block}}}\n"
    );
    fs::write(directory.join("nginx.conf"), configuration).unwrap();
    let prefix = format!("{}/", directory.display());
    let nginx = Program {
        path: program,
        arguments: ["-e", "stderr", "-p", &prefix, "-c", "nginx.conf"]
            .map(str::to_owned)
            .to_vec(),
        stdout: Stdio::null(),
        stderr: fs::File::create(directory.join("log")).unwrap().into(),
        scratch: None,
    };
    let nginx = nginx.start().unwrap();
    eventually("nginx listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    nginx
}

/// The body of a page.
fn get(port: u16, path: &str) -> Option<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(connection, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Follows nginx through its life with one version of the exporter.
fn follow(exporter: &Path, program: &Path) {
    let [port, metrics_port] = free_ports();
    let (port_text, metrics_text) = (port.to_string(), metrics_port.to_string());
    let pod = admit("nginx-metrics", &[("port", &port_text), ("metricsPort", &metrics_text)]).unwrap();
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/scrape"], "true");
    assert_eq!(annotations["prometheus.io/port"], metrics_text.as_str());
    let path = annotations["prometheus.io/path"].as_str().unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let running = nginx(program, port, directory.path());
    let container = Container::prepare(&pod, "nginx-metrics");
    let _exporter = container.start(exporter);
    let shows = |line: &str| {
        eventually(&format!("{}: {line}\n{}", exporter.display(), container.log()), || {
            get(metrics_port, path)?
                .lines()
                .find(|found| found.starts_with(line))
                .map(str::to_owned)
        })
    };
    shows("nginx_up 1");
    shows("nginx_connections_active ");
    drop(running);
    shows("nginx_up 0");
    let _running = nginx(program, port, directory.path());
    shows("nginx_up 1");
}

#[test]
fn debians_exporter_tells_whether_nginx_is_up() {
    let exporter = program("prometheus-nginx-exporter", "prometheus-nginx-exporter");
    if let (Some(exporter), Some(nginx)) = (exporter, program("nginx", "nginx")) {
        follow(&exporter, &nginx);
    }
}

#[test]
fn an_exporter_of_the_images_major_version_tells_whether_nginx_is_up() {
    let exporter: Option<PathBuf> = available(assets::program(assets::Program::NginxExporter));
    if let (Some(exporter), Some(nginx)) = (exporter, program("nginx", "nginx")) {
        follow(&exporter, &nginx);
    }
}

#[test]
fn every_argument_is_an_option_that_the_images_version_documents() {
    let options = Options::read("nginx-prometheus-exporter");
    let pod = admit("nginx-metrics", &[]).unwrap();
    let container = crate::pods::container(&pod, "nginx-metrics");
    assert_eq!(container["image"].as_str().unwrap(), options.image());
    assert_eq!(
        options.findings("flags", crate::pods::texts(&container["args"])),
        [""; 0]
    );
}
