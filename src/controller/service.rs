//! The Service by which the API server reaches the replicas.
use std::str::FromStr;

const HTTPS: u16 = 443;

/// A Service and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its namespace, in which Secret and Lease are too.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The port of the Service, not of the Pods.
    pub port: u16,
}

impl Service {
    /// The names by which it is called; the API server uses the first.
    pub fn host_names(&self) -> [String; 2] {
        let short = format!("{}.{}.svc", self.name, self.namespace);
        let long = format!("{short}.cluster.local");
        [short, long]
    }
}

impl FromStr for Service {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Service, Self::Err> {
        const FORM: &str = "write it as NAMESPACE/NAME or NAMESPACE/NAME:PORT";
        let (namespace, rest) = text.split_once('/').ok_or(FORM)?;
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, port.parse().ok().filter(|port| *port > 0).ok_or(FORM)?),
            None => (rest, HTTPS),
        };
        if [namespace, name].iter().any(|part| !is_label(part)) {
            return Err(FORM);
        }
        Ok(Service {
            namespace: namespace.into(),
            name: name.into(),
            port,
        })
    }
}

/// A DNS label (RFC 1123).
fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_namespace_name_and_perhaps_a_port() {
        let service = |port| {
            Ok(Service {
                namespace: "outrigger-system".into(),
                name: "outrigger".into(),
                port,
            })
        };
        assert_eq!("outrigger-system/outrigger".parse(), service(443));
        assert_eq!("outrigger-system/outrigger:8443".parse(), service(8443));
        for wrong in [
            "outrigger",
            "a/",
            "/b",
            "a/b:",
            "a/b:x",
            "a/b:0",
            "a/b/c",
            "A/b",
            "a/-b",
        ] {
            assert!(wrong.parse::<Service>().is_err(), "{wrong}");
        }
    }
}
