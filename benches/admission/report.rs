//! The result, for people and for programs.
use crate::{
    measure::{Comparison, Turn, median},
    scenario::Side,
    start::Starts,
};
use outrigger_harness::Memory;
use serde_json::{Value, json};
use std::fmt;

/// In MB.
const MEMORY: f64 = 20.0;
/// In milliseconds.
const READY: f64 = 100.0;

/// All that was measured.
#[derive(Default)]
pub struct Report {
    pub comparisons: Vec<Comparison>,
    pub start: Option<Starts>,
}

/// One number of both sides, and their ratio.
struct Row {
    what: &'static str,
    sides: [f64; 2],
    ratio: f64,
    spread: [f64; 2],
    target: Option<Target>,
}

#[derive(Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met_by(self, number: f64) -> bool {
        match self {
            Target::AtLeast(least) => number >= least,
            Target::AtMost(most) => number <= most,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::AtLeast(least) => write!(f, "at least {least}"),
            Target::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

impl Comparison {
    fn rows(&self) -> [Row; 4] {
        let targets = self.scenario.targets;
        [
            self.row(
                "requests/s",
                |turn| turn.per_second,
                targets.least_throughput.map(Target::AtLeast),
            ),
            self.row("CPU µs/request", |turn| turn.cpu, targets.most_cpu.map(Target::AtMost)),
            self.row("p50 µs", |turn| turn.p50, None),
            self.row("p99 µs", |turn| turn.p99, None),
        ]
    }

    fn row(&self, what: &'static str, of: impl Fn(&Turn) -> f64, target: Option<Target>) -> Row {
        let side = |index: usize| median(self.rounds.iter().map(|turns| of(&turns[index]))).0;
        let (ratio, spread) = median(self.rounds.iter().map(|[base, other]| of(other) / of(base)));
        Row {
            what,
            sides: [side(0), side(1)],
            ratio,
            spread,
            target,
        }
    }

    fn megabytes(&self, of: impl Fn(&Memory) -> u64) -> [f64; 2] {
        self.memory.map(|memory| of(&memory) as f64 / 1e6)
    }

    fn memory_target(&self) -> Option<Target> {
        matches!(self.scenario.other, Side::Bundled).then_some(Target::AtMost(MEMORY))
    }
}

/// Whether this was built by `benches/guided.sh`.
fn is_guided() -> bool {
    option_env!("RUSTFLAGS").is_some_and(|flags| flags.contains("-Cprofile-use="))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !is_guided() {
            writeln!(
                f,
                "not guided by a profile, as the images' webhook is: benches/guided.sh cargo bench --bench admission\n"
            )?;
        }
        for comparison in &self.comparisons {
            writeln!(f, "{comparison}")?;
        }
        if let Some(starts) = &self.start {
            writeln!(f, "start, until ready, ms: median (least to most)")?;
            for (what, times) in [("with a certificate", &starts.next), ("making one", &starts.first)] {
                let (middle, [least, most]) = median(times.iter().copied());
                let verdict = verdict(Target::AtMost(READY), middle);
                writeln!(f, "  {what:<20}{middle:>8.1} ({least:.1} to {most:.1}), {verdict}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [base, other] = [self.scenario.base.name(), self.scenario.other.name()];
        writeln!(f, "{}", self.scenario.name)?;
        writeln!(
            f,
            "  {:<16}{base:>14}{other:>14}   ratio (spread over {} rounds)",
            "",
            self.rounds.len()
        )?;
        for row in self.rows() {
            let ([base, other], [least, most]) = (row.sides, row.spread);
            write!(
                f,
                "  {:<16}{base:>14.1}{other:>14.1}   {:.2} ({least:.2} to {most:.2})",
                row.what, row.ratio
            )?;
            match row.target {
                Some(target) => writeln!(f, ", {}", verdict(target, row.ratio))?,
                None => writeln!(f)?,
            }
        }
        let [base, other] = self.megabytes(|memory| memory.resident);
        write!(f, "  {:<16}{base:>14.1}{other:>14.1}", "resident MB")?;
        match self.memory_target() {
            Some(target) => writeln!(f, "   {}", verdict(target, other))?,
            None => writeln!(f)?,
        }
        let [base, other] = self.megabytes(|memory| memory.own);
        writeln!(f, "  {:<16}{base:>14.1}{other:>14.1}", "  not the file")
    }
}

fn verdict(target: Target, number: f64) -> String {
    let outcome = if target.is_met_by(number) { "met" } else { "missed" };
    format!("target {target}: {outcome}")
}

impl Report {
    /// The same as one JSON object.
    pub fn json(&self) -> Value {
        let comparisons: Vec<Value> = self.comparisons.iter().map(Comparison::json).collect();
        let start = self.start.as_ref().map(|starts| {
            let [first, next] = [&starts.first, &starts.next].map(|times| median(times.iter().copied()).0);
            json!({"firstMilliseconds": first, "nextMilliseconds": next})
        });
        json!({"guided": is_guided(), "scenarios": comparisons, "start": start})
    }
}

impl Comparison {
    fn json(&self) -> Value {
        let rows: serde_json::Map<String, Value> = self
            .rows()
            .into_iter()
            .map(|row| {
                let met = row.target.map(|target| target.is_met_by(row.ratio));
                let value = json!({"sides": row.sides, "ratio": row.ratio, "spread": row.spread, "targetMet": met});
                (row.what.to_owned(), value)
            })
            .collect();
        json!({"name": self.scenario.name, "sides": [self.scenario.base.name(), self.scenario.other.name()],
            "measured": rows, "residentMegabytes": self.megabytes(|memory| memory.resident),
            "ownMegabytes": self.megabytes(|memory| memory.own)})
    }
}
