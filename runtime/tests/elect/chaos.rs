//! Five electors that are killed, stopped for longer than the lease, and cut off, at random, while everybody asks them.
use crate::{
    api::{history, namespace},
    asking::{Interrogation, now},
    elector::{Elector, Start},
};
use outrigger_harness::{
    Proxy,
    claims::{Claim, Version, contradictions},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rustix::process::Signal;
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::sleep;

const LEASE: Duration = Duration::from_secs(1);
const TIMES: [&str; 4] = [
    "--lease-duration=1s",
    "--renew-deadline=700ms",
    "--retry-period=150ms",
    "--max-validity=300ms",
];
const PODS: [&str; 5] = ["web-0", "web-1", "web-2", "web-3", "web-4"];

type Claims = Arc<Mutex<Vec<Claim>>>;

/// One place for an elector, with its own way to the API server.
struct Place {
    proxy: Proxy,
    elector: Elector,
    interrogation: Interrogation,
}

fn start(pod: &str, kubeconfig: &Path, namespace: &str, claims: &Claims) -> (Elector, Interrogation) {
    let elector = Start::new(pod, "shop")
        .with(&TIMES)
        .in_namespace(kubeconfig, namespace)
        .go();
    let interrogation = Interrogation::start(elector.address, "/", &elector.identity, claims);
    (elector, interrogation)
}

/// How often each thing is done: fewer times, unless everything is demanded.
fn rounds() -> (usize, usize, usize) {
    match std::env::var("OUTRIGGER_TEST_DEMAND").as_deref() {
        Ok("all") => (100, 25, 25),
        _ => (12, 4, 4),
    }
}

/// Which one of the electors: every second time the leader.
fn victim(places: &[Place], random: &mut SmallRng) -> usize {
    let leader = places.iter().position(|place| place.elector.leads("/"));
    match leader {
        Some(leader) if random.random_bool(0.5) => leader,
        _ => random.random_range(0..places.len()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_electors_lead_at_once_whatever_is_done_to_them() {
    let Some((cluster, namespace)) = namespace("chaos").await else {
        return;
    };
    let (claims, versions) = (Claims::default(), history(&namespace, "shop"));
    let mut places = Vec::new();
    for pod in PODS {
        let copy = cluster.directory(&namespace.name).join(pod);
        let proxy = Proxy::start(cluster.kubeconfig(), copy).await;
        let (elector, interrogation) = start(pod, proxy.kubeconfig(), &namespace.name, &claims);
        places.push(Place {
            proxy,
            elector,
            interrogation,
        });
    }
    let (kills, stops, cuts) = rounds();
    let mut todo: Vec<_> = [("kill", kills), ("stop", stops), ("cut", cuts)]
        .iter()
        .flat_map(|(what, times)| std::iter::repeat_n(*what, *times))
        .collect();
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    while !todo.is_empty() {
        let what = todo.swap_remove(random.random_range(0..todo.len()));
        let at = victim(&places, &mut random);
        match what {
            "kill" => {
                let place = &mut places[at];
                place.elector.kill();
                let (elector, interrogation) = start(PODS[at], place.proxy.kubeconfig(), &namespace.name, &claims);
                (place.elector, place.interrogation) = (elector, interrogation);
            }
            "stop" => {
                places[at].elector.signal(Signal::STOP);
                sleep(LEASE.mul_f64(random.random_range(1.1..2.0))).await;
                places[at].elector.signal(Signal::CONT);
            }
            _ => {
                places[at].proxy.cut();
                sleep(LEASE.mul_f64(random.random_range(0.5..2.0))).await;
                places[at].proxy.mend();
            }
        }
        // Often enough somebody leads when the next thing happens, and sometimes nobody does.
        sleep(LEASE.mul_f64(random.random_range(0.1..1.5))).await;
    }
    drop(places);
    sleep(Duration::from_millis(200)).await;
    let (claims, versions) = (claims.lock().unwrap(), versions.lock().unwrap());
    judge(&claims, &versions);
}

fn judge(claims: &[Claim], versions: &[Version]) {
    let mut tokens: Vec<_> = claims.iter().map(|claim| claim.token).collect();
    tokens.sort_unstable();
    tokens.dedup();
    println!(
        "{} claims in {} terms within {:?}, {} versions of the Lease",
        claims.len(),
        tokens.len(),
        now(),
        versions.len()
    );
    assert!(tokens.len() > rounds().0 / 4, "hardly anything changed hands");
    let wrong = contradictions(claims, versions);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The same record, had the electors promised too much: the checker must not be blind.
    let promised_too_much: Vec<Claim> = claims.iter().cloned().map(for_a_lease_longer).collect();
    assert!(contradictions(&promised_too_much, &[]).len() > tokens.len() / 4);
    assert!(contradictions(&promised_too_much, versions).len() > tokens.len() / 4);
}

fn for_a_lease_longer(mut claim: Claim) -> Claim {
    claim.valid_for += LEASE * 2;
    claim
}
