//! Which replica is asked: none that fails, until it is back.
use crate::leaf::{Leaf, nobody, says};
use crate::stage::{Gather, eventually};

#[tokio::test]
async fn a_replica_that_fails_again_and_again_is_ejected_until_it_is_back() {
    let [a, b] = [Leaf::start(says("a")).await, Leaf::start(says("b")).await];
    let shards = format!("--shards=s={}|{}", a.address, b.address);
    let flags = [
        &shards,
        "--merge=concat",
        "--deadline=60s",
        "--hedge-after=never",
        "--hedge-share=0%",
    ];
    let gather = Gather::start(&[&flags[..], &["--eject-after=3", "--eject-for=300ms"]].concat()).await;
    a.says(says("no").status(500));
    // The other one is slower, so that this one is asked first.
    b.says(says("b").after(30));
    eventually("it is ejected", || async {
        gather.get("/").await;
        (gather.metric("replicas{shard=\"s\",state=\"ejected\"}").await == 1.0).then_some(())
    })
    .await;
    assert!(gather.logged("a replica is ejected").is_some());
    a.says(says("a"));
    eventually("it is asked again", || async {
        (gather.get("/").await.text() == "a").then_some(())
    })
    .await;
    assert_eq!(gather.metric("replicas{shard=\"s\",state=\"ejected\"}").await, 0.0);
    assert_eq!(gather.metric("replicas{shard=\"s\",state=\"used\"}").await, 2.0);
}

#[tokio::test]
async fn where_one_replica_takes_no_connections_another_is_asked_whatever_the_method() {
    let a = Leaf::start(says("a")).await;
    let shards = format!("--shards=s={}|{}|{}", nobody(), a.address, nobody());
    let gather = Gather::start(&[&shards, "--merge=concat", "--deadline=60s", "--hedge-share=0%"]).await;
    for _ in 0..20 {
        assert_eq!(gather.send("POST", "/", &[], "x").await.text(), "a");
    }
    assert_eq!(a.count(), 20);
}

#[tokio::test]
async fn the_only_replica_is_asked_however_often_it_has_failed() {
    let a = Leaf::start(says("no").status(500)).await;
    let flags = [
        &format!("--shards=s={}", a.address),
        "--merge=concat",
        "--deadline=60s",
        "--eject-after=1",
        "--eject-for=3600s",
    ];
    let gather = Gather::start(&flags).await;
    for _ in 0..5 {
        assert_eq!(gather.get("/").await.status, 502);
    }
    a.says(says("a"));
    assert_eq!(gather.get("/").await.text(), "a");
}
