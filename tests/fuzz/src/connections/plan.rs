//! What happens in one step of a run: a connection, two after each other, or two whose bytes are
//! interleaved.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use super::expect::{Expected, expected};
use super::link::Link;
use super::replies::{Replies, replies};
use super::script::{Client, End, Pace, Script, script};
use crate::hex;
use crate::pool::Pool;

/// How long the broker may take for what it must do.
const SOON: Duration = Duration::from_secs(30);

/// Where the broker listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// MQTT over TCP.
    pub mqtt: u16,
    /// WebSocket.
    pub ws: u16,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Done {
    /// Connections.
    pub connections: u64,
    /// Of them, those whose script was legal and fully answered.
    pub answered: u64,
    /// Of them, those that the broker had to close, and did.
    pub closed: u64,
    /// Of them, those with a CONNACK that welcomed them.
    pub welcomed: u64,
    /// Packets from the broker.
    pub packets: u64,
    /// Connections that stay open, silent.
    pub silent: Vec<Link>,
}

/// Does one step.
///
/// # Errors
/// What the broker did wrong, with a transcript.
pub fn step(random: &mut StdRng, pool: &Pool, ports: Ports, own: &str) -> Result<Done, String> {
    let client = Client::any(random, own);
    let first = script(random, pool, &client);
    let mut done = Done::default();
    match random.random_range(0..10) {
        // The same client again, the connection before being gone or not.
        0 | 1 => {
            let settled = one(&first, ports, &mut done)?;
            let mut second = script(random, pool, &client);
            // A CONNECT that nobody waited for may reach the session after the next one, and take it.
            second.legal &= settled;
            one(&second, ports, &mut done)?;
        }
        2 => {
            let other = match random.random() {
                true => client.clone(),
                false => Client::any(random, &format!("{own}-b")),
            };
            let takeover = other.id == client.id;
            let second = script(random, pool, &other);
            interleaved([first, second], takeover, ports, &mut done)?;
        }
        _ => {
            one(&first, ports, &mut done)?;
        }
    }
    Ok(done)
}

fn open(script: &Script, ports: Ports) -> Result<Link, String> {
    let port = if script.web { ports.ws } else { ports.mqtt };
    Link::open(("127.0.0.1", port), script.web)
}

/// Whether the broker has surely seen all of it.
fn one(script: &Script, ports: Ports, done: &mut Done) -> Result<bool, String> {
    let mut link = open(script, ports)?;
    match script.pace {
        Pace::Whole => link.send(&script.bytes),
        Pace::Bytes => script.bytes.chunks(1).for_each(|byte| link.send(byte)),
        Pace::Pieces => script.bytes.chunks(40).for_each(|piece| link.send(piece)),
    }
    finish(script, link, done)
}

fn interleaved(
    scripts: [Script; 2],
    takeover: bool,
    ports: Ports,
    done: &mut Done,
) -> Result<(), String> {
    let mut links = [open(&scripts[0], ports)?, open(&scripts[1], ports)?];
    let longest = scripts.iter().map(|script| script.bytes.len()).max();
    // Byte by byte while that is short work.
    let piece = 1 + longest.unwrap_or(0) / 1000;
    let mut pieces = scripts.each_ref().map(|script| script.bytes.chunks(piece));
    loop {
        let next = pieces.each_mut().map(Iterator::next);
        if next == [None, None] {
            break;
        }
        for (link, piece) in links.iter_mut().zip(next) {
            link.send(piece.unwrap_or_default());
        }
    }
    for (mut script, link) in scripts.into_iter().zip(links) {
        script.legal &= !takeover;
        finish(&script, link, done)?;
    }
    Ok(())
}

/// Waits for what is due, ends the connection, and looks at all that came back; whether the broker
/// has surely seen all of it.
fn finish(script: &Script, mut link: Link, done: &mut Done) -> Result<bool, String> {
    let expected = expected(&script.bytes);
    let start = std::time::Instant::now();
    done.connections += 1;
    let verdict = conclude(script, &mut link, &expected, done);
    let read = replies(&link.received, &expected);
    match (verdict, read) {
        (Ok(()), Ok(read)) => {
            done.packets += read.packets as u64;
            done.welcomed += u64::from(read.connack == Some(0));
        }
        (verdict, read) => {
            let faults: Vec<String> = verdict.err().into_iter().chain(read.err()).collect();
            return Err(format!(
                "{} (after {:.1} s)\n  {:?}, WebSocket {}, {:?}, {:?}\n  sent:     {}\n  received: {}",
                faults.join("; "),
                start.elapsed().as_secs_f32(),
                expected.version,
                script.web,
                script.pace,
                script.end,
                hex(&script.bytes),
                hex(&link.received)
            ));
        }
    }
    let settled = script.legal || link.closed;
    if script.end == End::Silent && !link.closed {
        done.silent.push(link);
    }
    Ok(settled)
}

fn conclude(
    script: &Script,
    link: &mut Link,
    expected: &Expected,
    done: &mut Done,
) -> Result<(), String> {
    if script.legal {
        let all = |read: &Replies| read.connack.is_some() && read.answers >= expected.answers;
        let in_time = link.read_until(SOON, |received| {
            replies(received, expected).is_ok_and(|read| all(&read))
        });
        let read = replies(&link.received, expected)?;
        // DISCONNECT overtakes what Kafka has not confirmed.
        if read.connack != Some(0) || expected.closes.is_none() && !all(&read) {
            return Err(format!(
                "a legal script is not answered ({} of {} answers, in time: {in_time}, closed: {})",
                read.answers, expected.answers, link.closed
            ));
        }
        done.answered += 1;
    }
    if let Some(why) = &expected.closes {
        // Read on without ending the sending half: the broker closes by itself.
        link.read_until(SOON, |_| false);
        if !link.closed {
            return Err(format!("not closed after: {why}"));
        }
        done.closed += 1;
        return Ok(());
    }
    if script.end == End::HalfClose {
        link.half_close();
        link.read_until(SOON, |_| false);
        if !link.closed {
            return Err("the client's end of the connection is not noticed".to_owned());
        }
    }
    Ok(())
}
