//! The report of a run, as it is printed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering;

use super::fault::Fault;
use super::verdict::{Harm, Line, Verdict};
use super::world::World;
use super::{Plan, seconds};

/// How many broken promises of a kind are told.
const TOLD: usize = 8;

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Report {
    /// Broken promises by kind, one a line; empty when all was kept.
    pub broken: BTreeMap<&'static str, Vec<String>>,
    text: String,
}

impl Report {
    pub(super) fn new(plan: &Plan, world: &World, verdict: &Verdict, harms: &[Harm]) -> Self {
        let mut broken = verdict.broken.clone();
        let seen = world.ledger.broken();
        let misdelivered = seen.iter().filter(|what| what.contains("misdelivered"));
        let mut text = String::new();
        write(&mut text, plan, world, verdict, harms, misdelivered.count()).expect("text");
        for harm in harms.iter().filter(|harm| harm.settled) {
            let bound = harm.fault.bound().unwrap_or(u64::MAX);
            for outage in of(world, harm).filter(|outage| *outage >= bound) {
                let what = format!(
                    "{:?} at {:.1} s: a slot without service for {:.1} s",
                    harm.fault,
                    seconds(harm.begin),
                    seconds(outage)
                );
                broken
                    .entry("served again too late")
                    .or_default()
                    .push(what);
            }
        }
        if !seen.is_empty() {
            broken.insert("seen by devices", seen);
        }
        Self { broken, text }
    }

    /// How many promises were broken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.broken.values().map(Vec::len).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)?;
        for (kind, broken) in &self.broken {
            writeln!(out, "BROKEN {kind}: {} times", broken.len())?;
            for what in broken.iter().take(TOLD) {
                writeln!(out, "  {what}")?;
            }
        }
        Ok(())
    }
}

fn write(
    out: &mut String,
    plan: &Plan,
    world: &World,
    verdict: &Verdict,
    harms: &[Harm],
    misdelivered: usize,
) -> fmt::Result {
    let count = |what: &std::sync::atomic::AtomicU64| what.load(Ordering::Relaxed);
    writeln!(out, "\nseed {}", plan.seed)?;
    writeln!(
        out,
        "{} brokers, {} Kafka nodes, {} publishers, {} persistent subscribers, a message of each about every {:.1} s, {:.0} s, {} faults, {} connections, {} takeovers, \
         {} retained values read anew, {} QoS 0 messages live\n",
        plan.brokers,
        plan.nodes,
        plan.publishers,
        plan.subscribers,
        plan.period.as_secs_f64(),
        seconds(world.ledger.now()),
        harms.len(),
        count(&world.connections),
        count(&world.takeovers),
        count(&world.retained_checks),
        count(&world.live_messages)
    )?;
    messages(out, verdict)?;
    writeln!(out, "\n{:<76} {:>8}", "duplicates", "times")?;
    for (why, times) in &verdict.doubled {
        writeln!(out, "{why:<76} {times:>8}")?;
    }
    let repeated =
        "sent again under the packet id that the receiver still held: one message (QoS 2)";
    writeln!(
        out,
        "{repeated:<76} {:>8}",
        count(&world.ledger.repeated_ids)
    )?;
    writeln!(
        out,
        "{:<76} {:>8}",
        "not allowed or not explained", verdict.forbidden
    )?;
    recoveries(out, harms)?;
    outages(out, world, harms)?;
    for (code, times) in world.refusals() {
        writeln!(out, "\nCONNECT refused with {code:#04x}: {times} times")?;
    }
    let sum = |of: fn(&Line) -> u64| verdict.lines.values().map(of).sum::<u64>();
    writeln!(
        out,
        "\n{} acknowledged lost, {} out of order, {} due and missing, {} misdelivered, {} doubled that \
         must not be",
        sum(|line| line.lost),
        sum(|line| line.disorder),
        sum(|line| line.missing),
        sum(|line| line.misdelivered) + misdelivered as u64,
        verdict.forbidden
    )
}

