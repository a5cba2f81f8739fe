//! Second requests to another replica of a slow shard.
use crate::leaf::{Leaf, says};
use crate::stage::{Gather, eventually};
use std::time::{Duration, Instant};

/// One shard with these two replicas.
fn replicas(a: &Leaf, b: &Leaf) -> String {
    format!("--shards=a={}|{}", a.address, b.address)
}

async fn pair() -> [Leaf; 2] {
    [Leaf::start(says("1")).await, Leaf::start(says("1")).await]
}

#[tokio::test]
async fn after_a_time_another_replica_is_asked_and_the_slower_one_is_told_that_nobody_waits() {
    let [slow, fast] = [
        Leaf::start(says("slow").after(60_000)).await,
        Leaf::start(says("fast")).await,
    ];
    let flags = [
        &replicas(&slow, &fast),
        "--merge=concat",
        "--deadline=100s",
        "--hedge-after=50ms",
        "--hedge-share=100%",
    ];
    let gather = Gather::start(&flags).await;
    let start = Instant::now();
    // Which of the two is asked first is chance, until one is known to be slow.
    for _ in 0..20 {
        assert_eq!(gather.get("/").await.text(), "fast");
    }
    assert!(start.elapsed() < Duration::from_secs(50));
    let asked = slow.count();
    assert!(asked > 0);
    eventually("the slow one is told", || async {
        (slow.abandoned() == asked).then_some(())
    })
    .await;
    let hedges = async |result| gather.metric(&format!("hedges_total{{result=\"{result}\"}}")).await;
    let (won, lost) = (hedges("won").await, hedges("lost").await);
    // On a busy machine the fast one may be asked first and take longer than that, and the slow one comes second, and loses.
    assert!(
        won > 0.0 && won + lost == asked as f64,
        "{won} won, {lost} lost, {asked}"
    );
    assert_eq!(fast.count(), 20);
}

#[tokio::test]
async fn what_may_not_be_repeated_is_not_sent_twice_unless_it_is_said_to_be_idempotent() {
    for (flag, twice) in [
        ("--hedge-methods=GET,HEAD", false),
        ("--hedge-methods=GET,HEAD,POST", true),
    ] {
        let [a, b] = [
            Leaf::start(says("1").after(400)).await,
            Leaf::start(says("1").after(400)).await,
        ];
        let flags = [
            &replicas(&a, &b),
            "--merge=concat",
            "--deadline=60s",
            "--hedge-after=20ms",
            "--hedge-share=100%",
            flag,
        ];
        let gather = Gather::start(&flags).await;
        assert_eq!(gather.send("POST", "/", &[], "body").await.status, 200);
        assert_eq!(a.count() + b.count(), if twice { 2 } else { 1 }, "{flag}");
        assert_eq!(gather.send("GET", "/", &[], "").await.status, 200);
        assert_eq!(a.count() + b.count(), if twice { 4 } else { 3 }, "{flag}");
    }
}

#[tokio::test]
async fn there_are_never_more_second_requests_than_their_share() {
    let [a, b] = [
        Leaf::start(says("1").after(5)).await,
        Leaf::start(says("1").after(5)).await,
    ];
    let flags = [
        &replicas(&a, &b),
        "--merge=concat",
        "--deadline=60s",
        "--hedge-after=1ms",
        "--hedge-share=20%",
    ];
    let gather = Gather::start(&flags).await;
    for _ in 0..200 {
        assert_eq!(gather.get("/").await.status, 200);
    }
    let asked = a.count() + b.count();
    assert!((201..=240).contains(&asked), "{asked}");
    assert!(gather.metric("hedges_total{result=\"denied\"}").await > 0.0);
    let never = Gather::start(&[
        &replicas(&a, &b),
        "--merge=concat",
        "--deadline=60s",
        "--hedge-after=never",
    ])
    .await;
    for _ in 0..50 {
        assert_eq!(never.get("/").await.status, 200);
    }
    assert_eq!(a.count() + b.count(), asked + 50);
}

#[tokio::test]
async fn the_shards_own_p95_says_when_it_is_slow() {
    let [a, b] = pair().await;
    let flags = [
        &replicas(&a, &b),
        "--merge=concat",
        "--deadline=100s",
        "--hedge-after=p95",
        "--hedge-share=100%",
    ];
    let gather = Gather::start(&flags).await;
    for _ in 0..100 {
        assert_eq!(gather.get("/").await.status, 200);
    }
    // Both have been fast; from now on one is not.
    b.says(says("late").after(60_000));
    let (start, before) = (Instant::now(), b.count());
    for _ in 0..50 {
        assert_eq!(gather.get("/").await.text(), "1");
    }
    assert!(start.elapsed() < Duration::from_secs(50));
    eventually("it was asked, and told", || async {
        (b.abandoned() > 0 || b.count() == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_tried_again_at_another_replica_where_that_may_be() {
    let [a, b] = pair().await;
    a.says(says("no").status(503));
    let flags = [
        &replicas(&a, &b),
        "--merge=concat",
        "--deadline=60s",
        "--hedge-share=100%",
        "--hedge-after=never",
        "--eject-after=0",
    ];
    let gather = Gather::start(&flags).await;
    let mut failed = 0;
    for _ in 0..20 {
        assert_eq!(gather.get("/").await.text(), "1");
        failed += usize::from(gather.send("POST", "/", &[], "").await.status == 502);
    }
    // A GET that met the bad one, and each POST that failed.
    assert!(a.count() > 0 && failed < a.count() + 1);
    assert_eq!(a.seen().iter().filter(|seen| seen.method == "POST").count(), failed);
}
