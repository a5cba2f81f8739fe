//! What there is to say about a workload: what the Pods of its template will meet, and which annotations are in the wrong
//! place. It reads only what it needs of the object, and knows nothing of requests.
use super::review::{self, Change, Operation, ReviewError};
use crate::manifest::{WorkloadKind, as_created};
use outrigger_engine::{Admission, PodRequest, PodView, Text, Verdict, is_for_pods, json};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, fmt};

/// As many annotations in the wrong place as anybody reads of.
const MAX_KEYS: usize = 8;

/// As many as are looked at.
const MAX_KEYS_READ: usize = 256;

/// An object that Pods will be made of.
pub(super) struct Workload<'a> {
    kind: &'static WorkloadKind,
    pub(super) namespace: &'a str,
    new: Parts<'a>,
    old: Option<Parts<'a>>,
}

/// What is read of an object.
struct Parts<'a> {
    metadata: Metadata<'a>,
    /// Of the Jobs that a CronJob makes.
    job: Option<Metadata<'a>>,
    template: Option<&'a RawValue>,
}

#[derive(serde::Deserialize, Default)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Metadata<'a> {
    #[serde(default)]
    name: Text<'a>,
    #[serde(default, rename = "generateName")]
    generate_name: Text<'a>,
    annotations: Option<KeysForPods>,
    #[serde(rename = "ownerReferences")]
    owners: Option<Vec<OwnerReference>>,
}

#[derive(serde::Deserialize)]
struct OwnerReference {
    controller: Option<bool>,
}

impl<'a> Workload<'a> {
    /// The workload that a review is about, if it is about the making or changing of one.
    ///
    /// # Errors
    /// When the object is not shaped like its kind.
    pub(super) fn of(review: &'a Change<'a>) -> Result<Option<Workload<'a>>, ReviewError> {
        let (group, kind) = &review.kind;
        let changes = matches!(review.operation, Operation::Create | Operation::Update);
        // What is no template of Pods of its own, but a Pod or a list of templates, has no owner to name.
        let kind = WorkloadKind::find(group, kind).filter(|kind| kind.owner("").is_some());
        let Some(kind) = kind.filter(|_| changes && review.resource.2.is_empty()) else {
            return Ok(None);
        };
        let old = match review.operation {
            Operation::Update => Some(Parts::of(review.old_object()?, kind)?),
            _ => None,
        };
        Ok(Some(Workload {
            kind,
            namespace: review.namespace()?,
            new: Parts::of(review.object()?, kind)?,
            old,
        }))
    }

    /// What to tell, each beginning with what it is about.
    ///
    /// # Errors
    /// When the template is not shaped like a Pod.
    pub(super) fn warnings(&self, admit: impl Fn(&PodRequest<'_>) -> Admission) -> Result<Vec<String>, ReviewError> {
        // Whoever wrote the object that this one was made from has been told.
        if self.new.metadata.is_controlled() {
            return Ok(Vec::new());
        }
        let template: PodView<'_> = match self.new.template {
            Some(template) => json::from_str(template.get())?,
            None => return Ok(Vec::new()),
        };
        let mut told: Vec<String> = self.misplaced(&template).into_iter().collect();
        let known = self.old.as_ref().and_then(|old| old.template);
        match self.new.template {
            // The API server writes equal objects alike.
            Some(json) if known.is_none_or(|known| known.get() != json.get()) => {
                told.extend(self.forecast(json, &template, admit));
            }
            _ => {}
        }
        let (kind, name) = (self.kind.name(), self.name());
        Ok(told.iter().map(|text| format!("{kind} {name}: {text}")).collect())
    }

    fn forecast(
        &self,
        json: &RawValue,
        template: &PodView<'_>,
        admit: impl Fn(&PodRequest<'_>) -> Admission,
    ) -> Vec<String> {
        let owner = self.kind.owner(&self.name());
        let object = || {
            let pod = review::value(json).ok()?;
            Some(as_created(pod, owner.as_ref(), self.namespace))
        };
        let admission = admit(&PodRequest {
            namespace: self.namespace,
            pod: template,
            object: &object,
        });
        let refused = match admission.verdict {
            Verdict::Refused(refusal) => Some(format!("its Pods will be refused: {}", refusal.message)),
            Verdict::Unchanged | Verdict::Patched(_) => None,
        };
        refused.into_iter().chain(admission.warnings).collect()
    }

    /// Annotations that were meant for the Pods, and are not at them.
    fn misplaced(&self, template: &PodView<'_>) -> Option<String> {
        let known: BTreeSet<&String> = self.old.iter().flat_map(Parts::keys).collect();
        let keys: BTreeSet<&String> = self
            .new
            .keys()
            .filter(|key| template.annotation(key).is_none() && !known.contains(key))
            .collect();
        let place = format!(
            "spec{}.metadata.annotations",
            self.kind.template.trim_start_matches("/spec").replace('/', ".")
        );
        let listed: Vec<&str> = keys.iter().take(MAX_KEYS).map(|key| key.as_str()).collect();
        let listed = listed.join(", ");
        match keys.len() {
            0 => None,
            1 => Some(format!("annotation {listed} has no effect here; write it in {place}")),
            2..=MAX_KEYS => Some(format!(
                "annotations {listed} have no effect here; write them in {place}"
            )),
            count => {
                let more = count - MAX_KEYS;
                Some(format!(
                    "annotations {listed} and {more} more have no effect here; write them in {place}"
                ))
            }
        }
    }

    fn name(&self) -> String {
        let metadata = &self.new.metadata;
        match &*metadata.name {
            "" => format!("{}*", review::shown(&metadata.generate_name)),
            name => review::shown(name).to_owned(),
        }
    }
}

