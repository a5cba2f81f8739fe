//! Answers as a JSON array, written piece by piece: what is JSON already goes in as it is.
use crate::gather::leaf::Part;
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `[{"shard": …, "status": …, "headers": {…}, "body": …, "encoding": "json"|"text"|"base64"}, …]`
pub fn array<'a>(parts: impl Iterator<Item = (&'a str, &'a Part)>) -> serde_json::Result<Vec<u8>> {
    let mut out = vec![b'['];
    for (shard, part) in parts {
        if out.len() > 1 {
            out.push(b',');
        }
        object(&mut out, shard, part)?;
    }
    out.push(b']');
    Ok(out)
}

fn object(out: &mut Vec<u8>, shard: &str, part: &Part) -> serde_json::Result<()> {
    out.extend_from_slice(b"{\"shard\":");
    serde_json::to_writer(&mut *out, shard)?;
    out.extend_from_slice(b",\"status\":");
    serde_json::to_writer(&mut *out, &part.status.as_u16())?;
    out.extend_from_slice(b",\"headers\":");
    serde_json::to_writer(&mut *out, &headers(part))?;
    out.extend_from_slice(b",\"body\":");
    let encoding = if says_json(part) && is_json(&part.body) {
        out.extend_from_slice(&part.body);
        "json"
    } else if let Ok(text) = std::str::from_utf8(&part.body) {
        serde_json::to_writer(&mut *out, text)?;
        "text"
    } else {
        serde_json::to_writer(&mut *out, &BASE64_STANDARD.encode(&part.body))?;
        "base64"
    };
    out.extend_from_slice(b",\"encoding\":");
    serde_json::to_writer(&mut *out, encoding)?;
    out.push(b'}');
    Ok(())
}

/// One text for each name; several values are joined as HTTP allows.
fn headers(part: &Part) -> BTreeMap<&str, String> {
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &part.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str())
            .and_modify(|before| {
                *before += ", ";
                *before += &value;
            })
            .or_insert_with(|| value.into_owned());
    }
    headers
}

fn says_json(part: &Part) -> bool {
    let media = part.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
}

/// Whether it is one JSON value and nothing else.
pub fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(body).is_ok()
}
