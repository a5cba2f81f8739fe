//! The policy memcached: twemproxy in front of real memcached servers.
use crate::image::Dockerfile;
use crate::kubelet::Container;
use crate::machine::{eventually, free_ports, program, runtime};
use crate::pods::{admit, container, policy, texts};
use crate::shards::{Client, memcached};
use outrigger_harness::keeper::Kept;
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

fn nutcracker() -> Option<PathBuf> {
    // What the image starts with the policy's arguments.
    assert_eq!(
        Dockerfile::read().stage("twemproxy").entrypoint,
        ["/usr/sbin/nutcracker"]
    );
    program("nutcracker", "nutcracker")
}

/// The helper, running, with its startup probe passed.
struct Ambassador {
    container: Container,
    process: Kept,
    port: u16,
    stats_port: u16,
}

impl Ambassador {
    fn start(nutcracker: &Path, servers: &str, more: &[(&str, &str)]) -> Ambassador {
        let [port, stats_port] = free_ports();
        let (port_text, stats_text) = (port.to_string(), stats_port.to_string());
        let mut parameters = vec![("servers", servers), ("port", &port_text), ("statsPort", &stats_text)];
        // A busy machine is no dead shard.
        parameters.push(("timeoutMs", "20000"));
        parameters.extend(more);
        let pod = admit("memcached", &parameters).unwrap();
        let container = Container::prepare(&pod, "memcached");
        let runtime = runtime();
        assert_eq!(
            container.startup_probe(&runtime).status.code(),
            Some(1),
            "ready before it was started"
        );
        let mut process = container.start(nutcracker);
        eventually(&format!("the startup probe passes\n{}", container.log()), || {
            container.startup_probe(&runtime).status.success().then_some(())
        });
        assert_eq!(
            process.ended(),
            None,
            "something else listens at port {port}\n{}",
            container.log()
        );
        Ambassador {
            container,
            process,
            port,
            stats_port,
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.port).unwrap_or_else(|| panic!("{}", self.container.log()))
    }

    fn pid(&self) -> String {
        let shell = self.process.group();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let mut children = children.split_whitespace();
        let names = |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "nutcracker\n";
        children.find(names).unwrap().to_owned()
    }
}

fn keys() -> impl Iterator<Item = String> {
    (0..200).map(|number| format!("key-{number}"))
}

/// Stores all keys; how many of them the proxy did not take.
fn store(client: &mut Client) -> usize {
    keys().filter(|key| client.set(key, key) != "STORED").count()
}

/// How many keys are fetched with their value.
fn fetched(client: &mut Client) -> usize {
    keys()
        .filter(|key| client.get(key).ok().flatten().as_ref() == Some(key))
        .count()
}

#[test]
fn keys_go_to_all_shards_and_a_shard_that_fails_is_left_out_until_it_is_back() {
    let (Some(nutcracker), Some(server)) = (nutcracker(), program("memcached", "memcached")) else {
        return;
    };
    let [a, b] = free_ports();
    let shard_a = memcached(&server, a);
    let shard_b = memcached(&server, b);
    let servers = format!("127.0.0.1:{a} a, 127.0.0.1:{b} b");
    let ambassador = Ambassador::start(&nutcracker, &servers, &[("retryTimeoutMs", "1000")]);
    let mut client = ambassador.client();
    assert_eq!((store(&mut client), fetched(&mut client)), (0, 200));
    let items = |port| Client::connect(port).unwrap().items();
    let (in_a, in_b) = (items(a), items(b));
    assert!(in_a > 20 && in_b > 20 && in_a + in_b == 200, "{in_a} and {in_b}");

    drop(shard_b);
    // Two failures eject it; from then on its keys are stored in the other one.
    eventually("the dead shard is left out", || {
        (store(&mut ambassador.client()) == 0).then_some(())
    });
    assert_eq!(items(a), 200);
    let mut stats = String::new();
    let mut connection = TcpStream::connect(("127.0.0.1", ambassador.stats_port)).unwrap();
    connection.read_to_string(&mut stats).unwrap();
    assert!(stats.contains("\"server_ejects\":"), "{stats}");

    let shard_b = memcached(&server, b);
    eventually("the shard is used again", || {
        store(&mut ambassador.client());
        (items(b) == in_b).then_some(())
    });
    drop((shard_a, shard_b));
}

#[test]
fn keys_that_differ_in_their_last_letter_share_a_shard_unless_the_hash_is_another() {
    let (Some(nutcracker), Some(server)) = (nutcracker(), program("memcached", "memcached")) else {
        return;
    };
    for (hash, shards) in [("fnv1a_64", 1), ("murmur", 2), ("md5", 2)] {
        let ports: [u16; 2] = free_ports();
        let [a, b] = ports;
        let _shards = ports.map(|port| memcached(&server, port));
        let servers = format!("127.0.0.1:{a} a, 127.0.0.1:{b} b");
        let ambassador = Ambassador::start(&nutcracker, &servers, &[("hash", hash)]);
        let mut client = ambassador.client();
        for number in 1..10 {
            assert_eq!(client.set(&format!("user:100{number}"), "here"), "STORED");
        }
        let with_keys = ports.iter().filter(|port| Client::connect(**port).unwrap().items() > 0);
        assert_eq!(with_keys.count(), shards, "{hash}");
    }
}

