//! The table of default ports: what the webhook and the bundled policies have, and no port twice. (The runtime's tests have its part.)
use crate::program::OUTRIGGER;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

/// What sets a port by default, by port, from the page.
fn table() -> Vec<(u16, BTreeSet<String>)> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ports.md")).unwrap();
    let rows = page
        .lines()
        .skip_while(|line| *line != "| port | set by | what listens |")
        .skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let setters = cells[1].split('`').skip(1).step_by(2).map(str::to_owned);
            (cells[0].parse().unwrap(), setters.collect())
        })
        .collect()
}

/// The ports of a policy's helpers: the parameter that sets each, or where it stands, and its default.
fn of_policy(name: &str, policy: &Value) -> Vec<(u16, String)> {
    let spec = &policy["spec"];
    let lists = ["sidecars", "ambassadors", "adapters"].map(|list| spec[list].as_array());
    let mut ports = Vec::new();
    for helper in lists.into_iter().flatten().flatten() {
        let endpoints = helper["endpoints"].as_array().into_iter().flatten();
        ports.extend(endpoints.map(|endpoint| &endpoint["port"]));
        let declared = helper["container"]["ports"].as_array().into_iter().flatten();
        ports.extend(declared.map(|port| &port["containerPort"]));
        ports.extend(helper.pointer("/metrics/port"));
    }
    let found = ports.into_iter().map(|port| match port.as_str() {
        None => (port.as_u64().unwrap(), format!("{name}: constant")),
        Some(expression) => {
            let parameter = expression.trim_start_matches("${params.").trim_end_matches('}');
            let mut declared = spec["parameters"].as_array().unwrap().iter();
            let declared = declared.find(|declared| declared["name"] == parameter);
            let default = declared.unwrap_or_else(|| panic!("{name}: {expression}"))["default"].as_u64();
            (default.unwrap(), format!("{name}: {parameter}"))
        }
    });
    found.map(|(port, setter)| (port.try_into().unwrap(), setter)).collect()
}

#[test]
fn the_table_of_ports_has_every_default_port_and_none_twice() {
    let mut known = BTreeMap::<u16, BTreeSet<String>>::new();
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for folder in fs::read_dir(policies).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let text = fs::read_to_string(folder.path().join("policy.yaml")).unwrap();
        for (port, setter) in of_policy(&name, &serde_saphyr::from_str(&text).unwrap()) {
            known.entry(port).or_default().insert(setter);
        }
    }
    let help = Command::new(OUTRIGGER).args(["serve", "--help"]).output().unwrap();
    for text in String::from_utf8(help.stdout).unwrap().split("\n      --").skip(1) {
        let flag = text.split([' ', '\n']).next().unwrap();
        let default = text
            .split_once("[default: ")
            .and_then(|(_, rest)| rest.split(']').next());
        if let Some(port) = default.and_then(|default| default.rsplit_once(':')?.1.parse().ok()) {
            known
                .entry(port)
                .or_default()
                .insert(format!("outrigger serve --{flag}"));
        }
    }
    assert!(known.len() >= 6, "{known:?}");
    let table = table();
    let ports: BTreeSet<u16> = table.iter().map(|(port, _)| *port).collect();
    assert_eq!(ports.len(), table.len(), "a port is there twice");
    for (port, setters) in &table {
        let programs = |setter: &&String| !setter.starts_with("outrigger-runtime ");
        let listed: BTreeSet<&String> = setters.iter().filter(programs).collect();
        let found: BTreeSet<&String> = known.get(port).into_iter().flatten().collect();
        assert_eq!(listed, found, "port {port}");
        // Two may share a row only where one starts the other.
        let policies = listed.iter().filter(|setter| setter.contains(": ")).count();
        assert!(policies <= 1 && setters.len() <= 2, "port {port} is {setters:?}'s");
    }
    let missing: Vec<_> = known.keys().filter(|port| !ports.contains(port)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in docs/ports.md: {known:?}");
}
