//! The page as Markdown.

use std::fmt::Write as _;

use super::{Bound, Edition, Marker};

const HEAD: &str = "\
# Conformance

Every normative statement of MQTT 3.1.1 (with errata 01) and MQTT 5.0 that binds a server, in our own words, with the
tests that show it on the wire; the standards themselves are at
[3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html) and
[5.0](https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html). *Both* binds whoever sends or receives. Where the
standard leaves a choice, the last sentence says what Isthmus does.

This page is made from the tests by `make conformance`; a test fails when it is stale or a statement has none.

";

pub(super) fn render(editions: &[Edition], markers: &[Marker]) -> String {
    let mut page = HEAD.to_owned();
    counts(&mut page, editions, markers);
    for edition in editions.iter().rev() {
        let _ = writeln!(page, "\n## MQTT {}\n", title(edition));
        if edition.version == "3.1" {
            page.push_str(
                "It has no numbered statements. This is what differs from 3.1.1; all else is as there.\n\n",
            );
        }
        page.push_str("| statement | binds | says | shown by |\n|---|---|---|---|\n");
        for statement in edition.ours() {
            let tests = markers.iter().filter(|m| m.is_for(edition, statement));
            let tests: Vec<String> = tests.map(link).collect();
            let says = match &*statement.choice {
                "" => format!("{}.", statement.says),
                choice => format!("{}. {choice}", statement.says),
            };
            let bound = match statement.bound {
                Bound::Server => "server",
                _ => "both",
            };
            let _ = writeln!(
                page,
                "| {} | {bound} | {says} | {} |",
                number(edition, &statement.number),
                tests.join("<br>")
            );
        }
    }
    page.push_str("\n## Statements that bind the client alone\n\n");
    for edition in editions
        .iter()
        .rev()
        .filter(|e| e.theirs().next().is_some())
    {
        let numbers: Vec<_> = edition
            .theirs()
            .map(|statement| number(edition, &statement.number))
            .collect();
        let _ = writeln!(
            page,
            "- MQTT {}, client: {}",
            title(edition),
            numbers.join(", ")
        );
    }
    page
}

fn counts(page: &mut String, editions: &[Edition], markers: &[Marker]) {
    page.push_str(
        "| | statements | server | both | client alone | tests |\n|---|---|---|---|---|---|\n",
    );
    for edition in editions.iter().rev() {
        let of = |bound| {
            edition
                .statements
                .iter()
                .filter(|s| s.bound == bound)
                .count()
        };
        let mut tests: Vec<_> = markers
            .iter()
            .filter(|m| m.version == edition.version)
            .map(|m| &m.test)
            .collect();
        tests.sort();
        tests.dedup();
        let _ = writeln!(
            page,
            "| MQTT {} | {} | {} | {} | {} | {} |",
            title(edition),
            edition.statements.len(),
            of(Bound::Server),
            of(Bound::Both),
            of(Bound::Client),
            tests.len()
        );
    }
}

fn title(edition: &Edition) -> &'static str {
    match edition.version {
        "5" => "5.0",
        version => version,
    }
}

fn number(edition: &Edition, number: &str) -> String {
    match edition.version {
        "3.1" => number.to_owned(),
        _ => format!("MQTT-{number}"),
    }
}

/// `file#function`, short, to the file.
fn link(marker: &Marker) -> String {
    let (file, function) = marker.test.split_once('#').expect("file#function");
    let name = file.strip_prefix("tests/tests/").unwrap_or(file);
    let name = name.strip_prefix("conformance/").unwrap_or(name);
    format!("[{name}#{function}](../{file})")
}
