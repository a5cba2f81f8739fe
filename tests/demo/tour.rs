//! Every command that somebody is told to try, with what it is said to print.
use crate::page::{Step, steps};
use crate::shell::Shell;

const LEADER: &str = "kubectl get lease shop --output jsonpath={.spec.holderIdentity}";

/// What `make demo` lists in the end is what the page on the examples shows.
pub fn everything_that_is_listed(shell: &Shell, listed: &str) {
    let steps = steps("examples/README.md", "## Things to try");
    assert!(steps.len() >= 9, "{steps:?}");
    for step in &steps {
        assert!(
            listed.contains(step.commands.trim_end()),
            "{}\nis not listed in\n{listed}",
            step.commands
        );
        let leader = shell.run(LEADER);
        walk(shell, step);
        if step
            .commands
            .contains("kubectl delete pod --selector outrigger.dev/leader")
        {
            shell.until(LEADER, |now| !now.is_empty() && now != leader);
        }
    }
    let commands = |text: &str| text.lines().filter(|line| line.starts_with("kubectl ")).count();
    let shown: usize = steps.iter().map(|step| commands(&step.commands)).sum();
    assert_eq!(commands(listed), shown, "more is listed than is tried:\n{listed}");
}

/// The commands of the README's tour after `make demo`.
pub fn of_the_readme(shell: &Shell) {
    let steps = steps("README.md", "### A cluster of its own");
    let [first, rest @ ..] = &steps[..] else {
        panic!("no tour")
    };
    assert_eq!(first.commands, "make demo\n");
    assert!(rest.len() >= 3, "{rest:?}");
    for step in rest {
        walk(shell, step);
    }
}

/// Some of them are refused, as their text says.
fn walk(shell: &Shell, step: &Step) {
    assert!(
        !step.printed.is_empty(),
        "nobody says what is printed by\n{}",
        step.commands
    );
    // A comment for who reads is none that bash needs.
    shell.until(&step.commands, |said| {
        step.printed.iter().all(|line| said.contains(line))
    });
}
