//! What connections, sessions and queued messages cost in memory.

use crate::client::Client;
use crate::peer::Peer;
use crate::wire::{self, Packet};
use mio::{Events, Poll};
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long a broker's memory is watched until it stands still.
const SETTLE: Duration = Duration::from_secs(10);

/// How many sessions are made at once: a broker that stores them first lets each wait.
const AT_ONCE: usize = 64;

/// Bytes of a connection of a clean session that does nothing.
pub(crate) fn of_connection(peer: &Peer, connections: usize) -> anyhow::Result<f64> {
    // What the first ones cost once is not theirs.
    drop(idle(peer, 500, "warm")?);
    let before = settled(peer)?;
    let clients = idle(peer, connections, "idle")?;
    let bytes = grown(settled(peer)?, before, connections);
    drop(clients);
    Ok(bytes)
}

/// Bytes of a persistent session with one subscription whose client is away, and of a message of
/// 64 B and QoS 1 that waits for such a client.
pub(crate) fn of_sessions(peer: &Peer, sessions: usize, each: usize) -> anyhow::Result<(f64, f64)> {
    drop(idle(peer, 500, "warm")?);
    let before = settled(peer)?;
    let address = peer.address;
    at_once(0..sessions, |number| {
        let (name, filter) = (format!("away-{number}"), format!("away/{number}"));
        Client::connect(address, number, &name, false, Some((&filter, 1)))?;
        Ok(())
    })?;
    let with_sessions = settled(peer)?;
    publish(peer.address, sessions, each)?;
    let queued = grown(settled(peer)?, with_sessions, sessions * each);
    Ok((grown(with_sessions, before, sessions), queued))
}

/// Does something for each number, many at once.
pub(crate) fn at_once(
    numbers: Range<usize>,
    each: impl Fn(usize) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let (each, start) = (&each, numbers.start);
    std::thread::scope(|scope| {
        let one = |part: usize| {
            (start + part..numbers.end)
                .step_by(AT_ONCE)
                .try_for_each(each)
        };
        let parts: Vec<_> = (0..AT_ONCE)
            .map(|part| scope.spawn(move || one(part)))
            .collect();
        for part in parts {
            part.join()
                .map_err(|_| anyhow::anyhow!("a thread ended"))??;
        }
        Ok(())
    })
}

fn grown(now: u64, before: u64, by: usize) -> f64 {
    now.saturating_sub(before) as f64 / by.max(1) as f64
}

fn idle(peer: &Peer, count: usize, stem: &str) -> anyhow::Result<Vec<Client>> {
    (0..count)
        .map(|number| {
            Client::connect(
                peer.address,
                number,
                &format!("{stem}-{number}"),
                true,
                None,
            )
        })
        .collect()
}

/// The memory once it has not changed by more than a percent for a second.
fn settled(peer: &Peer) -> anyhow::Result<u64> {
    let until = Instant::now() + SETTLE;
    let mut last = peer.memory()?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = peer.memory()?;
        if now.abs_diff(last) * 200 < now || Instant::now() > until {
            return Ok(now);
        }
        last = now;
    }
}

/// `each` messages for every session, all acknowledged to the publisher.
pub(crate) fn publish(
    address: std::net::SocketAddr,
    sessions: usize,
    each: usize,
) -> anyhow::Result<()> {
    const WINDOW: usize = 1000;
    let mut client = Client::connect(address, 0, "filler", true, None)?;
    let mut poll = Poll::new()?;
    client.register(poll.registry(), 0)?;
    let mut events = Events::with_capacity(16);
    let (mut scratch, payload) = (vec![0; 64 * 1024], [b'x'; 64]);
    let (mut sent, mut done, mut id) = (0, 0, 0_u16);
    let until = Instant::now() + Duration::from_secs(300);
    while done < sessions * each {
        anyhow::ensure!(
            Instant::now() < until,
            "{done} of {} acknowledged",
            sessions * each
        );
        while sent < sessions * each && sent - done < WINDOW {
            id = id.checked_add(1).unwrap_or(1);
            wire::publish(
                &mut client.out,
                &format!("away/{}", sent % sessions),
                1,
                id,
                &payload,
            );
            sent += 1;
        }
        client.flush()?;
        poll.poll(&mut events, Some(Duration::from_secs(1)))?;
        for event in &events {
            if event.is_writable() {
                client.writable();
            }
        }
        client.read(&mut scratch, |packet, _| {
            let Packet::Ack {
                kind: wire::PUBACK, ..
            } = packet
            else {
                anyhow::bail!("the publisher got {packet:?}");
            };
            done += 1;
            Ok(())
        })?;
    }
    Ok(())
}
