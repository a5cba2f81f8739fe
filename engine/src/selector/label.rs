//! The syntax of labels, from Kubernetes' `IsQualifiedName` and `IsValidLabelValue`.

/// Checks a label's key: a name, or a DNS subdomain, a slash and a name.
pub(super) fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        return Err(format!(
            "{key:?} is not a label's key; before the slash stands a domain, such as example.com"
        ));
    }
    match is_name(name) {
        true => Ok(()),
        false => Err(format!(
            "{key:?} is not a label's key; use at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
        )),
    }
}

/// Checks a label's value, which may be empty.
pub(super) fn check_value(value: &str) -> Result<(), String> {
    match value.is_empty() || is_name(value) {
        true => Ok(()),
        false => Err(format!(
            "{value:?} is not a label's value; use at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
        )),
    }
}

fn is_name(name: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.len() <= 63
        && ends(name.bytes().next())
        && ends(name.bytes().next_back())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_subdomain(prefix: &str) -> bool {
    let label = |label: &str| {
        let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        ends(label.bytes().next())
            && ends(label.bytes().next_back())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    prefix.len() <= 253 && prefix.split('.').all(label)
}
