//! Which headers go where: the client's to the leaves, the leaves' to the merging container, its own to the client.
use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};
use rand::RngExt;

/// Which shards are missing, and why.
pub const MISSING: HeaderName = HeaderName::from_static("outrigger-missing");
/// How many shards have answered, of how many.
pub const SHARDS: HeaderName = HeaderName::from_static("outrigger-shards");
/// The client's method, for the merging container.
pub const METHOD: HeaderName = HeaderName::from_static("outrigger-method");
/// The client's path and query, for the merging container.
pub const PATH: HeaderName = HeaderName::from_static("outrigger-path");

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// Those that are about a connection, not about what is sent over it (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Those that hop-by-hop proxies made up, or that are written anew.
const WRITTEN_ANEW: [HeaderName; 4] = [
    HeaderName::from_static("proxy-connection"),
    header::CONTENT_LENGTH,
    header::HOST,
    header::EXPECT,
];

/// Takes out what is about the connection, and what is written anew for the next.
pub fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&WRITTEN_ANEW).chain(&named) {
        headers.remove(name);
    }
}

/// What the leaves and the merging container get of the client's headers: those that are `chosen` (none: all end-to-end ones, save
/// `accept-encoding`, for what is compressed can hardly be merged), and always the trace context.
pub fn forwarded(client: &HeaderMap, chosen: Option<&[HeaderName]>) -> HeaderMap {
    let mut all = client.clone();
    end_to_end(&mut all);
    let mut forwarded = match chosen {
        None => {
            all.remove(header::ACCEPT_ENCODING);
            all
        }
        Some(names) => {
            let mut picked = HeaderMap::with_capacity(names.len() + 4);
            for name in names {
                for value in all.get_all(name) {
                    picked.append(name.clone(), value.clone());
                }
            }
            picked
        }
    };
    pass_trace_on(client, &mut forwarded);
    forwarded
}

/// As the W3C's Trace Context says: one that is malformed counts as none, and then there is a new one, not sampled.
fn pass_trace_on(client: &HeaderMap, forwarded: &mut HeaderMap) {
    forwarded.remove(TRACE_PARENT);
    forwarded.remove(TRACE_STATE);
    let mut parents = client.get_all(TRACE_PARENT).iter();
    match (parents.next(), parents.next()) {
        (Some(parent), None) if is_trace_parent(parent.as_bytes()) => {
            forwarded.insert(TRACE_PARENT, parent.clone());
            for state in client.get_all(TRACE_STATE) {
                forwarded.append(TRACE_STATE, state.clone());
            }
        }
        _ => {
            let (trace, span): (u128, u64) = (rand::rng().random(), rand::rng().random());
            let parent = format!("00-{:032x}-{:016x}-00", trace.max(1), span.max(1));
            if let Ok(parent) = HeaderValue::try_from(parent) {
                forwarded.insert(TRACE_PARENT, parent);
            }
        }
    }
}

/// `00-<32 hex digits, not all 0>-<16 of them>-<2>`; later versions may say more.
fn is_trace_parent(text: &[u8]) -> bool {
    let hex = |part: &[u8]| {
        part.iter()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
    };
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let [version, trace, parent, flags] = match text.len() {
        55.. => [&text[..2], &text[3..35], &text[36..52], &text[53..55]],
        _ => return false,
    };
    let dashes = text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
    let longer = text.len() == 55 || (version != b"00" && text[55] == b'-');
    let digits = [version, trace, parent, flags].into_iter().all(hex);
    dashes && longer && digits && version != b"ff" && !zero(trace) && !zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_about_the_connection_is_not_passed_on() {
        let client = headers(&[
            ("connection", "keep-alive, x-hop"),
            ("connection", "upgrade"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-connection", "close"),
            ("host", "root"),
            ("content-length", "3"),
            ("accept-encoding", "gzip"),
            ("x-one", "1"),
            ("x-one", "2"),
            ("traceparent", PARENT),
        ]);
        assert_eq!(
            forwarded(&client, None),
            headers(&[("x-one", "1"), ("x-one", "2"), ("traceparent", PARENT)])
        );
        let chosen = ["x-one", "x-hop", "accept-encoding", "x-absent"].map(|name| name.parse().unwrap());
        assert_eq!(
            forwarded(&client, Some(&chosen)),
            headers(&[
                ("x-one", "1"),
                ("x-one", "2"),
                ("accept-encoding", "gzip"),
                ("traceparent", PARENT)
            ])
        );
    }

    #[test]
    fn a_trace_is_passed_on_and_one_that_is_none_begins_anew() {
        let later = format!("cc-{}-more", &PARENT[3..]);
        for good in [PARENT, &later] {
            let client = headers(&[("traceparent", good), ("tracestate", "a=1")]);
            assert_eq!(forwarded(&client, Some(&[])), client);
        }
        let longer = format!("{PARENT}-more");
        let upper = PARENT.to_uppercase();
        let zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let invalid = format!("ff{}", &PARENT[2..]);
        for wrong in ["", "x", &longer, &upper, &zero, &invalid, &PARENT[..54]] {
            let passed = forwarded(&headers(&[("traceparent", wrong), ("tracestate", "a=1")]), Some(&[]));
            let parent = passed.get(TRACE_PARENT).unwrap();
            assert!(
                is_trace_parent(parent.as_bytes()) && parent != wrong && passed.len() == 1,
                "{wrong}"
            );
        }
        let two = headers(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_ne!(forwarded(&two, Some(&[])).get(TRACE_PARENT).unwrap(), PARENT);
    }
}
