//! Replicas by DNS: they come and go, their shard stays.
use crate::leaf::{Leaf, says};
use crate::names::Names;
use crate::stage::{Gather, eventually};
use std::net::Ipv4Addr;

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn port(leaf: &Leaf) -> &str {
    leaf.address.split_once(':').unwrap().1
}

async fn missing(gather: &Gather, wanted: &str) {
    eventually(wanted, || async {
        (gather.get("/").await.header("outrigger-missing") == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_address_of_a_name_is_a_replica_and_a_shard_without_any_is_missing_not_forgotten() {
    let names = Names::start().await;
    let one = Leaf::start(says("one")).await;
    let two = Leaf::at(&format!("127.0.0.2:{}", port(&one)), says("two")).await;
    let fixed = Leaf::start(says("fixed")).await;
    names.set("leaf-0.leaf.test", &[ONE]);
    let flags = [
        &format!("--shards=a={},b=dns:leaf-0.leaf.test:{}", fixed.address, port(&one)),
        &format!("--dns-server={}", names.address),
        "--dns-interval=50ms",
        "--merge=concat",
        "--require=1",
        "--deadline=60s",
    ];
    let gather = Gather::start(&flags).await;
    gather.ready().await;
    let answer = gather.get("/").await;
    assert_eq!((answer.text(), answer.header("outrigger-shards")), ("fixedone", "2/2"));
    // Leaves are called by the name, not by the address.
    assert_eq!(one.seen()[0].header("host"), format!("leaf-0.leaf.test:{}", port(&one)));

    names.set("leaf-0.leaf.test", &[ONE, TWO]);
    eventually("both are asked", || async {
        gather.get("/").await;
        (two.count() > 0).then_some(())
    })
    .await;
    names.set("leaf-0.leaf.test", &[TWO]);
    eventually("only the other is asked", || async {
        let before = one.count();
        for _ in 0..10 {
            gather.get("/").await;
        }
        (one.count() == before).then_some(())
    })
    .await;
    // An outage of the name server says nothing of replicas.
    names.fail("leaf-0.leaf.test");
    eventually("it is complained of", || async {
        gather.logged("a name cannot be looked up; what it said last stays")
    })
    .await;
    assert_eq!(gather.get("/").await.header("outrigger-shards"), "2/2");
    names.remove("leaf-0.leaf.test");
    missing(&gather, "b=no-replica").await;
    assert_eq!(gather.get("/").await.header("outrigger-shards"), "1/2");
    assert_eq!(gather.metric("replicas{shard=\"b\",state=\"used\"}").await, 0.0);
    names.set("leaf-0.leaf.test", &[ONE]);
    missing(&gather, "").await;
}

#[tokio::test]
async fn it_is_not_ready_before_every_source_has_answered_and_no_address_is_an_answer() {
    let names = Names::start().await;
    let leaf = Leaf::start(says("x")).await;
    names.fail("leaf-1.test");
    let flags = [
        "--shards=statefulset:leaf:2",
        &format!("--replicas={{shard}}.test:{}", port(&leaf)),
        &format!("--dns-server={}", names.address),
        "--dns-interval=50ms",
        "--merge=concat",
        "--require=50%",
        "--deadline=60s",
    ];
    let gather = Gather::start(&flags).await;
    eventually("the first source has answered", || async {
        let answer = gather.admin("/readyz").await;
        assert_eq!((answer.status, gather.admin("/livez").await.status), (503, 200));
        (answer.text() == "where the replicas are is not known yet of: leaf-1\n").then_some(())
    })
    .await;
    names.remove("leaf-1.test");
    gather.ready().await;
    let answer = gather.get("/").await;
    assert_eq!(
        (answer.status, answer.header("outrigger-missing")),
        (502, "leaf-0=no-replica, leaf-1=no-replica")
    );
    names.set("leaf-1.test", &[ONE]);
    missing(&gather, "leaf-0=no-replica").await;
}
