//! Which shards there are, read from flags: a shard that is declared stays, whatever becomes of its replicas.
use anyhow::{Result, bail};
use std::{collections::BTreeSet, net::SocketAddr, str::FromStr};

/// More shards than this are a mistake, and more than a request should be sent to.
const MOST: usize = 1024;

/// One shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its name, in headers, metrics and logs.
    pub name: String,
    /// Where its replicas are.
    pub sources: Vec<Source>,
}

/// Where replicas come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// One replica.
    Address(SocketAddr),
    /// All addresses of a name.
    Name {
        /// What is looked up.
        host: String,
        /// Where the replicas listen.
        port: u16,
    },
    /// The ready endpoints of a Service.
    Endpoints(Endpoints),
}

/// Endpoints of a Service, from its EndpointSlices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoints {
    /// The Service.
    pub service: String,
    /// Its namespace; none: the process's own.
    pub namespace: Option<String>,
    /// Only those of this Pod.
    pub pod: Option<String>,
    /// Where the replicas listen.
    pub port: Port,
}

/// A port of a Pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Its number.
    Number(u16),
    /// Its name in the Service.
    Name(String),
}

/// What `--shards` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Shards(Vec<(String, Option<Template>)>);

/// Where replicas are, with `{shard}` for the shard's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl FromStr for Shards {
    type Err = String;

    fn from_str(text: &str) -> Result<Shards, String> {
        let text = text.trim();
        let shards = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            (0..number(text)?).map(|shard| (shard.to_string(), None)).collect()
        } else {
            let items = text.split(',').map(|item| named(item.trim()));
            items.collect::<Result<Vec<_>, _>>()?.concat()
        };
        let mut names = BTreeSet::new();
        for (name, _) in &shards {
            check_name(name)?;
            if !names.insert(name) {
                return Err(format!("shard {name} is there twice"));
            }
        }
        if shards.len() > MOST {
            return Err(format!("{} shards; at most {MOST}", shards.len()));
        }
        Ok(Shards(shards))
    }
}

fn number(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST).contains(count));
    count.ok_or_else(|| format!("{text:?} is not a number of shards from 1 to {MOST}"))
}

/// A name, a name with its replicas, or the ordinals of a StatefulSet.
fn named(item: &str) -> Result<Vec<(String, Option<Template>)>, String> {
    if let Some(rest) = item.strip_prefix("statefulset:") {
        let Some((name, count)) = rest.split_once(':') else {
            return Err("write statefulset:NAME:COUNT, as statefulset:leaf:16".into());
        };
        let ordinals = 0..number(count)?;
        return Ok(ordinals.map(|ordinal| (format!("{name}-{ordinal}"), None)).collect());
    }
    Ok(vec![match item.split_once('=') {
        None => (item.to_owned(), None),
        Some((name, replicas)) => (name.trim().to_owned(), Some(replicas.parse()?)),
    }])
}

/// A name goes into headers, metrics and the names of hosts.
fn check_name(name: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let good =
        name.len() <= 63 && name.bytes().all(inner) && !name.starts_with(['-', '.']) && !name.ends_with(['-', '.']);
    match good && !name.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is not a shard's name; use at most 63 lower-case letters, digits, '-' and '.', as in a=10.0.0.1:80"
        )),
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Template, String> {
        let template = Template(text.trim().to_owned());
        // Whether it is good does not depend on the name.
        template.sources("0").map(|_| template)
    }
}

impl Template {
    fn sources(&self, shard: &str) -> Result<Vec<Source>, String> {
        let text = self.0.replace("{shard}", shard);
        text.split('|').map(|item| item.trim().parse()).collect()
    }

    fn names_the_shard(&self) -> bool {
        self.0.contains("{shard}")
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        if let Some(address) = text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0) {
            return Ok(Source::Address(address));
        }
        // Services may be called by the words that stand before a colon here.
        let after = |word: &str| text.strip_prefix(word).filter(|rest| rest.contains(':'));
        if let Some(rest) = after("endpoints:") {
            return endpoints(rest).map(Source::Endpoints);
        }
        let wrong = || {
            format!(
                "{text:?} does not say where replicas are; write HOST:PORT, dns:HOST:PORT or endpoints:SERVICE[.NAMESPACE][/POD]:PORT, with at \
                 most 63 characters between the dots of a name"
            )
        };
        let (host, port) = after("dns:").unwrap_or(text).rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        match is_host(host) {
            true => Ok(Source::Name {
                host: host.to_owned(),
                port,
            }),
            false => Err(wrong()),
        }
    }
}

