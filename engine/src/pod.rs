//! A borrowed view of a Pod's raw JSON.
use serde::{Deserialize, de::IgnoredAny};
use std::borrow::Cow;

/// What the engine needs of a Pod, read in one pass over its JSON and borrowed from it.
#[derive(Debug, Deserialize)]
pub struct PodView<'a> {
    #[serde(borrow, default)]
    pub(crate) kind: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) metadata: Option<IgnoredAny>,
}
