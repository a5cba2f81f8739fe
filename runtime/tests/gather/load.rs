//! Sixteen shards in processes of their own, all kinds of trouble, and thousands of requests: each answer is right, and says what is
//! not in it.
use crate::names::Names;
use crate::processes::{body, start};
use crate::stage::{Answer, Gather, eventually};
use outrigger_harness::keeper::Kept;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SHARDS: usize = 16;
const REQUESTS: usize = 10_000;
/// As many as go on at once.
const CLIENTS: usize = 24;

/// Shard by shard: prompt ones, some of which are killed now and then, and at the end those in trouble.
const UNTOUCHED: usize = 8;
const SLOW: usize = 11;
const DEAD: usize = 12;
const DRIBBLES: usize = 13;
const GARBAGE: usize = 14;
const VANISHES: usize = 15;

/// Loopback addresses, one a leaf: ports that were free stay so.
fn address(shard: usize, replica: u8, port: u16) -> String {
    format!("127.1.{shard}.{replica}:{port}")
}

struct Scene {
    gather: Gather,
    names: Names,
    leaves: BTreeMap<(usize, u8), Kept>,
    port: u16,
}

async fn scene(flags: &[&str]) -> Scene {
    let port = outrigger_harness::port::free().unwrap();
    let names = Names::start().await;
    let mut leaves = BTreeMap::new();
    for shard in (0..SHARDS).filter(|shard| *shard != DEAD) {
        let manner = match shard {
            SLOW => "slow",
            DRIBBLES => "dribble",
            GARBAGE => "garbage",
            _ => "prompt",
        };
        // The first four have two replicas.
        for replica in 1..=(if shard < 4 { 2 } else { 1 }) {
            let leaf = start(&format!("s{shard}"), &address(shard, replica, port), manner).await;
            leaves.insert((shard, replica), leaf);
        }
    }
    names.set("leaf.test", &[Ipv4Addr::new(127, 1, VANISHES as u8, 1)]);
    let shards: Vec<String> = (0..SHARDS)
        .map(|shard| match shard {
            0..4 => format!("s{shard}={}|{}", address(shard, 1, port), address(shard, 2, port)),
            VANISHES => format!("s{shard}=dns:leaf.test:{port}"),
            _ => format!("s{shard}={}", address(shard, 1, port)),
        })
        .collect();
    let shards = format!("--shards={}", shards.join(","));
    let server = format!("--dns-server={}", names.address);
    let gather = Gather::start(&[&[shards.as_str(), &server, "--dns-interval=20ms"], flags].concat()).await;
    gather.ready().await;
    Scene {
        gather,
        names,
        leaves,
        port,
    }
}