fn endpoints(text: &str) -> Result<Endpoints, String> {
    let wrong = || {
        format!(
            "\"endpoints:{text}\": write endpoints:SERVICE[.NAMESPACE][/POD]:PORT, the port by number or name, with at most 63 \
             characters between the dots of a name"
        )
    };
    let (rest, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = match port.parse::<u16>() {
        Ok(0) => return Err(wrong()),
        Ok(number) => Port::Number(number),
        Err(_) => Port::Name(Some(port).filter(|name| is_label(name)).ok_or_else(wrong)?.to_owned()),
    };
    let (rest, pod) = rest
        .split_once('/')
        .map_or((rest, None), |(rest, pod)| (rest, Some(pod)));
    let (service, namespace) = rest
        .split_once('.')
        .map_or((rest, None), |(service, namespace)| (service, Some(namespace)));
    let good = is_label(service) && namespace.is_none_or(is_label) && pod.is_none_or(is_host);
    match good {
        true => Ok(Endpoints {
            service: service.to_owned(),
            namespace: namespace.map(str::to_owned),
            pod: pod.map(str::to_owned),
            port,
        }),
        false => Err(wrong()),
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_host(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 253 && labels.split('.').all(is_label)
}

/// The shards with their replicas.
///
/// # Errors
/// When one does not know where its replicas are, or all have the same.
pub fn declare(shards: &Shards, template: Option<&Template>) -> Result<Vec<Declared>> {
    let borrowing = shards.0.iter().filter(|(_, own)| own.is_none()).count();
    if let Some(template) = template
        && borrowing > 1
        && !template.names_the_shard()
    {
        bail!(
            "--replicas {}: every shard would have the same replicas; write {{shard}} where its name belongs",
            template.0
        );
    }
    let mut all = Vec::new();
    for (name, own) in &shards.0 {
        let Some(replicas) = own.as_ref().or(template) else {
            bail!(
                "--shards: where are the replicas of {name}? write {name}=HOST:PORT, or --replicas with {{shard}} in it"
            );
        };
        let sources = replicas.sources(name).map_err(anyhow::Error::msg)?;
        all.push(Declared {
            name: name.clone(),
            sources,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(shards: &str, template: Option<&str>) -> Result<Vec<Declared>, String> {
        let template = template.map(str::parse).transpose()?;
        declare(&shards.parse()?, template.as_ref()).map_err(|error| error.to_string())
    }

    fn name(host: &str, port: u16) -> Source {
        Source::Name {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn shards_are_a_list_a_count_or_the_ordinals_of_a_stateful_set() {
        let list = declared("a=10.0.0.1:80|[::1]:81, b = dns:leaf-b.shop:80", None).unwrap();
        let addresses = ["10.0.0.1:80", "[::1]:81"].map(|address| Source::Address(address.parse().unwrap()));
        assert_eq!((list[0].name.as_str(), &list[0].sources[..]), ("a", &addresses[..]));
        assert_eq!(
            (list[1].name.as_str(), &list[1].sources[..]),
            ("b", &[name("leaf-b.shop", 80)][..])
        );

        let counted = declared("3", Some("leaf-{shard}.leaf:8080")).unwrap();
        assert_eq!(counted.len(), 3);
        assert_eq!(
            (counted[2].name.as_str(), &counted[2].sources[..]),
            ("2", &[name("leaf-2.leaf", 8080)][..])
        );

        let ordinals = declared("statefulset:leaf:2", Some("endpoints:leaf.shop/{shard}:http")).unwrap();
        let endpoints = Endpoints {
            service: "leaf".into(),
            namespace: Some("shop".into()),
            pod: Some("leaf-1".into()),
            port: Port::Name("http".into()),
        };
        assert_eq!(
            (ordinals[1].name.as_str(), &ordinals[1].sources[..]),
            ("leaf-1", &[Source::Endpoints(endpoints)][..])
        );

        let mixed = declared("statefulset:a:2, b=10.0.0.1:80,7", Some("{shard}.leaf:80")).unwrap();
        let names: Vec<&str> = mixed.iter().map(|shard| shard.name.as_str()).collect();
        assert_eq!(names, ["a-0", "a-1", "b", "7"]);

        let called = declared("a=dns:53|endpoints:80|dns:dns:53", None).unwrap();
        let sources = [name("dns", 53), name("endpoints", 80), name("dns", 53)];
        assert_eq!(called[0].sources, sources);
    }

    #[test]
    fn what_declares_no_shards_is_refused_with_the_way_out() {
        const CASES: &[(&str, Option<&str>, &str)] = &[
            ("", None, "is not a shard's name"),
            ("0", None, "from 1 to 1024"),
            ("1025", None, "from 1 to 1024"),
            ("a", None, "write a=HOST:PORT, or --replicas"),
            ("a,a", Some("{shard}:80"), "twice"),
            ("A=10.0.0.1:80", None, "lower-case"),
            ("a=", None, "write HOST:PORT"),
            ("a=10.0.0.1", None, "write HOST:PORT"),
            ("a=10.0.0.1:0", None, "write HOST:PORT"),
            ("a=http://leaf:80", None, "write HOST:PORT"),
            ("a=leaf:80\r\nx", None, "write HOST:PORT"),
            ("a=endpoints:leaf", None, "endpoints:SERVICE"),
            ("a=endpoints:leaf/..:80", None, "endpoints:SERVICE"),
            ("statefulset:leaf", None, "statefulset:NAME:COUNT"),
            ("a,statefulset:leaf:0", None, "from 1 to 1024"),
            ("2", Some("leaf:80"), "write {shard} where"),
        ];
        for (shards, template, message) in CASES {
            let said = declared(shards, *template).unwrap_err();
            assert!(said.contains(message), "{shards}: {said}");
        }
    }
}