impl<'a> Parts<'a> {
    fn of(object: &'a RawValue, kind: &WorkloadKind) -> Result<Parts<'a>, serde_json::Error> {
        let metadata = |of: &'a RawValue| {
            let metadata = member(of, "metadata")?;
            metadata.map_or_else(|| Ok(Metadata::default()), |json| serde_json::from_str(json.get()))
        };
        let (mut template, mut job) = (Some(object), None);
        for key in kind.path() {
            template = match template {
                Some(parent) => member(parent, key)?,
                None => break,
            };
            if key == "jobTemplate" {
                job = template.map(metadata).transpose()?;
            }
        }
        Ok(Parts {
            metadata: metadata(object)?,
            job,
            template,
        })
    }

    fn keys(&self) -> impl Iterator<Item = &String> {
        let all = [Some(&self.metadata), self.job.as_ref()];
        let annotations = all
            .into_iter()
            .flatten()
            .filter_map(|metadata| metadata.annotations.as_ref());
        annotations.flat_map(|KeysForPods(keys)| keys)
    }
}

impl Metadata<'_> {
    /// Whether it is one that a controller has made of another, such as a Deployment's ReplicaSet.
    fn is_controlled(&self) -> bool {
        let mut owners = self.owners.iter().flatten();
        owners.any(|owner| owner.controller == Some(true))
    }
}

/// Keys of annotations that say something on Pods, the first ones: each is looked for in the template.
struct KeysForPods(Vec<String>);

impl<'de> Deserialize<'de> for KeysForPods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = KeysForPods;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<KeysForPods, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = entries.next_entry::<Text<'de>, IgnoredAny>()? {
                    if keys.len() < MAX_KEYS_READ && is_for_pods(&key) {
                        keys.push(key.to_string());
                    }
                }
                Ok(KeysForPods(keys))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// The member of an object, borrowed; `None` where there is none, or `null`.
fn member<'a>(object: &'a RawValue, key: &'static str) -> Result<Option<&'a RawValue>, serde_json::Error> {
    struct Member(&'static str);
    impl<'de> Visitor<'de> for Member {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = entries.next_key::<Text<'de>>()? {
                match *key == *self.0 {
                    false => drop(entries.next_value::<IgnoredAny>()?),
                    true if found.is_none() => found = Some(entries.next_value()?),
                    true => return Err(A::Error::duplicate_field(self.0)),
                }
            }
            Ok(found.flatten())
        }
    }
    serde_json::Deserializer::from_str(object.get()).deserialize_map(Member(key))
}
