//! Several elections in one process, and spreading them.
use crate::{
    api::namespace,
    asking::{Events, eventually},
    elector::{Elector, Start},
};

const SHARDS: &str = "shard-a,shard-b,shard-c";

fn led(elector: &Elector) -> usize {
    let all = elector.get("/elections").json();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 3);
    all.iter().filter(|election| election["leader"] == true).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_takes_part_in_several_elections_each_by_itself() {
    let Some((cluster, namespace)) = namespace("several").await else {
        return;
    };
    let start = |pod| {
        Start::new(pod, SHARDS)
            .with(&["--lease-duration=2s", "--renew-deadline=1400ms", "--retry-period=400ms"])
            .in_namespace(cluster.kubeconfig(), &namespace.name)
            .go()
    };
    let first = start("web-0");
    eventually("it leads all", || (led(&first) == 3).then_some(()));
    let second = start("web-1");
    let events = Events::open(second.address, "/elections/shard-b/watch");
    let reply = first.post("/elections/shard-b/resign");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.headers.contains("\r\ncache-control: no-store"), "{reply:?}");
    events.until(|event| event["leader"] == true && event["election"] == "shard-b");
    assert_eq!((led(&first), led(&second)), (2, 1));
    assert_eq!(first.get("/elections/shard-b/leader").status, 503);
    assert_eq!(first.get("/elections/shard-b").json()["name"], "web-1");
    assert_eq!(second.get("/elections/shard-b/leader").status, 200);
    // The first one is also at the root.
    assert_eq!(first.get("/").json()["election"], "shard-a");
    let reply = first.get("/elections/shard-x");
    assert_eq!(reply.status, 404);
    assert_eq!(
        reply.body,
        "no election \"shard-x\" here; there are: shard-a, shard-b, shard-c\n"
    );
    let tokens = |elector: &Elector| {
        let all = elector.get("/elections").json();
        all.as_array()
            .unwrap()
            .iter()
            .filter_map(|election| election["fencingToken"].as_u64())
            .collect::<Vec<_>>()
    };
    assert_eq!((tokens(&first).len(), tokens(&second).len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn elections_are_spread_over_processes_that_stand_back() {
    let Some((cluster, namespace)) = namespace("spread").await else {
        return;
    };
    // Long enough for a busy machine to start three processes.
    let start = |pod, stand_back| {
        Start::new(pod, SHARDS)
            .with(&[
                "--lease-duration=3s",
                "--renew-deadline=2s",
                "--retry-period=400ms",
                stand_back,
            ])
            .in_namespace(cluster.kubeconfig(), &namespace.name)
            .go()
    };
    let mut electors: Vec<_> = ["web-0", "web-1", "web-2"].map(|pod| start(pod, "--spread=20s")).into();
    eventually("each leads one", || {
        electors.iter().all(|elector| led(elector) == 1).then_some(())
    });
    // Nobody else is there to take the one that becomes free: after a while one takes it although it leads one already.
    drop(electors);
    electors = ["web-3", "web-4"].map(|pod| start(pod, "--spread=1500ms")).into();
    eventually("all are led", || {
        (electors.iter().map(led).sum::<usize>() == 3).then_some(())
    });
    let most = electors.iter().map(led).max();
    assert!(most <= Some(2), "one leads all, although the other one was there");
}
