//! A client that goes away: the leaves, and the merging container, learn that nobody waits.
use crate::leaf::{Leaf, says};
use crate::stage::{Gather, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn ask(gather: &Gather) -> TcpStream {
    let mut client = TcpStream::connect(&gather.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    client
}

#[tokio::test]
async fn when_a_client_goes_its_requests_to_leaves_end() {
    let leaves = [
        Leaf::start(says("1").after(60_000)).await,
        Leaf::start(says("1").after(60_000)).await,
    ];
    let shards = format!("--shards=a={},b={}", leaves[0].address, leaves[1].address);
    let gather = Gather::start(&[&shards, "--merge=concat", "--deadline=100s"]).await;
    let client = ask(&gather).await;
    eventually("both are asked", || async {
        leaves.iter().all(|leaf| leaf.count() == 1).then_some(())
    })
    .await;
    assert_eq!(gather.metric("requests_in_flight").await, 1.0);
    drop(client);
    eventually("both are told", || async {
        leaves.iter().all(|leaf| leaf.abandoned() == 1).then_some(())
    })
    .await;
    assert_eq!(gather.metric("requests_total{outcome=\"cancelled\"}").await, 1.0);
    assert_eq!(gather.metric("requests_in_flight").await, 0.0);
    // Which is no failure of theirs.
    assert_eq!(
        gather
            .metric("shard_requests_total{shard=\"a\",result=\"timeout\"}")
            .await,
        0.0
    );
}

#[tokio::test]
async fn when_a_client_goes_the_merging_container_is_told_too() {
    let leaf = Leaf::start(says("1")).await;
    let merge = Leaf::start(says("1").after(60_000)).await;
    let flags = [
        &format!("--shards=a={}", leaf.address),
        &format!("--merge=http://{}/", merge.address),
        "--deadline=100s",
        "--merge-timeout=100s",
    ];
    let gather = Gather::start(&flags).await;
    let client = ask(&gather).await;
    eventually("it is asked", || async { (merge.count() == 1).then_some(()) }).await;
    drop(client);
    eventually("it is told", || async { (merge.abandoned() == 1).then_some(()) }).await;
}
