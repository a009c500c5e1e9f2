//! What is done to a legal packet: to its bytes, its lengths and its properties.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom as _, IndexedRandom as _, SliceRandom as _};

use crate::wire;

/// Values that decoders mistake most.
const EDGES: [u8; 10] = [0, 1, 2, 3, 0x23, 0x2B, 0x7F, 0x80, 0x81, 0xFF];

/// Changes a packet once to a few times; `other` is one to take bytes from.
pub fn mutate(random: &mut StdRng, packet: &mut Vec<u8>, other: &[u8]) {
    let times = [1, 1, 1, 2, 3].choose(random).copied().unwrap_or(1);
    for _ in 0..times {
        match (wire::split(packet), random.random_range(0..10)) {
            (Some((first, body)), 0..=4) => {
                let mut body = body.to_vec();
                content(random, &mut body, other);
                *packet = wire::join(first, &body);
            }
            (Some((first, body)), 5..=7) => {
                let mut body = body.to_vec();
                if properties(random, first, &mut body).is_none() {
                    content(random, &mut body, other);
                }
                *packet = wire::join(first, &body);
            }
            (Some((first, body)), 8) => {
                let body = body.to_vec();
                *packet = header(random, first, &body);
            }
            _ => content(random, packet, other),
        }
    }
}

/// Bytes, whatever they mean.
fn content(random: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    let len = bytes.len();
    let at = random.random_range(0..=len);
    let end = random.random_range(at..=len.min(at + 8));
    match random.random_range(0..10) {
        0 | 1 if at < len => bytes[at] ^= 1 << random.random_range(0..8),
        2 | 3 if at < len => bytes[at] = *EDGES.choose(random).unwrap(),
        4 => bytes.insert(at, *EDGES.choose(random).unwrap()),
        5 => {
            bytes.drain(at..end);
        }
        6 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        7 => bytes.truncate(at),
        8 => {
            let from = random.random_range(0..=other.len());
            let upto = random.random_range(from..=other.len().min(from + 64));
            bytes.splice(at..end, other[from..upto].iter().copied());
        }
        // A length, a packet id or a number of two bytes.
        _ if at + 2 <= len => {
            let value = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let near = match random.random_range(0..4) {
                0 => value.wrapping_add(1),
                1 => value.wrapping_sub(1),
                2 => 0,
                _ => u16::MAX,
            };
            bytes[at..at + 2].copy_from_slice(&near.to_be_bytes());
        }
        _ => bytes.push(random.random()),
    }
}

/// The properties of an MQTT 5 packet: doubled, foreign, missing, in another order, of another
/// value, with a length that is wrong or longer than it needs to be.
fn properties(random: &mut StdRng, first: u8, body: &mut Vec<u8>) -> Option<()> {
    let (length, section) = wire::properties(first, body)?;
    let mut items: Vec<Vec<u8>> = wire::items(&body[section.clone()])
        .into_iter()
        .map(|item| body[section.clone()][item].to_vec())
        .collect();
    let (mut longer, mut wrong) = (false, 0);
    match random.random_range(0..8) {
        0 if !items.is_empty() => {
            let copy = items.choose(random)?.clone();
            items.insert(random.random_range(0..=items.len()), copy);
        }
        1 | 2 => {
            let foreign = wire::EVERY_PROPERTY.choose(random)?.to_vec();
            items.insert(random.random_range(0..=items.len()), foreign);
        }
        3 if !items.is_empty() => {
            items.swap_remove(random.random_range(0..items.len()));
        }
        4 => items.shuffle(random),
        5 if !items.is_empty() => {
            let item = items.choose_mut(random)?;
            let at = random.random_range(0..item.len());
            item[at] = *EDGES.choose(random)?;
        }
        6 => longer = true,
        _ => wrong = *[-2, -1, 1, 2].choose(random)?,
    }
    let items = items.concat();
    let mut changed = Vec::new();
    wire::put_varint(&mut changed, items.len().saturating_add_signed(wrong));
    if longer && let Some(last) = changed.last_mut() {
        *last |= 0x80;
        changed.push(0);
    }
    changed.extend(items);
    body.splice(length.start..section.end, changed);
    Some(())
}

/// The fixed header: type, flags and Remaining Length.
fn header(random: &mut StdRng, first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    match random.random_range(0..6) {
        0 => return wire::join(first ^ 1 << random.random_range(0..8), body),
        1 => return wire::join(first & 0xF0 | random.random_range(0..16), body),
        2 => return wire::join(random.random(), body),
        3 => {
            // In more bytes than it needs.
            packet.push(first);
            wire::put_varint(&mut packet, body.len());
            let more = random.random_range(1..=4);
            for _ in 0..more {
                if let Some(last) = packet.last_mut() {
                    *last |= 0x80;
                }
                packet.push(0);
            }
        }
        4 => {
            packet.push(first);
            let wrong = *[-3, -1, 1, 3].choose(random).unwrap();
            wire::put_varint(&mut packet, body.len().saturating_add_signed(wrong));
        }
        _ => {
            packet.push(first);
            let size = *[127, 128, 16_383, 2_097_152, 268_435_455]
                .choose(random)
                .unwrap();
            wire::put_varint(&mut packet, size);
        }
    }
    packet.extend_from_slice(body);
    packet
}
