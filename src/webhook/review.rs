//! Reads an `AdmissionReview` of `admission.k8s.io/v1` in one pass over the body, borrowing from it.
//!
//! Only what an answer depends on is read, and `dryRun`: the answer is the same, but nobody is told of it. `userInfo` is not
//! (it is a claim of the caller). It knows nothing about policies, HTTP or metrics.
mod change;
mod value;

pub use change::{Change, Operation, read_change};
pub use value::value;

use outrigger_engine::{Namespace, PodView, Text, json};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer};
use serde_json::{Value, value::RawValue};
use std::{fmt, marker::PhantomData};

/// Bytes of `request.uid`, which stands in each answer and each line of the log; an API server's has 36.
const LONGEST_UID: usize = 128;
/// Characters of the name of an object.
const LONGEST_NAME: usize = 253;

/// A name as it can stand in a log or a message: whoever sends a review can send any.
pub fn shown(name: &str) -> &str {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => &name[..end],
        None => name,
    }
}

/// What the API server asks.
#[derive(Debug)]
pub struct Review<'a> {
    /// To be repeated in the answer.
    pub uid: Text<'a>,
    /// What it is about.
    pub subject: Subject<'a>,
}

/// What a review is about.
#[derive(Debug)]
pub enum Subject<'a> {
    /// A Pod about to be created.
    PodCreation(PodCreation<'a>),
    /// Anything else: another kind, operation or subresource. Allowed untouched.
    Other,
}

/// A Pod about to be created.
#[derive(Debug)]
pub struct PodCreation<'a> {
    /// `request.namespace`, never the Pod's own, which is often empty.
    pub namespace: Text<'a>,
    /// Empty when the API server is to make one up from `generateName`.
    pub name: Text<'a>,
    /// The Pod.
    pub pod: PodView<'a>,
    /// Whether it is only asked what would be.
    pub dry_run: bool,
}

/// Why a body cannot be answered. The text may quote the body, so it goes to the caller and never into a log.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Nothing was sent.
    #[error("the body is empty; send an AdmissionReview of admission.k8s.io/v1 as JSON")]
    Empty,
    /// Not text.
    #[error("the body is not UTF-8; send an AdmissionReview of admission.k8s.io/v1 as JSON")]
    NotUtf8,
    /// Not JSON, or not of the right shape.
    #[error("the body is not an AdmissionReview of admission.k8s.io/v1: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version or kind.
    #[error(
        "got apiVersion {api_version:?}, kind {kind:?}; send admission.k8s.io/v1, AdmissionReview \
         (admissionReviewVersions: [v1] in the webhook configuration)"
    )]
    WrongKind {
        /// As sent.
        api_version: String,
        /// As sent.
        kind: String,
    },
    /// A field that must be there is not.
    #[error("{0} is missing; send the AdmissionReview as the API server does")]
    Missing(&'static str),
    /// More than any object has that people write.
    #[error("the object has more than {0} values; make it smaller")]
    TooManyValues(usize),
    /// Longer than any that an API server makes.
    #[error("request.uid has more than {0} bytes; send the AdmissionReview as the API server does")]
    LongUid(usize),
    /// Not the name of a namespace.
    #[error(
        "request.namespace is not the name of a namespace; it has 1 to 63 of a-z, 0-9 and -, and begins and ends with \
         a letter or digit"
    )]
    Namespace,
}

/// Reads `body`.
///
/// # Errors
/// When the body is not a review that can be answered.
pub fn read(body: &[u8]) -> Result<Review<'_>, ReviewError> {
    let text = text(body)?;
    match json::from_str::<Object<Envelope<'_, Object<PodView<'_>>>>>(text) {
        Ok(Object(envelope)) => envelope.into_review(|Object(pod)| Some(pod)),
        // The object need not be a Pod: then what does not look like one is no error.
        Err(error) => match json::from_str::<Object<Envelope<'_, IgnoredAny>>>(text) {
            Ok(Object(envelope)) => envelope.into_review(|_| None).map_err(|inner| match inner {
                ReviewError::Missing("request.object") => error.into(),
                inner => inner,
            }),
            Err(_) => Err(error.into()),
        },
    }
}

fn text(body: &[u8]) -> Result<&str, ReviewError> {
    match body {
        [] => Err(ReviewError::Empty),
        _ => std::str::from_utf8(body).map_err(|_| ReviewError::NotUtf8),
    }
}

/// `request.object` as a value, by a second pass over a body that [`read`] has accepted; `None` when it is nested too
/// deeply, or has too many values.
pub fn object(body: &[u8]) -> Option<Value> {
    let envelope = json::from_str::<Envelope<'_, &RawValue>>(text(body).ok()?).ok()?;
    value(envelope.request?.0.object?).ok()
}

