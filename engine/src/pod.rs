//! A borrowed view of a Pod's raw JSON: what the engine reads of it.
//!
//! Nothing here decodes a whole Pod. Fields that the engine does not know are skipped, never kept and never written
//! back; that is why a field from a newer Kubernetes survives an injection. Policies are selected by `metadata`. So
//! `spec` is read along with it in a Pod that asks for policies; in others it is skipped, and read only when there is
//! something to inject: most of those get nothing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::mem;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use crate::json;
use crate::request::INJECT;
use crate::text::Text;

/// A Pod, or the template of one: its `metadata`, and `spec` as JSON, both borrowed.
#[derive(Debug, Default)]
pub struct PodView<'a> {
    metadata: Field<Object<Metadata<'a>>>,
    spec: SpecField<'a>,
}

/// `spec`, read or not yet.
#[derive(Debug, Default)]
enum SpecField<'a> {
    /// Missing, or `null`.
    #[default]
    None,
    Read(Box<Spec<'a>>),
    Json(&'a RawValue),
}

impl<'de: 'a, 'a> Deserialize<'de> for PodView<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PodVisitor;
        impl<'de> Visitor<'de> for PodVisitor {
            type Value = PodView<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<PodView<'de>, A::Error> {
                let mut pod = PodView::default();
                let mut seen = [false; 2];
                while let Some(key) = members.next_key::<Text<'de>>()? {
                    match &*key {
                        "metadata" if !mem::replace(&mut seen[0], true) => pod.metadata = members.next_value()?,
                        "spec" if !mem::replace(&mut seen[1], true) => pod.spec = pod.next_spec(&mut members)?,
                        "metadata" => return Err(de::Error::duplicate_field("metadata")),
                        "spec" => return Err(de::Error::duplicate_field("spec")),
                        _ => drop(members.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(pod)
            }
        }
        deserializer.deserialize_map(PodVisitor)
    }
}

impl<'a> PodView<'a> {
    /// `metadata.name`; empty when the API server is still to make one from [`PodView::generate_name`].
    pub fn name(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.name)
    }

    /// `metadata.generateName`.
    pub fn generate_name(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.generate_name)
    }

    /// The one of its owners that manages it, if it says so in a way that can be read.
    pub fn controller(&self) -> Option<OwnerReference> {
        let owners = self.metadata()?.owner_references?;
        let owners: Vec<OwnerReference> = serde_json::from_str(owners.get()).ok()?;
        owners.into_iter().find(|owner| owner.controller == Some(true))
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata().and_then(|metadata| metadata.annotations.get(key))
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata().and_then(|metadata| metadata.labels.get(key))
    }

    /// The API server sends `metadata` first.
    fn next_spec<A: MapAccess<'a>>(&self, members: &mut A) -> Result<SpecField<'a>, A::Error> {
        if self.annotation(INJECT).is_none() {
            let json: Option<&'a RawValue> = members.next_value()?;
            return Ok(json.map_or_else(SpecField::default, SpecField::Json));
        }
        let spec: Option<Object<Spec<'a>>> = members.next_value()?;
        Ok(spec.map_or_else(SpecField::default, |Object(spec)| {
            SpecField::Read(Box::new(spec.there()))
        }))
    }

    /// `spec`, which may be missing or `null`. `room` holds it in case that it is still to be read.
    ///
    /// # Errors
    /// When it does not have the shape of a Pod's.
    pub(crate) fn spec<'s>(&'s self, room: &'s mut Spec<'a>) -> Result<&'s Spec<'a>, serde_json::Error> {
        match &self.spec {
            SpecField::None => {
                *room = Spec::default();
                Ok(room)
            }
            SpecField::Read(spec) => Ok(spec),
            SpecField::Json(json) => {
                let Object(spec) = json::from_str::<Object<Spec<'a>>>(json.get())?;
                *room = spec.there();
                Ok(room)
            }
        }
    }

    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata()
            .into_iter()
            .flat_map(|metadata| metadata.annotations.iter())
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata().into_iter().flat_map(|metadata| metadata.labels.iter())
    }

    /// `None` where a patch must create `metadata` first.
    pub(crate) fn metadata(&self) -> Option<&Metadata<'a>> {
        match &self.metadata {
            Field::Present(metadata) => Some(metadata),
            _ => None,
        }
    }
}

