//! The tables: medians, ratios, and what was aimed at.

use crate::cases::{Aim, Case};
use crate::connects::Connects;
use crate::load::Measured;
use crate::peer::Kind;
use std::fmt::Write as _;

/// The medians of a case for one broker, or why there are none.
pub(crate) type Outcome = Result<Medians, String>;

/// Bytes each, or why there are none.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// A connection that does nothing.
    pub(crate) connection: Result<f64, String>,
    /// A persistent session whose client is away, and a message queued for it.
    pub(crate) sessions: Result<(f64, f64), String>,
}

/// What is told of a broker besides its flows.
pub(crate) type Other = (Kind, Result<Connects, String>, Memory);

/// Medians over the runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Medians {
    pub(crate) rate: f64,
    pub(crate) cpu: f64,
    /// Milliseconds: p50, p99, p99.9.
    pub(crate) acknowledged: [f64; 3],
    pub(crate) delivered: [f64; 3],
    pub(crate) broker_busy: f64,
    pub(crate) load_busy: f64,
}

impl Medians {
    pub(crate) fn of(runs: &[Measured]) -> Self {
        let of = |value: &dyn Fn(&Measured) -> f64| median(runs.iter().map(value).collect());
        let at = |which: &dyn Fn(&Measured) -> hdrhistogram::Histogram<u64>| {
            [50.0, 99.0, 99.9].map(|p| of(&|run| which(run).value_at_percentile(p) as f64 / 1e6))
        };
        Self {
            rate: of(&|run| run.rate),
            cpu: of(&|run| run.cpu),
            acknowledged: at(&|run| run.acknowledged.clone()),
            delivered: at(&|run| run.delivered.clone()),
            broker_busy: of(&|run| run.broker_busy),
            load_busy: of(&|run| run.load_busy),
        }
    }