/// A JSON object. A derived struct alone would also be read from an array of its fields, which Go does not accept.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(entries)).map(Object)
    }
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "O: Deserialize<'de>, P: Deserialize<'de>, 'de: 'a"))]
struct Envelope<'a, O, P = IgnoredAny> {
    #[serde(default, rename = "apiVersion")]
    api_version: Text<'a>,
    #[serde(default)]
    kind: Text<'a>,
    request: Option<Object<Request<'a, O, P>>>,
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "O: Deserialize<'de>, P: Deserialize<'de>, 'de: 'a"))]
struct Request<'a, O, P> {
    #[serde(default)]
    uid: Text<'a>,
    kind: Option<Object<GroupAndKind<'a>>>,
    resource: Option<Object<GroupAndResource<'a>>>,
    #[serde(default, rename = "subResource")]
    sub_resource: Text<'a>,
    #[serde(default)]
    namespace: Text<'a>,
    #[serde(default)]
    name: Text<'a>,
    #[serde(default)]
    operation: Text<'a>,
    #[serde(default, rename = "dryRun")]
    dry_run: Option<bool>,
    object: Option<O>,
    #[serde(rename = "oldObject")]
    old_object: Option<P>,
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct GroupAndKind<'a> {
    #[serde(default)]
    group: Text<'a>,
    #[serde(default)]
    kind: Text<'a>,
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct GroupAndResource<'a> {
    #[serde(default)]
    group: Text<'a>,
    #[serde(default)]
    resource: Text<'a>,
}

impl<'a, O, P> Envelope<'a, O, P> {
    /// What every answer needs.
    fn into_request(self) -> Result<Request<'a, O, P>, ReviewError> {
        if &*self.api_version != "admission.k8s.io/v1" || &*self.kind != "AdmissionReview" {
            return Err(ReviewError::WrongKind {
                api_version: self.api_version.to_string(),
                kind: self.kind.to_string(),
            });
        }
        let Object(request) = self.request.ok_or(ReviewError::Missing("request"))?;
        if request.uid.is_empty() {
            return Err(ReviewError::Missing("request.uid"));
        }
        if request.uid.len() > LONGEST_UID {
            return Err(ReviewError::LongUid(LONGEST_UID));
        }
        Ok(request)
    }

    fn into_review(self, pod: impl FnOnce(O) -> Option<PodView<'a>>) -> Result<Review<'a>, ReviewError> {
        let request = self.into_request()?;
        if !request.creates_a_pod()? {
            return Ok(Review {
                uid: request.uid,
                subject: Subject::Other,
            });
        }
        check_namespace(&request.namespace)?;
        let pod = request.object.and_then(pod);
        Ok(Review {
            uid: request.uid,
            subject: Subject::PodCreation(PodCreation {
                namespace: request.namespace,
                name: request.name,
                pod: pod.ok_or(ReviewError::Missing("request.object"))?,
                dry_run: request.dry_run.unwrap_or_default(),
            }),
        })
    }
}

/// Every object that concerns us is in a namespace, save cluster-wide policies.
fn check_namespace(namespace: &str) -> Result<(), ReviewError> {
    match namespace {
        "" => Err(ReviewError::Missing("request.namespace")),
        name if Namespace::can_be_named(name) => Ok(()),
        _ => Err(ReviewError::Namespace),
    }
}

