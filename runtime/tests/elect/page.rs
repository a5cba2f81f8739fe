//! The application on the policy's page, with the real program.
use crate::{
    api::{namespace, source},
    asking::eventually,
    elector::{Elector, Start},
};
use outrigger_harness::demand::{Absent, available};
use std::{
    fs,
    path::Path,
    process::{Child, Command},
};
use tempfile::TempDir;

/// The page's shell script that asks the elector.
fn script() -> String {
    let page = source("policies/leader-elector/README.md");
    let mut blocks = page
        .split("\n```sh\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap());
    blocks
        .find(|block| block.contains("$LEADER_ELECTION_URL"))
        .unwrap()
        .to_owned()
}

/// An application beside an elector; it ends with this.
struct Application(Child);

impl Application {
    fn start(elector: &Elector, directory: &Path) -> Application {
        let child = Command::new("sh")
            .args(["-c", &script()])
            .current_dir(directory)
            .env("HOSTNAME", &elector.pod)
            .env("LEADER_ELECTION_URL", format!("http://{}", elector.address))
            .spawn();
        Application(child.unwrap())
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn needed() -> Option<()> {
    let missing = ["curl", "jq", "flock"].into_iter().find(|program| {
        let found = Command::new(program).arg("--version").output();
        !found.is_ok_and(|output| output.status.success())
    });
    available(match missing {
        Some(program) => Err(Absent::NotInstalled(format!(
            "{program} is needed (Debian: apt-get install curl jq util-linux)"
        ))),
        None => Ok(()),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_on_the_page_works_on_the_leader_alone_and_its_store_refuses_old_tokens() {
    let (Some(()), Some((cluster, namespace))) = (needed(), namespace("page").await) else {
        return;
    };
    let store = TempDir::new().unwrap();
    let electors = ["web-0", "web-1"].map(|pod| {
        Start::new(pod, "shop")
            .with(&["--lease-duration=2s", "--renew-deadline=1400ms", "--retry-period=400ms"])
            .in_namespace(cluster.kubeconfig(), &namespace.name)
            .go()
    });
    let _applications = electors
        .each_ref()
        .map(|elector| Application::start(elector, store.path()));
    let lines = || fs::read_to_string(store.path().join("store.log")).unwrap_or_default();
    let written_by = |pod: &str| lines().lines().any(|line| line.ends_with(pod));
    let first = eventually("one of them writes", || {
        electors.iter().find(|elector| written_by(&elector.pod))
    });
    eventually("the other one takes over", || {
        if first.leads("/") {
            first.post("/resign");
        }
        electors.iter().all(|elector| written_by(&elector.pod)).then_some(())
    });
    let text = lines();
    let tokens: Vec<u64> = text
        .lines()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(tokens.is_sorted() && tokens.first() < tokens.last(), "{text}");
}
