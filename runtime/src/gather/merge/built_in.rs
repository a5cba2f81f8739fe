//! Merging without a container.
use super::json::is_json;
use crate::gather::memory::Room;
use crate::gather::missing::Missing;
use crate::gather::scatter::Gathered;
use bytes::{Bytes, BytesMut};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode};

/// What the client is answered.
pub struct Merged {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Held as long as the body.
    pub room: Room,
}

/// How many bytes merging takes beside the answers.
pub fn size(gathered: &Gathered) -> usize {
    gathered.answers().map(|(_, part)| part.body.len() + 1).sum::<usize>() + 2
}

/// The first answer, as it came, if there is one.
pub fn first(gathered: Gathered) -> Option<Merged> {
    let part = gathered.parts.into_iter().find_map(|(_, result)| result.ok())?;
    Some(Merged {
        status: part.status,
        headers: part.headers,
        body: part.body,
        room: part.room,
    })
}

/// All bodies, one after the other, with the content type that they share.
pub fn concat(gathered: &Gathered, room: Room) -> Merged {
    let parts = || gathered.answers().map(|(_, part)| part);
    let mut body = BytesMut::with_capacity(size(gathered));
    parts().for_each(|part| body.extend_from_slice(&part.body));
    let mut types = parts().map(|part| part.headers.get(header::CONTENT_TYPE));
    let media = types.next().flatten();
    let shared = media.filter(|_| types.all(|other| other == media)).cloned();
    let media = shared.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    merged(media, body, room)
}

/// An array of all bodies, which are JSON.
pub fn json_array(gathered: &Gathered, room: Room) -> Merged {
    let mut body = BytesMut::with_capacity(size(gathered));
    body.extend_from_slice(b"[");
    for (_, part) in gathered.answers() {
        if body.len() > 1 {
            body.extend_from_slice(b",");
        }
        body.extend_from_slice(&part.body);
    }
    body.extend_from_slice(b"]");
    merged(HeaderValue::from_static("application/json"), body, room)
}

/// Shards whose answers are no JSON are missing ones.
pub fn only_json(gathered: &mut Gathered) {
    for (_, result) in &mut gathered.parts {
        if result.as_ref().is_ok_and(|part| !is_json(&part.body)) {
            *result = Err(Missing::NotJson);
        }
    }
}

fn merged(media: HeaderValue, body: BytesMut, room: Room) -> Merged {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media);
    Merged {
        status: StatusCode::OK,
        headers,
        body: body.freeze(),
        room,
    }
}
