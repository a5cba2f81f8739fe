//! What becomes of the answers of shards: merged here, or written for the container that merges.
//!
//! It does not know how the answers were had.
pub mod built_in;
pub mod container;
mod json;
mod multipart;

use crate::serving::is_port_good;
use hyper::Uri;
use std::str::FromStr;

/// Who merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// All bodies, one after the other.
    Concat,
    /// A JSON array of all bodies.
    JsonArray,
    /// The first answer.
    First,
    /// A container, at this URL.
    Container(Uri),
}

/// How a container gets the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An array of objects: shard, status, headers, body, encoding.
    Json,
    /// multipart/mixed, a part for each shard.
    Multipart,
}

impl FromStr for Merge {
    type Err = String;

    fn from_str(text: &str) -> Result<Merge, String> {
        match text {
            "concat" => return Ok(Merge::Concat),
            "json-array" => return Ok(Merge::JsonArray),
            "first" => return Ok(Merge::First),
            _ => {}
        }
        let wrong = || {
            format!(
                "{text:?} is not how to merge; write concat, json-array, first, or a URL as http://127.0.0.1:8080/merge"
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let named = !authority.host().is_empty() && !authority.as_str().contains('@') && is_port_good(authority);
        match uri.scheme_str() == Some("http") && named {
            true => Ok(Merge::Container(uri)),
            false => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_one_of_three_ways_or_the_url_of_a_container() {
        assert_eq!("json-array".parse(), Ok(Merge::JsonArray));
        assert!(matches!(
            "http://127.0.0.1:8080/merge?x=1".parse(),
            Ok(Merge::Container(_))
        ));
        for wrong in [
            "",
            "json",
            "127.0.0.1:8080",
            "https://127.0.0.1/",
            "http://",
            "http://a@b/",
            "http://a:70000/",
            "/merge",
        ] {
            assert!(wrong.parse::<Merge>().unwrap_err().contains("write concat"), "{wrong}");
        }
    }
}
