//! The table of ports has the defaults of this program. (`tests/integration/ports.rs` has the other programs and the policies.)
use crate::{api::source, elector::PROGRAM};
use std::process::Command;

#[test]
fn every_default_port_is_in_the_table() {
    let table = source("docs/ports.md");
    let help = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).arg("--help").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let usage = help(&[]);
    let commands = usage.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = commands.map_while(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"elect"), "{usage}");
    let mut found = 0;
    for command in commands.into_iter().filter(|command| *command != "help") {
        for text in help(&[command]).split("\n      --").skip(1) {
            let flag = text.split([' ', '\n']).next().unwrap();
            let default = text
                .split_once("[default: ")
                .and_then(|(_, rest)| rest.split(']').next());
            // A URL leads to somebody else's port.
            let address = default.filter(|default| !default.contains("://"));
            let port = address.and_then(|address| address.rsplit_once(':')?.1.parse::<u16>().ok());
            let Some(port) = port else { continue };
            // Nobody else reaches it unless that is wanted.
            assert!(
                address.is_some_and(|address| address.starts_with("127.0.0.1:")),
                "{command} --{flag}"
            );
            let setting = format!("`outrigger-runtime {command} --{flag}`");
            let row = table.lines().find(|line| line.starts_with(&format!("| {port} |")));
            assert!(
                row.is_some_and(|row| row.contains(&setting)),
                "{port} {setting} is not in docs/ports.md"
            );
            found += 1;
        }
    }
    assert!(found >= 3);
}

#[test]
fn every_flag_of_every_server_has_a_variable_of_its_own() {
    for command in ["elect", "work", "gather"] {
        let output = Command::new(PROGRAM).args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let flags: Vec<&str> = help.split("\n      --").skip(1).collect();
        let mut variables: Vec<&str> = flags
            .iter()
            .map(|text| {
                text.split_once("[env: ")
                    .unwrap_or_else(|| panic!("{command} --{text}"))
                    .1
            })
            .filter_map(|rest| rest.split(['=', ']']).next())
            .collect();
        assert!(variables.len() > 10, "{help}");
        variables.sort_unstable();
        variables.dedup();
        assert_eq!(variables.len(), flags.len(), "{command}");
    }
}