#[test]
fn a_named_shard_keeps_its_keys_when_its_address_changes() {
    let (Some(nutcracker), Some(server)) = (nutcracker(), program("memcached", "memcached")) else {
        return;
    };
    let [a, b] = free_ports();
    let _shards = [memcached(&server, a), memcached(&server, b)];
    let before = format!("127.0.0.1:{a} a, 127.0.0.1:{b} b");
    let after = format!("127.0.0.2:{a} a, 127.0.0.2:{b} b");
    let ambassador = Ambassador::start(&nutcracker, &before, &[]);
    assert_eq!(store(&mut ambassador.client()), 0);
    let moved = Ambassador::start(&nutcracker, &after, &[]);
    assert_eq!(fetched(&mut moved.client()), 200);
    // Without names it is the address that is hashed.
    let nameless = Ambassador::start(&nutcracker, &after.replace([' ', 'a', 'b'], ""), &[]);
    assert!(fetched(&mut nameless.client()) < 200);
}

#[test]
fn a_name_that_does_not_resolve_yet_costs_no_more_than_its_shard() {
    let (Some(nutcracker), Some(server)) = (nutcracker(), program("memcached", "memcached")) else {
        return;
    };
    let [a] = free_ports();
    let _shard = memcached(&server, a);
    let servers = format!("127.0.0.1:{a} a, cache-1.invalid:11211 b");
    let ambassador = Ambassador::start(&nutcracker, &servers, &[("failureLimit", "1")]);
    eventually("the shard without an address is left out", || {
        (store(&mut ambassador.client()) == 0).then_some(())
    });
    assert_eq!(fetched(&mut ambassador.client()), 200);
}

#[test]
fn the_signal_that_the_image_names_ends_it_at_once() {
    let Some(nutcracker) = nutcracker() else { return };
    let [a] = free_ports();
    let mut ambassador = Ambassador::start(&nutcracker, &format!("127.0.0.1:{a}"), &[]);
    let pid = ambassador.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    // What process 1 of a container does not catch, it ignores.
    assert_eq!(
        caught & (1 << (15 - 1)),
        0,
        "it catches SIGTERM; the image needs no STOPSIGNAL any more"
    );
    let signal = Dockerfile::read().stage("twemproxy").stop_signal.clone().unwrap();
    assert!(
        Command::new("kill")
            .args(["-s", signal.trim_start_matches("SIG"), &pid])
            .status()
            .unwrap()
            .success()
    );
    eventually("it ends", || ambassador.process.ended());
}

/// What `nutcracker --test-conf` says to the configuration that these parameters make.
fn test_conf(nutcracker: &Path, parameters: &[(&str, &str)]) -> Result<(), String> {
    let pod = admit("memcached", parameters)?;
    let container = Container::prepare(&pod, "memcached");
    let arguments = container.arguments();
    let output = Command::new(nutcracker)
        .arg("--test-conf")
        .args(arguments)
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn twemproxy_takes_the_configuration_that_any_parameters_make() {
    let Some(nutcracker) = nutcracker() else { return };
    let long = format!("{}.example:65535:999 {}", "a".repeat(63), "n".repeat(63));
    let lists = [
        "a:1",
        "10.0.0.1:11211 a, 10.0.0.2:11211:2 b",
        "a.b-c.d:6553:3, a:65535",
        &long,
        "a:1, a:1",
    ];
    let spec = policy("memcached");
    let hashes = spec["spec"]["parameters"].as_array().unwrap();
    let hashes = texts(&hashes.iter().find(|parameter| parameter["name"] == "hash").unwrap()["enum"]);
    assert!(hashes.len() > 5);
    let mut tried = 0;
    for servers in lists {
        for hash in &hashes {
            for (tag, eject, least) in [
                ("", "true", true),
                ("{}", "false", false),
                ("\"'", "true", false),
                ("#:", "true", true),
            ] {
                let numbers = if least {
                    ["1", "100", "10", "1"]
                } else {
                    ["100", "3600000", "60000", "64"]
                };
                let parameters = [
                    ("servers", servers),
                    ("hash", hash),
                    ("hashTag", tag),
                    ("autoEject", eject),
                    ("failureLimit", numbers[0]),
                    ("retryTimeoutMs", numbers[1]),
                    ("timeoutMs", numbers[2]),
                    ("connections", numbers[3]),
                ];
                assert_eq!(test_conf(&nutcracker, &parameters), Ok(()), "{parameters:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, lists.len() * hashes.len() * 4);
    // Which shows that it does look: this is known to be refused.
    let twice = test_conf(&nutcracker, &[("servers", "a:1 x, b:1 x")]);
    assert!(twice.is_err());
}

#[test]
fn the_application_learns_the_address() {
    let pod = admit("memcached", &[("servers", "a:11211"), ("port", "12000")]).unwrap();
    let env = container(&pod, "web")["env"].as_array().unwrap();
    let told: Vec<_> = env.iter().map(|variable| variable["value"].as_str().unwrap()).collect();
    assert_eq!(told, ["127.0.0.1:12000", "127.0.0.1", "12000"]);
}