fn messages(out: &mut String, verdict: &Verdict) -> fmt::Result {
    writeln!(
        out,
        "{:<26} {:>7} {:>7} {:>7} {:>8} {:>8} {:>5} {:>7} {:>8} {:>6}",
        "messages",
        "sent",
        "acked",
        "stored",
        "due",
        "received",
        "lost",
        "missing",
        "disorder",
        "wrong"
    )?;
    for (class, line) in &verdict.lines {
        writeln!(
            out,
            "{class:<26} {:>7} {:>7} {:>7} {:>8} {:>8} {:>5} {:>7} {:>8} {:>6}",
            line.sent,
            line.acknowledged,
            line.stored,
            line.due,
            line.received,
            line.lost,
            line.missing,
            line.disorder,
            line.misdelivered
        )?;
    }
    Ok(())
}

fn recoveries(out: &mut String, harms: &[Harm]) -> fmt::Result {
    let mut kinds: BTreeMap<Fault, Vec<&Harm>> = BTreeMap::new();
    for harm in harms {
        kinds.entry(harm.fault).or_default().push(harm);
    }
    writeln!(
        out,
        "\n{:<20} {:>5}  {:<24} then all get on after, s",
        "fault", "times", "lasted, s"
    )?;
    for (fault, harms) in kinds {
        let list = |of: &dyn Fn(&Harm) -> u64| {
            let each = harms.iter().map(|harm| format!("{:.1}", seconds(of(harm))));
            each.collect::<Vec<_>>().join(" ")
        };
        let lasted = list(&|harm| harm.lifted - harm.begin);
        let after = list(&|harm| harm.recovered - harm.lifted);
        let name = format!("{fault:?}");
        writeln!(out, "{name:<20} {:>5}  {lasted:<24} {after}", harms.len())?;
    }
    Ok(())
}

/// How long each slot of a harmed broker was without service.
fn of<'a>(world: &'a World, harm: &'a Harm) -> impl Iterator<Item = u64> + 'a {
    let moves = harm.moves.iter();
    moves.flat_map(|one| world.probes.outages(one))
}

fn outages(out: &mut String, world: &World, harms: &[Harm]) -> fmt::Result {
    let mut kinds: BTreeMap<Fault, Vec<u64>> = BTreeMap::new();
    let moved = harms.iter().filter(|harm| !harm.moves.is_empty());
    let (judged, unsettled): (Vec<&Harm>, Vec<&Harm>) = moved.partition(|harm| harm.settled);
    for harm in judged {
        let all = kinds.entry(harm.fault).or_default();
        all.extend(of(world, harm));
    }
    writeln!(
        out,
        "\n{:<20} {:>5} {:>8} {:>8} {:>8} {:>8}",
        "served again after, s", "slots", "min", "median", "max", "bound"
    )?;
    for (fault, mut all) in kinds {
        all.sort_unstable();
        let name = format!("{fault:?}");
        let at = |place: usize| {
            let found = all.get(place).copied();
            found.map_or("-".to_owned(), |ms| format!("{:.1}", seconds(ms)))
        };
        let bound = fault.bound();
        let bound = bound.map_or("-".to_owned(), |ms| format!("{:.0}", seconds(ms)));
        let (min, median, max) = (at(0), at(all.len() / 2), at(all.len().saturating_sub(1)));
        writeln!(
            out,
            "{name:<21} {:>5} {min:>8} {median:>8} {max:>8} {bound:>8}",
            all.len()
        )?;
    }
    let unsettled = unsettled.into_iter().flat_map(|harm| of(world, harm));
    let (count, most) = unsettled.fold((0, 0), |(n, most), ms| (n + 1, most.max(ms)));
    if count > 0 {
        writeln!(
            out,
            "not judged: {count} slots, at most {:.1} s, where a broker was still on its way back when another was harmed",
            seconds(most)
        )?;
    }
    Ok(())
}