/// A value that is read from a JSON object only: serde's derived code takes a list as the members in their order.
#[derive(Debug, Default)]
pub(crate) struct Object<T>(pub(crate) T);

impl<T> std::ops::Deref for Object<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor(PhantomData)).map(Object)
    }
}

/// One of the Pod's two lists of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    Init,
    Main,
}

impl List {
    /// Its field in a Pod's `spec`.
    pub(crate) fn field(self) -> &'static str {
        match self {
            List::Init => "initContainers",
            List::Main => "containers",
        }
    }
}

/// A JSON member that may be missing, `null` or there: a patch must treat the three differently.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<T> {
    #[default]
    Absent,
    Null,
    Present(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(value) => Field::Present(value),
            None => Field::Null,
        })
    }
}

impl<T> Field<Vec<T>> {
    pub(crate) fn items(&self) -> &[T] {
        match self {
            Field::Present(items) => items,
            _ => &[],
        }
    }
}

impl Field<Pairs<'_>> {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        match self {
            Field::Present(pairs) => pairs.get(key),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs: &[(Text<'_>, Text<'_>)] = match self {
            Field::Present(pairs) => &pairs.0,
            _ => &[],
        };
        pairs.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether a member can be added without creating the map first.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Field::Present(_))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) generate_name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) labels: Field<Pairs<'a>>,
    #[serde(borrow, default)]
    pub(crate) annotations: Field<Pairs<'a>>,
    #[serde(borrow, default)]
    owner_references: Option<&'a RawValue>,
}

/// What a Pod says of an owner (meta/v1 OwnerReference). Anyone who may create the Pod can write it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Of its kind.
    pub api_version: String,
    /// Of the owner.
    pub kind: String,
    /// Of the owner.
    pub name: String,
    /// Of the owner.
    pub uid: String,
    controller: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec<'a> {
    /// Whether a patch may add to it without creating it first.
    #[serde(skip)]
    pub(crate) is_there: bool,
    #[serde(borrow, default)]
    pub(crate) containers: Field<Vec<Object<Container<'a>>>>,
    #[serde(borrow, default)]
    pub(crate) init_containers: Field<Vec<Object<Container<'a>>>>,
    #[serde(borrow, default)]
    pub(crate) volumes: Field<Vec<Volume<'a>>>,
    #[serde(borrow, default)]
    pub(crate) image_pull_secrets: Field<Vec<Named<'a>>>,
    #[serde(borrow, default)]
    pub(crate) host_aliases: Field<Vec<HostAlias<'a>>>,
    #[serde(default, rename = "hostPID", deserialize_with = "null_as_default")]
    pub(crate) host_pid: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) host_network: bool,
    #[serde(default)]
    pub(crate) share_process_namespace: Option<bool>,
    #[serde(default)]
    pub(crate) host_users: Option<bool>,
    #[serde(borrow, default)]
    pub(crate) os: Option<Named<'a>>,
    #[serde(borrow, default)]
    pub(crate) node_selector: Field<Pairs<'a>>,
    #[serde(borrow, default)]
    pub(crate) security_context: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) resources: Option<&'a RawValue>,
}

