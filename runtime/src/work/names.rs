//! How items are called: towards the application, in file names and in subjects; and the headers that say so.
use async_nats::HeaderMap;
use std::fmt::Write;

/// Which item it is; the same in every attempt, in its result and in its dead letter.
pub const ITEM: &str = "Outrigger-Item-Id";
/// The how-manieth attempt, from 1.
pub const ATTEMPT: &str = "Outrigger-Attempt";
/// Until when the application must have answered (RFC 3339).
pub const DEADLINE: &str = "Outrigger-Deadline";
/// Why an item is dead.
pub const REASON: &str = "Outrigger-Dead-Reason";
/// How many attempts failed before.
pub const ATTEMPTS: &str = "Outrigger-Attempts";
/// What goes along with an item all the way: what the body is, and the W3C trace context.
pub const PASSED_ON: &[&str] = &[
    "content-type",
    "content-encoding",
    "traceparent",
    "tracestate",
    "baggage",
];

/// Whether a header's name is one of these; upper and lower case are the same.
pub fn is_among(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Longer keys are not taken from clients.
pub const LONGEST_KEY: usize = 128;
/// Longer names do not fit into a file name with what we put before it.
const LONGEST_ID: usize = 200;

/// An item's name, from the headers of its message, safe in file names, header values and paths of URLs.
///
/// Where a message has no name, it is its place in the stream. That begins with a character that no other name has.
pub fn id(headers: Option<&HeaderMap>, key: &str) -> String {
    let header = |name: &str| {
        headers
            .and_then(|headers| headers.get(name))
            .map(|value| value.as_str())
    };
    let named = header(ITEM)
        .map(str::to_owned)
        .or_else(|| header(async_nats::header::NATS_MESSAGE_ID.as_ref()).map(escaped))
        .filter(|id| !id.is_empty() && id.len() <= LONGEST_ID && is_safe(id));
    named.unwrap_or_else(|| format!("@{key}"))
}

/// Without slashes, spaces and whatever else, and never a hidden file: other bytes are written %XX.
pub fn escaped(text: &str) -> String {
    let mut id = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_~:".contains(&byte) || (byte == b'.' && place > 0);
        if plain {
            id.push(byte.into());
        } else {
            let _ = write!(id, "%{byte:02X}");
        }
    }
    id
}

fn is_safe(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~:.%@".contains(&byte);
    !id.starts_with('.') && id.bytes().all(plain)
}

/// The id as one token of a subject.
pub fn token(id: &str) -> String {
    id.replace('.', "%2E")
}

/// On one line, printable, not endless: fit for a header and for a log.
pub fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|letter| !letter.is_control());
    if let Some((end, _)) = line.char_indices().nth(500) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_safe_and_no_two_become_one() {
        let named = |name: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", name);
            id(Some(&headers), "7-9")
        };
        for (name, expected) in [
            ("order-17", "order-17"),
            ("invoice.17", "invoice.17"),
            (".hidden", "%2Ehidden"),
            ("../../etc", "%2E.%2F..%2Fetc"),
            ("100%", "100%25"),
            ("@7-9", "%407-9"),
            ("a b\u{e4}", "a%20b%C3%A4"),
        ] {
            assert_eq!(named(name), expected);
        }
        assert_eq!(id(None, "7-9"), "@7-9");
        assert_eq!(named(&"x".repeat(201)), "@7-9");
        assert_eq!(token("invoice.17"), "invoice%2E17");
    }

    #[test]
    fn an_id_that_came_along_counts_only_when_it_is_safe() {
        let mut headers = HeaderMap::new();
        headers.insert(ITEM, "@5-6");
        assert_eq!(id(Some(&headers), "7-9"), "@5-6");
        headers.insert(ITEM, "../x");
        assert_eq!(id(Some(&headers), "7-9"), "@7-9");
    }

    #[test]
    fn reasons_fit_into_a_header() {
        assert_eq!(one_line(" bad\r\n  order\u{7} "), "bad order");
        assert_eq!(one_line(&"ä".repeat(600)).chars().count(), 501);
    }
}
