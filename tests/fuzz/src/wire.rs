//! What of the wire format a mutation has to know: where the length, the body and the properties of
//! a packet stand. Written apart from the codec under test.

use std::ops::Range;

/// The fixed header's first byte and the body of the packet at the head of `bytes`.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (len, used) = varint(rest)?;
    Some((first, rest.get(used..used + len)?))
}

/// The same of a packet that nothing follows.
#[must_use]
pub fn split(packet: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = packet.split_first()?;
    let (len, used) = varint(rest)?;
    let body = rest.get(used..)?;
    (body.len() == len).then_some((first, body))
}

/// A whole packet with the right Remaining Length.
#[must_use]
pub fn join(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    put_varint(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

/// A Variable Byte Integer at the head of `bytes`, and how many bytes it takes.
#[must_use]
pub fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Appends a Variable Byte Integer.
pub fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7F).unwrap();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Where in the body of a legal MQTT 5 packet the properties stand: of their length, and of
/// themselves.
#[must_use]
pub fn properties(first: u8, body: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    let short =
        |at: usize| Some(usize::from(*body.get(at)?) << 8 | usize::from(*body.get(at + 1)?));
    let start = match first >> 4 {
        1 => 10,
        2 | 8..=11 => 2,
        3 if first & 0x06 == 0 => 2 + short(0)?,
        3 => 4 + short(0)?,
        4..=7 => 3,
        14 | 15 => 1,
        _ => return None,
    };
    let (len, used) = varint(body.get(start..)?)?;
    let end = start + used + len;
    (end <= body.len()).then_some((start..start + used, start + used..end))
}

/// The Connect Flags of a CONNECT.
#[must_use]
pub fn connect_flags(packet: &[u8]) -> Option<u8> {
    let (first, body) = head(packet)?;
    if first != 0x10 {
        return None;
    }
    let name = usize::from(*body.first()?) << 8 | usize::from(*body.get(1)?);
    body.get(2 + name + 1).copied()
}

/// The single properties of a section, as ranges of it.
#[must_use]
pub fn items(section: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < section.len() {
        let Some(len) = item_len(&section[at..]) else {
            break;
        };
        found.push(at..at + len);
        at += len;
    }
    found
}

fn item_len(bytes: &[u8]) -> Option<usize> {
    let string = |at: usize| {
        let len = usize::from(*bytes.get(at)?) << 8 | usize::from(*bytes.get(at + 1)?);
        Some(2 + len)
    };
    let len = match bytes.first()? {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2A => 2,
        0x13 | 0x21..=0x23 => 3,
        0x02 | 0x11 | 0x18 | 0x27 => 5,
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => 1 + string(1)?,
        0x26 => {
            let name = string(1)?;
            1 + name + string(1 + name)?
        }
        0x0B => 1 + varint(&bytes[1..])?.1,
        _ => return None,
    };
    (len <= bytes.len()).then_some(len)
}

/// One property of every identifier, each with a legal value.
pub const EVERY_PROPERTY: [&[u8]; 27] = [
    b"\x01\x01",
    b"\x02\0\0\0\x05",
    b"\x03\0\x01t",
    b"\x08\0\x01r",
    b"\x09\0\x01\xFF",
    b"\x0B\x07",
    b"\x11\0\0\0\x09",
    b"\x12\0\x01i",
    b"\x13\0\x0A",
    b"\x15\0\x01m",
    b"\x16\0\x01\xFE",
    b"\x17\x01",
    b"\x18\0\0\0\x01",
    b"\x19\x01",
    b"\x1A\0\x01i",
    b"\x1C\0\x01s",
    b"\x1F\0\x01w",
    b"\x21\0\x05",
    b"\x22\0\x03",
    b"\x23\0\x02",
    b"\x24\x01",
    b"\x25\x01",
    b"\x26\0\x01k\0\x01v",
    b"\x27\0\0\x10\0",
    b"\x28\x01",
    b"\x29\x01",
    b"\x2A\x01",
];
