//! The syntax of names in Kubernetes (`k8s.io/apimachinery/pkg/util/validation`), with errors that say what to write.

/// An RFC 1123 label: containers, volumes, policies, namespaces.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fine = !name.is_empty() && name.len() <= 63 && name.bytes().all(inner);
    fine && !name.starts_with('-') && !name.ends_with('-')
}

/// An RFC 1123 label, or what to write.
pub(crate) fn dns_label(name: &str) -> Result<(), String> {
    if is_dns_label(name) {
        return Ok(());
    }
    Err(format!(
        "\"{name}\" is not a DNS label; use at most 63 lower-case letters, digits and '-', not at an end"
    ))
}

/// The name of a container's port (RFC 6335): at most 15 characters with a letter among them.
pub(crate) fn port_name(name: &str) -> Result<(), String> {
    let fine = dns_label(name).is_ok()
        && name.len() <= 15
        && !name.contains("--")
        && name.chars().any(|c| c.is_ascii_lowercase());
    if fine {
        return Ok(());
    }
    Err(format!(
        "\"{name}\" is not a port's name; use at most 15 lower-case letters, digits and '-', one letter at least"
    ))
}

/// The key of a label or annotation: an optional DNS subdomain and '/', then a name.
pub(crate) fn qualified_name(key: &str) -> Result<(), String> {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    let domain_fine =
        domain.is_none_or(|domain| domain.len() <= 253 && domain.split('.').all(|part| dns_label(part).is_ok()));
    if domain_fine && !name.is_empty() && label_value(name).is_ok() {
        return Ok(());
    }
    Err(format!(
        "\"{key}\" is not the key of a label or annotation; write it like example.com/name"
    ))
}

/// The value of a label; may be empty.
pub(crate) fn label_value(value: &str) -> Result<(), String> {
    let end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.len() <= 63 && value.chars().all(inner) && end(value.chars().next()) && end(value.chars().last()) {
        return Ok(());
    }
    Err(format!(
        "\"{value}\" is not a label's value; use at most 63 letters, digits, '-', '_' and '.', none of these at an end"
    ))
}

/// `prefix` and as much of `text` as fits a DNS label, with a hash that keeps different texts apart.
pub(crate) fn label_from(prefix: &str, text: &str) -> String {
    let hash = short_hash(text.as_bytes());
    let mut readable = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | '0'..='9' => readable.push(c),
            'A'..='Z' => readable.push(c.to_ascii_lowercase()),
            _ if !readable.is_empty() && !readable.ends_with('-') => readable.push('-'),
            _ => {}
        }
    }
    readable.truncate(62 - prefix.len() - hash.len());
    let readable = readable.trim_end_matches('-');
    match readable {
        "" => format!("{prefix}{hash}"),
        _ => format!("{prefix}{readable}-{hash}"),
    }
}

/// Six hexadecimal digits (24 bits) of a 64-bit FNV-1a, which stays the same from release to release.
fn short_hash(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{:06x}", (hash ^ (hash >> 32)) & 0x00ff_ffff)
}

/// The first `most` characters of a text, with an ellipsis if there are more.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Those of `known` that look like `name` whatever its case, best first, at most three.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut scored: Vec<(usize, &str)> = known
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= 1 + name.len().min(candidate.len()) / 3)
        .collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// `; did you mean …?` for the nearest candidates, else `; there is …` with all of them.
pub(crate) fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let close = nearest(name, candidates.clone().into_iter());
    let all: Vec<&str> = candidates.into_iter().collect();
    match (close.is_empty(), all.len()) {
        (false, _) => format!("; did you mean {}?", close.join(" or ")),
        (true, 0) => "; there are none".to_string(),
        (true, 1..=12) => format!("; there is {}", all.join(", ")),
        (true, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kubernetes() {
        for (check, good, bad) in [
            (
                dns_label as fn(&str) -> Result<(), String>,
                "a-1",
                ["", "Log", "-a", "a-", "a_b"],
            ),
            (port_name, "http-2", ["80", "a--b", "a-name-of-sixteen", "", "A"]),
            (
                qualified_name,
                "example.com/a_B.c",
                ["/a", "a/", "a/b/c", "a b", "EX.com/a"],
            ),
            (label_value, "", ["-a", "a-", "a b", "é", "a/b"]),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
            for name in bad {
                assert!(check(name).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn labels_made_from_text_are_labels_and_stay_apart() {
        let long = format!("/{}", "very-long/".repeat(20));
        for text in ["/var/log/nginx", "/", "/É", &long] {
            assert_eq!(dns_label(&label_from("outrigger-", text)), Ok(()), "{text}");
        }
        assert_ne!(label_from("o-", "/a/b"), label_from("o-", "/a-b"));
        assert!(label_from("outrigger-", "/var/log/nginx").starts_with("outrigger-var-log-nginx-"));
    }

    #[test]
    fn the_nearest_names_come_first() {
        let known = ["memcached", "log-saver", "nginx-metrics"];
        assert_eq!(nearest("log-savr", known.into_iter()), ["log-saver"]);
        assert!(nearest("kafka", known.into_iter()).is_empty());
    }
}
