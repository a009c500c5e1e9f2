//! Writes the data types of section 1.5 and the fixed header.

use super::EncodeError;

/// The most that a Variable Byte Integer holds.
pub(crate) const VARINT_MAX: u32 = 268_435_455;

pub(crate) fn put_string(out: &mut Vec<u8>, value: &str) -> Result<(), EncodeError> {
    put_binary(out, value.as_bytes())
}

pub(crate) fn put_binary(out: &mut Vec<u8>, value: &[u8]) -> Result<(), EncodeError> {
    let len = u16::try_from(value.len()).map_err(|_| EncodeError::StringTooLong(value.len()))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// The bytes that a Variable Byte Integer takes.
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// A length as a Variable Byte Integer.
pub(crate) fn put_len(out: &mut Vec<u8>, len: usize) -> Result<(), EncodeError> {
    let too_large = EncodeError::PacketTooLarge(len);
    let value = u32::try_from(len).map_err(|_| too_large)?;
    put_varint(out, value).ok_or(too_large)
}

/// `None`, and nothing written, where the value is too large.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u32) -> Option<()> {
    if value > VARINT_MAX {
        return None;
    }
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7F);
            return Some(());
        }
        out.push(low | 0x80);
    }
}

/// Puts the length of `out` from `start` in front of it.
pub(crate) fn prefix_length(out: &mut Vec<u8>, start: usize) -> Result<(), EncodeError> {
    let len = out.len().saturating_sub(start);
    put_len(out, len)?;
    if let Some(tail) = out.get_mut(start..) {
        tail.rotate_right(varint_len(len));
    }
    Ok(())
}

/// A packet: its first byte, the Remaining Length and what `body` writes.
pub(crate) fn framed(
    out: &mut Vec<u8>,
    first: u8,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    out.push(first);
    let start = out.len();
    body(out)?;
    prefix_length(out, start)
}