impl<O, P> Request<'_, O, P> {
    fn creates_a_pod(&self) -> Result<bool, ReviewError> {
        let Object(kind) = self.kind.as_ref().ok_or(ReviewError::Missing("request.kind"))?;
        let Object(resource) = self.resource.as_ref().ok_or(ReviewError::Missing("request.resource"))?;
        if self.operation.is_empty() {
            return Err(ReviewError::Missing("request.operation"));
        }
        Ok(&*self.operation == "CREATE"
            && self.sub_resource.is_empty()
            && kind.group.is_empty()
            && &*kind.kind == "Pod"
            && resource.group.is_empty()
            && &*resource.resource == "pods")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(request: &str) -> String {
        format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request}}}"#)
    }

    const POD: &str =
        r#""kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"}"#;

    fn pod(rest: &str) -> String {
        review(&format!(r#"{{"uid":"u",{POD},{rest}}}"#))
    }

    #[test]
    fn row_9_the_namespace_is_that_of_the_request_and_the_name_may_be_empty() {
        let body = pod(
            r#""namespace":"web","operation":"CREATE","object":{"kind":"Pod","metadata":{"generateName":"a-","namespace":""}}"#,
        );
        let read = read(body.as_bytes()).unwrap();
        let Subject::PodCreation(creation) = read.subject else {
            panic!("not a Pod: {read:?}")
        };
        assert_eq!((&*read.uid, &*creation.namespace, &*creation.name), ("u", "web", ""));
        assert_eq!(creation.pod.generate_name(), "a-");
    }

    #[test]
    fn the_object_is_read_as_a_value_unless_it_is_nested_too_deeply() {
        let body = pod(r#""namespace":"web","operation":"CREATE","object":{"kind":"Pod","x":[1]}"#);
        assert_eq!(
            object(body.as_bytes()),
            Some(serde_json::json!({"kind": "Pod", "x": [1]}))
        );
        let deep = format!(
            r#""namespace":"web","operation":"CREATE","object":{{"x":{}{}}}"#,
            "[".repeat(5000),
            "]".repeat(5000)
        );
        let body = pod(&deep);
        assert!(read(body.as_bytes()).is_ok());
        assert_eq!(object(body.as_bytes()), None);
    }

    #[test]
    fn a_uid_with_escapes_and_null_strings_are_read_as_go_reads_them() {
        let body = review(&format!(
            r#"{{"uid":"a\"b",{POD},"subResource":null,"name":null,"namespace":"n","operation":"CREATE","object":{{"kind":"Pod"}}}}"#
        ));
        let read = read(body.as_bytes()).unwrap();
        assert_eq!(&*read.uid, "a\"b");
        assert!(matches!(read.subject, Subject::PodCreation(_)));
    }

    #[test]
    fn what_is_not_a_pod_creation_is_let_be_whatever_its_object_is() {
        for (case, request) in [
            (
                "update",
                r#""namespace":"n","operation":"UPDATE","object":{"kind":"Pod"}"#,
            ),
            ("delete", r#""namespace":"n","operation":"DELETE","object":null"#),
            (
                "connect",
                r#""namespace":"n","operation":"CONNECT","object":{"metadata":7,"kind":[]}"#,
            ),
            (
                "binding",
                r#""namespace":"n","subResource":"binding","operation":"CREATE","object":{"metadata":[]}"#,
            ),
        ] {
            let body = pod(request);
            let read = read(body.as_bytes()).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(matches!(read.subject, Subject::Other), "{case}");
        }
    }

    #[test]
    fn an_array_is_not_taken_for_an_object() {
        let pod = r#"{"kind":"Pod"}"#;
        let whole = |kind: &str, object: &str| {
            let resource = r#"{"group":"","resource":"pods"}"#;
            format!(
                r#"{{"uid":"u","kind":{kind},"resource":{resource},"namespace":"n","operation":"CREATE","object":{object}}}"#
            )
        };
        let kind = r#"{"group":"","kind":"Pod"}"#;
        assert!(read(review(&whole(kind, pod)).as_bytes()).is_ok());
        for body in [
            format!(r#"["admission.k8s.io/v1","AdmissionReview",{}]"#, whole(kind, pod)),
            review(&format!(r#"["u",{kind},["","pods"],"","n","","CREATE",{pod}]"#)),
            review(&whole(r#"["","Pod"]"#, pod)),
            review(&whole(kind, r#"["v1","Pod",{},{}]"#)),
        ] {
            let error = read(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("expected an object"), "{body}: {error}");
        }
    }

    #[test]
    fn a_namespace_has_a_name_that_the_api_server_would_accept() {
        let longest = "n".repeat(63);
        let too_long = "n".repeat(64);
        for (name, valid) in [
            ("a", true),
            ("kube-system", true),
            ("7", true),
            (longest.as_str(), true),
            (too_long.as_str(), false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
            ("a/b", false),
            ("ä", false),
            ("a\nb", false),
            ("a\u{1b}[31m", false),
        ] {
            let namespace = serde_json::to_string(name).unwrap();
            let body = pod(&format!(
                r#""namespace":{namespace},"operation":"CREATE","object":{{"kind":"Pod"}}"#
            ));
            let outcome = read(body.as_bytes());
            assert_eq!(outcome.is_ok(), valid, "{name:?}");
            assert!(valid || matches!(outcome, Err(ReviewError::Namespace)), "{name:?}");
        }
    }

    #[test]
    fn a_pod_creation_without_a_readable_pod_says_so() {
        for (object, expected) in [
            (r#""object":null"#, "request.object is missing"),
            (r#""name":"x""#, "request.object is missing"),
            (r#""object":["not","a","Pod"]"#, "not an AdmissionReview"),
        ] {
            let body = pod(&format!(r#""namespace":"n","operation":"CREATE",{object}"#));
            let error = read(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{object}: {error}");
        }
    }
}