impl Spec<'_> {
    fn there(self) -> Self {
        Spec { is_there: true, ..self }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) env: Field<Vec<EnvVar<'a>>>,
    #[serde(default, rename = "envFrom", deserialize_with = "has_items")]
    pub(crate) has_env_from: bool,
    #[serde(borrow, default)]
    pub(crate) volume_mounts: Field<Vec<VolumeMount<'a>>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(crate) ports: Vec<Port<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvVar<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) value: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) value_from: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeMount<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) mount_path: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) sub_path: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) sub_path_expr: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) mount_propagation: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Port<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) container_port: i64,
    #[serde(borrow, default)]
    pub(crate) protocol: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Named<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HostAlias<'a> {
    #[serde(borrow, default)]
    pub(crate) ip: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(crate) hostnames: Vec<Text<'a>>,
}

/// A volume: its name, and whether its source can be written at all.
#[derive(Debug)]
pub(crate) struct Volume<'a> {
    pub(crate) name: Text<'a>,
    /// `Some(source)` for sources that are always read-only (`configMap`, …) or declared so (`readOnly: true`).
    pub(crate) read_only_source: Option<Cow<'a, str>>,
}

const READ_ONLY_SOURCES: [&str; 5] = ["configMap", "secret", "downwardAPI", "projected", "image"];

impl<'de: 'a, 'a> Deserialize<'de> for Volume<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VolumeVisitor;
        impl<'de> Visitor<'de> for VolumeVisitor {
            type Value = Volume<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Volume<'de>, A::Error> {
                let mut volume = Volume {
                    name: Text::default(),
                    read_only_source: None,
                };
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key {
                        "name" => volume.name = map.next_value()?,
                        source if READ_ONLY_SOURCES.contains(&source) => {
                            if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                                volume.read_only_source = Some(key.0);
                            }
                        }
                        _ => {
                            if map.next_value::<Source>()?.0 {
                                volume.read_only_source = Some(key.0);
                            }
                        }
                    }
                }
                Ok(volume)
            }
        }
        deserializer.deserialize_map(VolumeVisitor)
    }
}

