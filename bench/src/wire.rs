//! MQTT 3.1.1 as a load generator needs it: a few packets written, any packet told apart. By hand,
//! so that neither speed nor faults are shared with the broker's codec.

/// CONNECT with a keep-alive that never passes.
pub(crate) fn connect(out: &mut Vec<u8>, client: &str, clean: bool) {
    let flags = u8::from(clean) << 1;
    out.push(0x10);
    length(out, 10 + 2 + client.len());
    out.extend_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0xff, 0xff]);
    text(out, client);
}

/// SUBSCRIBE, packet id 1.
pub(crate) fn subscribe<F: AsRef<str>>(out: &mut Vec<u8>, filters: &[F], qos: u8) {
    out.push(0x82);
    let each = filters.iter().map(|filter| 2 + filter.as_ref().len() + 1);
    length(out, 2 + each.sum::<usize>());
    out.extend_from_slice(&[0, 1]);
    for filter in filters {
        text(out, filter.as_ref());
        out.push(qos);
    }
}

/// PUBLISH.
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, qos: u8, id: u16, payload: &[u8]) {
    out.push(0x30 | qos << 1);
    let with_id = if qos > 0 { 2 } else { 0 };
    length(out, 2 + topic.len() + with_id + payload.len());
    text(out, topic);
    if qos > 0 {
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP by its first byte.
pub(crate) fn ack(out: &mut Vec<u8>, first: u8, id: u16) {
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[first, 2, high, low]);
}

pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn length(out: &mut Vec<u8>, mut n: usize) {
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

/// What a broker sent.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    Connack { present: bool, code: u8 },
    Suback(u8),
    Publish { qos: u8, id: u16, payload: &'a [u8] },
    Ack { kind: u8, id: u16 },
    Other,
}

/// The first packet of `bytes` and its length; `None` while it is not whole.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Packet<'_>, usize)>> {
    let Some((head, body_len)) = fixed_header(bytes)? else {
        return Ok(None);
    };
    let Some(body) = bytes.get(head..head + body_len) else {
        return Ok(None);
    };
    let first = bytes.first().copied().unwrap_or_default();
    let u16_at = |at: usize| match body.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(anyhow::anyhow!("packet {first:#x} is too short")),
    };
    let byte_at = |at: usize| {
        body.get(at)
            .copied()
            .ok_or_else(|| anyhow::anyhow!("packet {first:#x} is too short"))
    };
    let packet = match first >> 4 {
        2 => Packet::Connack {
            present: byte_at(0)? != 0,
            code: byte_at(1)?,
        },
        3 => {
            let qos = first >> 1 & 3;
            let topic = 2 + usize::from(u16_at(0)?);
            let (id, at) = match qos {
                0 => (0, topic),
                _ => (u16_at(topic)?, topic + 2),
            };
            let payload = body.get(at..).unwrap_or_default();
            Packet::Publish { qos, id, payload }
        }
        4..=7 => Packet::Ack {
            kind: first,
            id: u16_at(0)?,
        },
        9 => Packet::Suback(byte_at(2)?),
        _ => Packet::Other,
    };
    Ok(Some((packet, head + body_len)))
}

/// Lengths of the fixed header and of what follows it.
fn fixed_header(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let mut value = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((at + 2, value)));
        }
    }
    anyhow::ensure!(
        bytes.len() < 5,
        "a remaining length of more than four bytes"
    );
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_of_any_length_is_found_again() {
        for (size, qos) in [(0, 0), (64, 1), (200, 2), (100_000, 1)] {
            let mut bytes = Vec::new();
            publish(&mut bytes, "a/b", qos, 7, &vec![9; size]);
            let (packet, length) = parse(&bytes).unwrap().unwrap();
            assert_eq!(length, bytes.len());
            let Packet::Publish {
                qos: q,
                id,
                payload,
            } = packet
            else {
                panic!("{packet:?}");
            };
            assert_eq!((q, payload.len()), (qos, size));
            assert_eq!(id, if qos > 0 { 7 } else { 0 });
            assert!(parse(&bytes[..bytes.len() - 1]).unwrap().is_none());
        }
    }
}
