//! `make demo` and `make demo-down`, as somebody types them, with all that they say can be tried; and on that node what happens to one as a
//! whole: all of it restarted at once, Outrigger uninstalled, an earlier version installed, upgraded under load.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod crash;
mod others;
mod page;
mod release;
mod remains;
mod shell;
mod tour;

use outrigger_harness::Node;
use outrigger_harness::demand::{available, say};
use remains::Remains;
use shell::{Shell, make};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn make_demo_shows_what_it_says_survives_a_crash_and_an_upgrade_and_goes_without_a_trace() {
    if available(Node::possible()).is_none() {
        return;
    }
    let before = Remains::look();
    assert!(make("demo-down", &[]).success, "there is nothing to take away");
    // It does not come up, and is taken away again.
    let failed = make("demo", &[("WAIT", "0")]);
    assert!(
        !failed.success && failed.stderr.contains("not within 0 s: containerd answers"),
        "{failed:?}"
    );
    before.are_all();

    let begun = Instant::now();
    let said = make("demo", &[]);
    assert!(said.success, "{said:?}");
    say(&format!("make demo: {:.0} s", begun.elapsed().as_secs_f64()));
    let node = Node::left_here().unwrap();
    let shell = Shell::told(&said.stdout);
    others::nobody_else_has_a_node_or_takes_this_one(&node, &shell);
    tour::everything_that_is_listed(&shell, &said.stdout);
    tour::of_the_readme(&shell);
    crash::everything_comes_back(&node, &shell).await;
    release::goes_comes_and_is_upgraded(&node, &shell).await;
    drop(shell);
    let down = make("demo-down", &[]);
    assert!(down.success, "{down:?}");
    before.are_all();
}
