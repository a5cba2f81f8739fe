//! The annotation `outrigger.dev/inject` of a Pod.

use crate::names;

/// The annotation's key.
pub(crate) const INJECT: &str = "outrigger.dev/inject";

/// More names than anybody writes: each is looked up, and looked for among its like when it is not known.
const MAX_TERMS: usize = 64;

/// Whether an annotation with this key says something on a Pod: a wish, or the value of a policy's parameter.
pub fn is_for_pods(key: &str) -> bool {
    let policy = |domain: &str| {
        let policy = domain.strip_suffix(".outrigger.dev");
        policy.is_some_and(|policy| policy != "inject" && names::is_dns_label(policy))
    };
    key == INJECT || key.split_once('/').is_some_and(|(domain, _)| policy(domain))
}

/// What a Pod asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes<'a> {
    /// `false`: none of those that can be declined.
    pub(crate) nothing: bool,
    pub(crate) wanted: Vec<&'a str>,
    pub(crate) declined: Vec<&'a str>,
    /// The annotation is there, and says nothing.
    pub(crate) empty: bool,
}

/// Reads the annotation's value.
///
/// # Errors
/// A message that says what to write.
pub(crate) fn parse(value: &str) -> Result<Wishes<'_>, String> {
    let mut wishes = Wishes::default();
    let terms = || value.split(',').map(str::trim).filter(|term| !term.is_empty());
    let count = terms().count();
    if count > MAX_TERMS {
        return Err(format!(
            "annotation {INJECT} has {count} names; write at most {MAX_TERMS}"
        ));
    }
    match terms().next() {
        None => wishes.empty = true,
        Some("false") if count == 1 => wishes.nothing = true,
        Some(_) => terms().try_for_each(|term| add(&mut wishes, term))?,
    }
    Ok(wishes)
}

fn add<'a>(wishes: &mut Wishes<'a>, term: &'a str) -> Result<(), String> {
    let refuse = |why: &str| {
        Err(format!(
            "annotation {INJECT}: \"{term}\" {why}; write names of policies, as in \"log-saver, memcached\", \"-log-saver\" to opt out of one, or \"false\" to opt out of all"
        ))
    };
    let (list, other, name) = match term.strip_prefix('-') {
        Some(name) => (&mut wishes.declined, &wishes.wanted, name.trim_start()),
        None => (&mut wishes.wanted, &wishes.declined, term),
    };
    match name {
        "true" | "enabled" => return refuse("does not say which policy"),
        "false" => return refuse("stands alone or not at all"),
        _ if names::dns_label(name).is_err() => return refuse("is not a policy's name"),
        _ if other.contains(&name) => return refuse("is both asked for and declined"),
        _ if !list.contains(&name) => list.push(name),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_is_read() {
        for (value, wanted, declined, nothing, empty) in [
            (
                "log-saver, memcached",
                &["log-saver", "memcached"][..],
                &[][..],
                false,
                false,
            ),
            (" a ,, -b,a", &["a"], &["b"], false, false),
            ("false", &[], &[], true, false),
            (" false ", &[], &[], true, false),
            ("", &[], &[], false, true),
            (" , ", &[], &[], false, true),
        ] {
            let wishes = parse(value).unwrap();
            assert_eq!(
                (&wishes.wanted[..], &wishes.declined[..]),
                (wanted, declined),
                "{value}"
            );
            assert_eq!((wishes.nothing, wishes.empty), (nothing, empty), "{value}");
        }
    }

    #[test]
    fn what_pods_are_annotated_with_is_known_by_its_key() {
        for (key, expected) in [
            ("outrigger.dev/inject", true),
            ("log-saver.outrigger.dev/path", true),
            ("inject.outrigger.dev/log-saver", false),
            ("log-saver.files.outrigger.dev/0", false),
            ("outrigger.dev/injected", false),
            ("x-outrigger.dev/path", false),
            (".outrigger.dev/path", false),
            ("outrigger.dev", false),
        ] {
            assert_eq!(is_for_pods(key), expected, "{key}");
        }
    }

    #[test]
    fn what_it_cannot_mean_is_refused_with_what_to_write() {
        for value in [
            "true",
            "enabled",
            "Log-Saver",
            "a b",
            "a,false",
            "-",
            "--a",
            "a,-a",
            "-a,a",
            "-true",
            "a/b",
            "é",
        ] {
            let message = parse(value).unwrap_err();
            assert!(message.contains("write names of policies"), "{value}: {message}");
        }
    }
}