/// What is wrong with an answer to a request for this path; nothing: which shards are in it.
fn check(answer: &Answer, path: &str) -> Result<Vec<usize>, String> {
    let wrong = |what: &str| {
        Err(format!(
            "{what}: {} {:?} {:?}",
            answer.status, answer.headers, answer.body
        ))
    };
    let told: BTreeMap<&str, &str> = match answer.header("outrigger-missing") {
        "" => BTreeMap::new(),
        list => list.split(", ").map(|item| item.split_once('=').unwrap()).collect(),
    };
    let expected: Vec<usize> = (0..SHARDS)
        .filter(|shard| !told.contains_key(format!("s{shard}").as_str()))
        .collect();
    if answer.header("outrigger-shards") != format!("{}/{SHARDS}", expected.len()) {
        return wrong("the count is not that of the list");
    }
    // On a busy machine it may be that no shard has answered in time.
    if answer.status == 504 && expected.is_empty() {
        return Ok(expected);
    }
    if answer.status != 200 {
        return wrong("refused");
    }
    let parts: Vec<Value> = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let texts: Vec<String> = parts.iter().map(Value::to_string).collect();
    let bodies: Vec<String> = expected.iter().map(|shard| body(&format!("s{shard}"), path)).collect();
    if texts != bodies {
        wrong("merged wrongly")
    } else {
        Ok(expected)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_while_leaves_come_and_go_are_merged_rightly_or_say_what_is_missing() {
    // The deadline is what the slow, the dribbling and the dead cost each request.
    let flags = [
        "--merge=json-array",
        "--require=1",
        "--deadline=150ms",
        "--hedge-share=50%",
        "--eject-for=500ms",
    ];
    let Scene {
        gather,
        names,
        mut leaves,
        port,
    } = scene(&flags).await;
    let (gather, next, over) = (
        Arc::new(gather),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let start_of_all = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (gather, next) = (Arc::clone(&gather), Arc::clone(&next));
        clients.spawn(async move {
            let (mut wrong, mut seen) = (Vec::new(), [0_usize; SHARDS]);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= REQUESTS {
                    return (wrong, seen);
                }
                let path = format!("/search?q={number}");
                let answer = gather.send("GET", &path, &[], "").await;
                match check(&answer, &path) {
                    Ok(shards) => {
                        if !shards.contains(&UNTOUCHED) {
                            // This machine is too busy for so many clients.
                            tokio::time::sleep(Duration::from_millis(200)).await;
                        }
                        shards.into_iter().for_each(|shard| seen[shard] += 1);
                    }
                    Err(error) => wrong.push(error),
                }
            }
        });
    }
    // Leaves are killed and come back meanwhile, and one shard's only replica vanishes from discovery and returns.
    let trouble = {
        let over = Arc::clone(&over);
        tokio::spawn(async move {
            let (mut round, leaf_name) = (0_usize, "leaf.test");
            while !over.load(Ordering::Relaxed) {
                let shard = round % UNTOUCHED;
                let replica = if shard < 4 {
                    1 + u8::try_from(round / UNTOUCHED % 2).unwrap()
                } else {
                    1
                };
                drop(leaves.remove(&(shard, replica)));
                match round % 2 {
                    0 => names.remove(leaf_name),
                    _ => names.set(leaf_name, &[Ipv4Addr::new(127, 1, VANISHES as u8, 1)]),
                }
                tokio::time::sleep(Duration::from_millis(150)).await;
                let leaf = start(&format!("s{shard}"), &address(shard, replica, port), "prompt").await;
                leaves.insert((shard, replica), leaf);
                tokio::time::sleep(Duration::from_millis(150)).await;
                round += 1;
            }
            round
        })
    };
    let (mut wrong, mut seen) = (Vec::new(), [0_usize; SHARDS]);
    while let Some(client) = clients.join_next().await {
        let (found, counted) = client.unwrap();
        wrong.extend(found);
        seen.iter_mut().zip(counted).for_each(|(all, more)| *all += more);
    }
    let took = start_of_all.elapsed();
    over.store(true, Ordering::Relaxed);
    let rounds = trouble.await.unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {REQUESTS}, the first: {}",
        wrong.len(),
        wrong[0]
    );
    println!("{REQUESTS} requests in {took:?}, {rounds} kills; answers by shard: {seen:?}");
    for never in [SLOW, DEAD, DRIBBLES] {
        assert_eq!(seen[never], 0, "s{never}");
    }
    assert!((1..REQUESTS).contains(&seen[VANISHES]), "{seen:?}");
    // Those that nobody touches are in nearly every answer, even on a busy machine.
    assert!(rounds > 10 && seen[UNTOUCHED] > REQUESTS / 4, "{rounds} {seen:?}");
    eventually("nothing is left over", || async {
        let left = (
            gather.metric("held_bytes").await,
            gather.metric("requests_in_flight").await,
        );
        (left == (0.0, 0.0)).then_some(())
    })
    .await;
    let counted = |outcome| format!("requests_total{{outcome=\"{outcome}\"}}");
    let (partial, too_few) = (
        gather.metric(&counted("partial")).await,
        gather.metric(&counted("too-few")).await,
    );
    assert_eq!(partial + too_few, REQUESTS as f64);
    let more = gather
        .metric("shard_requests_total{shard=\"s0\",result=\"answered\"}")
        .await;
    assert_eq!(more, seen[0] as f64);
}
