//! Asks the engine about each Pod and Pod template, as the webhook would for the Pod that comes of it.
use outrigger_engine::{Admission, Namespace, PodRequest, PodView, Snapshot, Verdict, admit};

use super::{
    Unusable,
    input::{Document, Source},
};
use crate::manifest::{self, Operation, Workload};

/// What became of one workload.
#[derive(Debug)]
pub struct Decided<'a> {
    /// Which of the documents.
    pub document: usize,
    /// The workload.
    pub workload: Workload<'a>,
    /// Its namespace.
    pub namespace: String,
    /// Whether it is one in which nothing is injected.
    pub is_protected: bool,
    /// What the engine said; `None` when there is no Pod template.
    pub admission: Option<Admission>,
}

impl Decided<'_> {
    /// The operations, with paths that begin at [`Decided::pointer`].
    pub fn operations(&self) -> Vec<Operation<'_>> {
        match self.admission.as_ref().map(|admission| &admission.verdict) {
            Some(Verdict::Patched(patch)) => manifest::operations(patch).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Whether there is something to add.
    pub fn is_changed(&self) -> bool {
        matches!(self.verdict(), Some(Verdict::Patched(_)))
    }

    /// What the engine said.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.admission.as_ref().map(|admission| &admission.verdict)
    }

    /// From the document to the Pod or template.
    pub fn pointer(&self) -> String {
        format!("{}{}", self.workload.pointer, self.workload.template)
    }
}

/// All workloads, with the namespace that each is in: its own, or `namespace`.
///
/// # Errors
/// When `metadata.namespace` is not the name of a namespace.
pub fn workloads<'a>(
    sources: &[Source],
    documents: &'a [Document],
    namespace: &str,
) -> Result<Vec<Decided<'a>>, Unusable> {
    let (mut found, mut unusable) = (Vec::new(), Unusable::default());
    for (index, document) in documents.iter().enumerate() {
        let Some(value) = &document.value else { continue };
        for workload in manifest::find(value) {
            let own = match workload.namespace {
                None | Some(manifest::Value::Null) => Some(""),
                Some(value) => value.as_str(),
            };
            match own {
                Some("") => found.push((index, workload, namespace.to_owned())),
                Some(own) if Namespace::can_be_named(own) => {
                    let own = own.to_owned();
                    found.push((index, workload, own));
                }
                _ => {
                    let (source, line) = (&sources[document.source].name, document.part.line);
                    let (kind, name) = (workload.kind, &workload.name);
                    unusable.0.push(format!(
                        "{source}:{line}: {kind} {name:?}: metadata.namespace is not the name of a namespace; it has 1 to 63 of a-z, 0-9 and -"
                    ));
                }
            }
        }
    }
    let decided = |(document, workload, namespace)| Decided {
        document,
        workload,
        namespace,
        is_protected: false,
        admission: None,
    };
    unusable.unless_any(found.into_iter().map(decided).collect())
}

/// Decides about each.
///
/// # Errors
/// When something is no Pod at all.
pub fn decide(
    snapshot: &Snapshot,
    sources: &[Source],
    documents: &[Document],
    workloads: &mut [Decided<'_>],
) -> Result<(), Unusable> {
    let mut unusable = Unusable::default();
    for decided in workloads {
        decided.is_protected = snapshot.is_protected(&decided.namespace);
        let Some(pod) = decided.workload.pod else { continue };
        match ask(snapshot, &decided.workload, &decided.namespace, pod) {
            Ok(admission) => decided.admission = Some(admission),
            Err(error) => {
                let document = &documents[decided.document];
                let (source, line) = (&sources[document.source].name, document.part.line);
                let (kind, namespace, name) = (decided.workload.kind, &decided.namespace, &decided.workload.name);
                unusable
                    .0
                    .push(format!("{source}:{line}: {kind} {namespace}/{name}: {error}"));
            }
        }
    }
    unusable.unless_any(())
}

fn ask(
    snapshot: &Snapshot,
    workload: &Workload<'_>,
    namespace: &str,
    pod: &manifest::Value,
) -> Result<Admission, String> {
    let text = pod.stored_json().map_err(|error| error.to_string())?;
    let view: PodView<'_> = serde_json::from_slice(&text).map_err(|_| misread(&text, workload.template))?;
    let object = || {
        serde_json::from_slice(&text)
            .ok()
            .map(|pod| manifest::as_created(pod, workload.owner.as_ref(), namespace))
    };
    let request = PodRequest {
        namespace,
        pod: &view,
        object: &object,
    };
    Ok(admit(snapshot, &request))
}

/// Where a Pod is not as Pods are.
fn misread(text: &[u8], template: &str) -> String {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    match serde_path_to_error::deserialize::<_, PodView<'_>>(&mut deserializer) {
        Ok(_) => "its Pod cannot be read".to_owned(),
        Err(error) => {
            let path = format!("{}.{}", template.replace('/', "."), error.path());
            let message = error.inner().to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            format!("{}: {message}{}", path.trim_matches('.'), hint(message))
        }
    }
}

/// What to add to `message`: nobody who wrote `n` knows that it is a boolean.
fn hint(message: &str) -> &'static str {
    if message.contains("boolean `") && message.contains("string") {
        "; in YAML, y, n, yes, no, on and off are booleans: put it in quotes"
    } else {
        ""
    }
}