    /// The load generator was busier than it may be to say anything of the broker.
    fn doubtful(&self, paced: bool) -> bool {
        !paced && self.load_busy > 0.95 && self.broker_busy < 0.95
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Headline of the table of flows.
pub(crate) fn flows(cases: &[(Case, Vec<(Kind, Outcome)>)]) -> String {
    let mut text = String::from(
        "| case | broker | messages/s | CPU/message | acknowledged p50 / p99 / p99.9 | delivered p50 / p99 / p99.9 | against ours |\n\
         |---|---|--:|--:|--:|--:|--:|\n",
    );
    for (case, outcomes) in cases {
        let ours = outcomes
            .iter()
            .find(|(kind, _)| *kind == Kind::Isthmus)
            .and_then(|(_, outcome)| outcome.as_ref().ok())
            .map(|medians| medians.rate);
        for (kind, outcome) in outcomes {
            let _ = match outcome {
                Err(why) => writeln!(
                    text,
                    "| {} | {} | failed: {why} | | | | |",
                    case.name,
                    kind.name()
                ),
                Ok(m) => writeln!(
                    text,
                    "| {} | {} | {}{} | {:.2} µs | {} | {} | {} |",
                    case.name,
                    kind.name(),
                    thousands(m.rate),
                    if m.doubtful(case.flow.pace.is_some()) {
                        " (the load generator was the limit)"
                    } else {
                        ""
                    },
                    m.cpu,
                    if case.flow.qos > 0 {
                        triple(m.acknowledged)
                    } else {
                        String::new()
                    },
                    if case.flow.subscribers > 0 {
                        triple(m.delivered)
                    } else {
                        String::new()
                    },
                    ours.filter(|_| *kind != Kind::Isthmus && case.flow.pace.is_none())
                        .map_or_else(String::new, |ours| format!("{:.2}×", m.rate / ours)),
                ),
            };
        }
    }
    text
}

/// Connections a second, and memory.
pub(crate) fn others(rows: &[Other]) -> String {
    let mut text = String::from(
        "| broker | connects/s | CPU/connect | idle connection | persistent session | queued message |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for (kind, connects, memory) in rows {
        let connects = match connects {
            Ok(c) => format!(
                "{}{} | {:.0} µs",
                thousands(c.rate),
                if c.load_busy > 0.95 {
                    " (the load generator was the limit)"
                } else {
                    ""
                },
                c.cpu
            ),
            Err(why) => format!("failed: {why} | "),
        };
        let connection = match &memory.connection {
            Ok(bytes) => format!("{bytes:.0} B"),
            Err(why) => format!("failed: {why}"),
        };
        let sessions = match &memory.sessions {
            Ok((session, queued)) => format!("{session:.0} B | {queued:.0} B"),
            Err(why) => format!("failed: {why} | "),
        };
        let _ = writeln!(
            text,
            "| {} | {connects} | {connection} | {sessions} |",
            kind.name()
        );
    }
    text
}

/// The same for what is not a flow: as many connects a second as mosquitto, at most 4 kB for an
/// idle connection.
pub(crate) fn aims_of_others(rows: &[Other]) -> String {
    let mut text = String::new();
    let of = |kind| rows.iter().find(|(k, ..)| *k == kind);
    let Some((_, connects, memory)) = of(Kind::Isthmus) else {
        return text;
    };
    if let (Ok(ours), Some((_, Ok(peer), _))) = (connects, of(Kind::Mosquitto)) {
        let (what, met) = ("connects/s (mosquitto's)", ours.rate >= peer.rate);
        verdict(&mut text, "connects", what, ours.rate, peer.rate, met);
    }
    if let Ok(bytes) = memory.connection {
        let (what, most) = ("bytes of an idle connection", 4096.0);
        verdict(&mut text, "memory", what, bytes, most, bytes <= most);
    }
    text
}

fn verdict(text: &mut String, case: &str, what: &str, is: f64, goal: f64, met: bool) {
    let verdict = if met { "met" } else { "MISSED" };
    let _ = writeln!(
        text,
        "- {case}: {what} {} of {}: {verdict}",
        figure(is),
        figure(goal)
    );
}

/// What was aimed at, and what came of it.
pub(crate) fn aims(cases: &[(Case, Vec<(Kind, Outcome)>)]) -> String {
    let mut text = String::new();
    for (case, outcomes) in cases {
        let of = |kind| {
            let found = outcomes.iter().find(|(k, _)| *k == kind);
            found.and_then(|(_, outcome)| outcome.as_ref().ok())
        };
        let Some(ours) = of(Kind::Isthmus) else {
            continue;
        };
        for aim in case.aims {
            let (what, goal, is, met) = match aim {
                Aim::Rate(goal) => ("messages/s", *goal, ours.rate, ours.rate >= *goal),
                Aim::Cpu(goal) => ("µs CPU/message", *goal, ours.cpu, ours.cpu <= *goal),
                Aim::Acknowledged(goal) => {
                    let [_, is, _] = ours.acknowledged;
                    ("ms until acknowledged (p99)", *goal, is, is < *goal)
                }
                Aim::Delivered(goal) => {
                    let [_, is, _] = ours.delivered;
                    ("ms until delivered (p99)", *goal, is, is < *goal)
                }
                Aim::RateOfRumqttd => {
                    let Some(peer) = of(Kind::Rumqttd) else {
                        continue;
                    };
                    (
                        "messages/s (rumqttd's)",
                        peer.rate,
                        ours.rate,
                        ours.rate >= peer.rate,
                    )
                }
                Aim::TailOfMosquitto => {
                    let Some(peer) = of(Kind::Mosquitto) else {
                        continue;
                    };
                    let ([_, goal, _], [_, is, _]) = (peer.delivered, ours.delivered);
                    ("ms until delivered (p99; mosquitto's)", goal, is, is < goal)
                }
            };
            verdict(&mut text, case.name, what, is, goal, met);
        }
    }
    text
}

fn figure(value: f64) -> String {
    if value >= 1000.0 {
        thousands(value)
    } else {
        format!("{value:.2}")
    }
}

fn triple([p50, p99, p999]: [f64; 3]) -> String {
    format!("{p50:.2} / {p99:.2} / {p999:.2} ms")
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a message costs as an instance grows.
pub(crate) fn growth(rows: &[crate::cluster::growth::Row]) -> String {
    let mut text = "| brokers | subscriptions | messages/s | CPU a message, µs | idle, % of a core | memory, MB |\n|---|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.1} | {:.1} | {} |",
            row.brokers,
            row.subscriptions,
            row.rate,
            row.cpu,
            row.idle * 100.0,
            row.memory >> 20
        );
    }
    text
}

/// Restore times, and a restart of all brokers.
pub(crate) fn restore(
    rows: &[crate::cluster::restore::Row],
    rolling: &crate::cluster::restore::Rolling,
) -> String {
    let mut text =
        "| sessions | queued | until served again, s | memory, MB |\n|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} | {} |",
            row.sessions,
            row.queued,
            row.restored.as_secs_f64(),
            row.memory >> 20
        );
    }
    let each: Vec<String> = rolling
        .each
        .iter()
        .map(|took| format!("{:.1}", took.as_secs_f64()))
        .collect();
    let _ = writeln!(
        text,
        "\n{} brokers restarted in turn ({} s): {} of {} sessions lost",
        rolling.brokers,
        each.join(", "),
        rolling.lost,
        rolling.sessions
    );
    text
}