/// The source of a volume, reduced to its `readOnly`. Anything that is not an object counts as writable.
struct Source(bool);

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;
        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = Source;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the source of a volume")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
                let mut read_only = false;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if &*key == "readOnly" {
                        read_only = map.next_value::<Option<bool>>()?.unwrap_or(false);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Source(read_only))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Source, A::Error> {
                IgnoredAny.visit_seq(seq).map(|_| Source(false))
            }
            fn visit_unit<E>(self) -> Result<Source, E> {
                Ok(Source(false))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Source, E> {
                Ok(Source(false))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Source, E> {
                Ok(Source(false))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Source, E> {
                Ok(Source(false))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Source, E> {
                Ok(Source(false))
            }
            fn visit_str<E>(self, _: &str) -> Result<Source, E> {
                Ok(Source(false))
            }
        }
        deserializer.deserialize_any(SourceVisitor)
    }
}

/// A JSON object of strings, in its own order. Of equal keys the last counts, as in Kubernetes' own decoder.
#[derive(Debug, Default)]
pub(crate) struct Pairs<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Pairs<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(k, _)| &**k == key)
            .map(|(_, value)| &**value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    pairs.push(entry);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn has_items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<Vec<IgnoredAny>>::deserialize(deserializer)?.is_some_and(|items| !items.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_empty_are_three_things() {
        let view: PodView<'_> =
            serde_json::from_str(r#"{"metadata":{"annotations":null,"labels":{}},"spec":{"containers":[]}}"#).unwrap();
        let mut room = Spec::default();
        let (metadata, spec) = (view.metadata().unwrap(), view.spec(&mut room).unwrap());
        assert!(matches!(metadata.annotations, Field::Null));
        assert!(matches!(metadata.labels, Field::Present(_)));
        assert!(matches!(spec.volumes, Field::Absent));
        assert!(matches!(spec.containers, Field::Present(_)));
    }

    #[test]
    fn null_members_count_as_absent() {
        let view: PodView<'_> = json::from_str(
            r#"{"metadata":null,"spec":{"containers":[{"name":null,"ports":null,"envFrom":null}],"hostNetwork":null}}"#,
        )
        .unwrap();
        let mut room = Spec::default();
        let spec = view.spec(&mut room).unwrap();
        assert_eq!(&*spec.containers.items()[0].name, "");
        assert!(spec.is_there && !spec.host_network);
        let view: PodView<'_> = json::from_str(r#"{"spec":null}"#).unwrap();
        assert!(!view.spec(&mut room).unwrap().is_there);
    }

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        let view: PodView<'_> = json::from_str(r#"{"metadata":{"annotations":{"a":"b","c":"d\n"}}}"#).unwrap();
        let Field::Present(pairs) = &view.metadata().unwrap().annotations else {
            panic!("annotations are there")
        };
        assert!(matches!(pairs.0[0].1.0, Cow::Borrowed("b")));
        assert!(matches!(pairs.0[1].1.0, Cow::Owned(_)));
    }

    #[test]
    fn of_several_owners_the_controller_is_told() {
        for (owners, expected) in [
            (
                r#"[{"name":"a","uid":"1"},{"name":"b","kind":"Job","controller":true}]"#,
                Some("b"),
            ),
            (r#"[{"name":"a","controller":false}]"#, None),
            (r#"[{"name":7,"controller":true}]"#, None),
            ("null", None),
            ("{}", None),
        ] {
            let pod = format!(r#"{{"metadata":{{"ownerReferences":{owners}}}}}"#);
            let view: PodView<'_> = json::from_str(&pod).unwrap();
            let controller = view.controller();
            assert_eq!(
                controller.as_ref().map(|owner| owner.name.as_str()),
                expected,
                "{owners}"
            );
        }
    }

    #[test]
    fn read_only_sources_are_seen() {
        let view: PodView<'_> = json::from_str(
            r#"{"spec":{"volumes":[{"configMap":{},"name":"a"},{"name":"b","nfs":{"readOnly":true}},{"name":"c","emptyDir":{}},
                {"name":"d","secret":null},{"name":"e","future":[1,{"readOnly":true}]},{"name":"f","future":7}]}}"#,
        )
        .unwrap();
        let mut room = Spec::default();
        let spec = view.spec(&mut room).unwrap();
        let sources: Vec<_> = spec
            .volumes
            .items()
            .iter()
            .map(|v| v.read_only_source.as_deref())
            .collect();
        assert_eq!(sources, [Some("configMap"), Some("nfs"), None, None, None, None]);
    }

    #[test]
    fn the_spec_is_read_at_once_where_the_pod_asks_for_policies() {
        let asks = r#"{"metadata":{"annotations":{"outrigger.dev/inject":"a"}},"spec":{"hostNetwork":true}}"#;
        let late = r#"{"spec":{"hostNetwork":true},"metadata":{"annotations":{"outrigger.dev/inject":"a"}}}"#;
        for (pod, at_once) in [(asks, true), (late, false), (r#"{"spec":{"hostNetwork":true}}"#, false)] {
            let view: PodView<'_> = json::from_str(pod).unwrap();
            assert_eq!(matches!(view.spec, SpecField::Read(_)), at_once, "{pod}");
            let mut room = Spec::default();
            let spec = view.spec(&mut room).unwrap();
            assert!(spec.is_there && spec.host_network, "{pod}");
        }
    }

    #[test]
    fn wrong_types_are_errors() {
        for pod in [
            r#"[]"#,
            r#"{"spec":[]}"#,
            r#"{"metadata":[]}"#,
            r#"{"spec":{"containers":[[]]}}"#,
            r#"{"spec":{"containers":"web"}}"#,
            r#"{"spec":{"containers":[{"name":1}]}}"#,
            r#"{"metadata":{"annotations":{"a":1}}}"#,
            r#"{"spec":{"containers":[{"ports":[{"containerPort":"80"}]}]}}"#,
        ] {
            let outcome = json::from_str(pod).and_then(|view: PodView<'_>| view.spec(&mut Spec::default()).map(drop));
            assert!(outcome.is_err(), "{pod}");
        }
    }
}
