//! Two servers taking turns, so that whatever else the machine does meets both.
use crate::{
    load::Load,
    scenario::{Scenario, Side, Started},
};
use anyhow::Result;
use outrigger_harness::Memory;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often, how long, how many, and what is measured.
pub struct Plan {
    pub rounds: usize,
    pub turn: Duration,
    pub connections: usize,
    /// `outrigger`.
    pub program: PathBuf,
}

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub per_second: f64,
    /// Processor time of the server for each request, in µs.
    pub cpu: f64,
    /// In µs.
    pub p50: f64,
    /// In µs.
    pub p99: f64,
}

/// Both sides of a scenario, round by round.
pub struct Comparison {
    pub scenario: Scenario,
    pub rounds: Vec<[Turn; 2]>,
    /// After the load.
    pub memory: [Memory; 2],
}

/// Measures both sides of a scenario in turns.
pub fn compare(scenario: &Scenario, plan: &Plan) -> Result<Comparison> {
    let mut base = Contestant::start(&scenario.base, scenario, plan)?;
    let mut other = Contestant::start(&scenario.other, scenario, plan)?;
    for contestant in [&mut base, &mut other] {
        contestant.take_turn(plan.turn)?;
    }
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        // Who comes second finds the machine warm: that goes round.
        rounds.push(if round % 2 == 0 {
            let first = base.take_turn(plan.turn)?;
            [first, other.take_turn(plan.turn)?]
        } else {
            let first = other.take_turn(plan.turn)?;
            [base.take_turn(plan.turn)?, first]
        });
    }
    Ok(Comparison {
        scenario: scenario.clone(),
        rounds,
        memory: [base.server.process.memory()?, other.server.process.memory()?],
    })
}

struct Contestant {
    load: Load,
    server: Started,
}

impl Contestant {
    fn start(side: &Side, scenario: &Scenario, plan: &Plan) -> Result<Contestant> {
        let server = side.start(&plan.program)?;
        let load = Load::open(&server.process, side.question(scenario), plan.connections)?;
        Ok(Contestant { load, server })
    }

    fn take_turn(&mut self, time: Duration) -> Result<Turn> {
        let (started, cpu) = (Instant::now(), self.server.process.cpu()?);
        let mut latencies = self.load.run(time)?;
        let (elapsed, cpu) = (started.elapsed(), self.server.process.cpu()? - cpu);
        latencies.sort_unstable();
        let count = latencies.len() as f64;
        let quantile = |q: f64| {
            let position = ((count - 1.0) * q) as usize;
            latencies.get(position).map_or(0.0, micros)
        };
        Ok(Turn {
            per_second: count / elapsed.as_secs_f64(),
            cpu: micros(&cpu) / count,
            p50: quantile(0.5),
            p99: quantile(0.99),
        })
    }
}

fn micros(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The middle of some numbers, and the first and last.
pub fn median(numbers: impl Iterator<Item = f64>) -> (f64, [f64; 2]) {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let at = |position: usize| numbers.get(position).copied().unwrap_or(f64::NAN);
    let last = numbers.len().saturating_sub(1);
    ((at(last / 2) + at(last.div_ceil(2))) / 2.0, [at(0), at(last)])
}
