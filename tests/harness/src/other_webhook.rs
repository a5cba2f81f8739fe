//! A mutating webhook that is not Outrigger, in the test's own process: it answers each Pod with the JSON Patch that a
//! closure makes of it, and remembers what it was asked.
use crate::namespace::Namespace;
use crate::pki::Authority;
use crate::registration::{Registered, Registration};
use anyhow::Result;
use axum::{Json, Router, extract::State, routing::post};
use axum_server::tls_rustls::RustlsConfig;
use k8s_openapi::ByteString;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// From a Pod to the operations of a JSON Patch; none: the Pod is left alone.
type Mutate = Box<dyn Fn(&Value) -> Vec<Value> + Send + Sync>;

/// A running and registered webhook. It ends when this is dropped.
pub struct OtherWebhook {
    service: Arc<Service>,
    server: tokio::task::JoinHandle<()>,
    _registered: Registered,
}

struct Service {
    mutate: Mutate,
    seen: Mutex<Vec<Value>>,
}

/// A label of the Pods that only ask whether the webhook is called yet.
const PROBE: &str = "harness/probe";

impl OtherWebhook {
    /// One that the API server calls after Outrigger's.
    pub async fn after(namespace: &Namespace, mutate: impl Fn(&Value) -> Vec<Value> + Send + Sync + 'static) -> Self {
        Self::start(namespace, "z-other", Box::new(mutate))
            .await
            .expect("failed to start the other webhook")
    }

    /// One that the API server calls before Outrigger's.
    pub async fn before(namespace: &Namespace, mutate: impl Fn(&Value) -> Vec<Value> + Send + Sync + 'static) -> Self {
        Self::start(namespace, "a-other", Box::new(mutate))
            .await
            .expect("failed to start the other webhook")
    }

    /// The Pods that it was asked about, in order.
    pub fn seen(&self) -> Vec<Value> {
        let seen = self.service.seen.lock().expect("a handler panicked");
        seen.iter().filter(|pod| !is_probe(pod)).cloned().collect()
    }

    async fn start(namespace: &Namespace, order: &str, mutate: Mutate) -> Result<Self> {
        let authority = Authority::new("another webhook")?;
        let service = Arc::new(Service {
            mutate,
            seen: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("https://{}/", listener.local_addr()?);
        let server = serve(listener, &authority, service.clone())?;
        let (name, authority) = (format!("{order}-{}", namespace.name), authority.certificate());
        let registration = Registration {
            name: &name,
            webhook: "other.example.com",
            url,
            authority: &authority,
        };
        let registered = registration.register(namespace).await;
        let webhook = OtherWebhook {
            service,
            server,
            _registered: registered,
        };
        webhook.wait_for_a_call(namespace).await;
        Ok(webhook)
    }

    async fn wait_for_a_call(&self, namespace: &Namespace) {
        let probe = json!({
            "metadata": {"generateName": "probe-", "labels": {PROBE: ""}, "annotations": {"outrigger.dev/inject": "false"}},
            "spec": {"containers": [{"name": "app", "image": "app"}]},
        });
        for _ in 0..200 {
            // Outrigger may stand in the same way, and not be ready.
            namespace.dry_run(&probe).await;
            if !self.service.seen.lock().expect("a handler panicked").is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the API server does not call the other webhook");
    }
}

impl Drop for OtherWebhook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn serve(listener: TcpListener, authority: &Authority, service: Arc<Service>) -> Result<tokio::task::JoinHandle<()>> {
    let pair = authority.server()?;
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key)?;
    let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config)))?;
    let router = Router::new().route("/", post(answer)).with_state(service);
    Ok(tokio::spawn(async move {
        let _ = server.serve(router.into_make_service()).await;
    }))
}

async fn answer(State(service): State<Arc<Service>>, Json(review): Json<Value>) -> Json<Value> {
    let (request, pod) = (&review["request"], &review["request"]["object"]);
    let patch = if is_probe(pod) {
        Vec::new()
    } else {
        (service.mutate)(pod)
    };
    service.seen.lock().expect("a handler panicked").push(pod.clone());
    let mut response = json!({"uid": request["uid"], "allowed": true});
    if !patch.is_empty() {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(ByteString(Value::from(patch).to_string().into_bytes()));
    }
    Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
}

fn is_probe(pod: &Value) -> bool {
    pod["metadata"]["labels"].get(PROBE).is_some()
}
