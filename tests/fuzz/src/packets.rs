//! `isthmus-fuzz packets`: generated and mutated packets in both codecs.
//!
//! Of each case: what ours and the independent codec say of the same bytes; and of what ours
//! accepts, what the independent codec says of our encoding of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use isthmus_mqtt::{Version, encode};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use crate::classes::{CLASSES, Kind};
use crate::compare::{Answer, Case, Verdict};
use crate::generate::Maker;
use crate::mutate::mutate;
use crate::pool::Pool;
use crate::{Extent, hex, memory, random};

/// Memory is compared with that after so many packets.
const WARM_UP: u64 = 20_000;
/// What more this process may hold at the end than after the warm-up.
pub const MEMORY_BOUND: u64 = 8 << 20;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// Packets compared.
    pub packets: u64,
    /// Of them, unchanged ones.
    pub unchanged: u64,
    /// Verdicts of the packets as they were made.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Verdicts of our encoding of what we took.
    pub again: BTreeMap<Verdict, u64>,
    /// Resident memory after the warm-up and at the end.
    pub memory: (u64, u64),
    /// Seconds.
    pub seconds: f64,
}

/// Runs, and fails with the seed, the index and the bytes of a packet that is not explained.
///
/// # Panics
/// A difference is not explained, memory grew, or a codec panicked.
#[must_use]
pub fn run(seed: u64, first: u64, extent: Extent) -> Report {
    let pool = Pool::new(&mut random(seed, u64::MAX));
    let start = Instant::now();
    let mut report = Report::default();
    let mut warm = memory::own();
    while extent.goes_on(report.packets, start) {
        let index = first + report.packets;
        one(seed, index, &pool, &mut report);
        report.packets += 1;
        if report.packets == WARM_UP {
            warm = memory::own();
        }
    }
    report.seconds = start.elapsed().as_secs_f64();
    report.memory = (warm, memory::own());
    let grown = report.memory.1.saturating_sub(warm);
    assert!(
        report.packets < 2 * WARM_UP || grown < MEMORY_BOUND,
        "memory grew by {}",
        memory::mib(grown)
    );
    report
}

/// Which case of which run.
#[derive(Clone, Copy, Debug)]
struct Place {
    seed: u64,
    index: u64,
}

impl Place {
    fn fail(self, what: &str, case: &Case<'_>) -> ! {
        let Self { seed, index } = self;
        panic!(
            "{what}\n  repeat: ISTHMUS_SEED={seed} isthmus-fuzz packets --first {index} --count 1\n  {}",
            case.describe()
        )
    }
}

fn one(seed: u64, index: u64, pool: &Pool, report: &mut Report) {
    let mut random = random(seed, index);
    let version = *VERSIONS.choose(&mut random).unwrap();
    let mut make = || {
        let packet = Maker {
            pool,
            random: &mut random,
            version,
        }
        .any();
        let mut bytes = Vec::new();
        encode(&packet, version, &mut bytes).expect("a legal packet has an encoding");
        bytes
    };
    let mut bytes = make();
    let other = make();
    let unchanged = random.random_bool(0.1);
    let mut version = version;
    if unchanged {
        report.unchanged += 1;
    } else {
        mutate(&mut random, &mut bytes, &other);
        if random.random_bool(0.05) {
            version = *VERSIONS.choose(&mut random).unwrap();
        }
    }
    let place = Place { seed, index };
    let case = Case::new(&bytes, version);
    let verdict = case.verdict();
    if verdict == Verdict::Unexplained {
        place.fail("a difference that no class explains", &case);
    }
    *report.verdicts.entry(verdict).or_default() += 1;
    if let Answer::Accepted(..) = &case.ours {
        reencoded(&case, report, place);
    } else if unchanged {
        place.fail("a legal packet is refused", &case);
    }
}

/// What we took, encoded by us, as they read it.
fn reencoded(case: &Case<'_>, report: &mut Report, place: Place) {
    // Not the packet that was compared: that one has its defaults filled in.
    let frame = isthmus_mqtt::frame(case.bytes, crate::compare::MAX_PACKET)
        .ok()
        .flatten()
        .expect("it was taken");
    let packet = isthmus_mqtt::decode(frame, case.version).expect("it was taken");
    let mut bytes = Vec::new();
    if let Err(fault) = encode(&packet, case.version, &mut bytes) {
        place.fail(&format!("no encoding: {fault}"), case);
    }
    let again = Case::new(&bytes, case.version);
    let verdict = again.verdict();
    let same = matches!((&case.ours, &again.ours),
        (Answer::Accepted(before, _), Answer::Accepted(after, _)) if before == after);
    if !same {
        place.fail(&format!("encoded to another packet: {}", hex(&bytes)), case);
    }
    if verdict == Verdict::Unexplained {
        place.fail(
            "our encoding of it differs, and no class explains it",
            &again,
        );
    }
    *report.again.entry(verdict).or_default() += 1;
}

impl Report {
    /// The report as Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} packets ({} of them unchanged) in {:.1} s; memory {} after the warm-up, {} at the end\n\n",
            self.packets,
            self.unchanged,
            self.seconds,
            memory::mib(self.memory.0),
            memory::mib(self.memory.1)
        );
        text.push_str(
            "| who | what | specification | packets | our encodings |\n|---|---|---|---:|---:|\n",
        );
        let mut row = |who: &str, what: &str, section: &str, verdict: Verdict| {
            let count = self.verdicts.get(&verdict).copied().unwrap_or_default();
            let again = self.again.get(&verdict).copied().unwrap_or_default();
            writeln!(text, "| {who} | {what} | {section} | {count} | {again} |").unwrap();
        };
        row("both", "accept, every field the same", "", Verdict::Equal);
        row("both", "refuse", "", Verdict::BothRefuse);
        row("both", "wait for more bytes", "", Verdict::BothWait);
        for (index, class) in CLASSES.iter().enumerate() {
            let who = match class.kind {
                Kind::TheyAccept => "only they accept",
                Kind::WeAccept => "only we accept",
                Kind::Differ => "another value",
                Kind::WeRefuseFirst => "we refuse at once, they wait",
            };
            row(who, class.what, class.section, Verdict::Explained(index));
        }
        text
    }
}
