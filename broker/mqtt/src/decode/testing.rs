//! Shorthand for the decoders' tests.

use super::{DecodeError, decode, frame};
use crate::packet::{Packet, Version};

/// Bytes of a hex dump; blanks are for the reader.
pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16).expect("a hex digit")).unwrap())
        .collect();
    assert_eq!(digits.len() % 2, 0, "half a byte in {hex}");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Bytes and packet say the same: the bytes decode to the packet, which encodes to the bytes.
pub(crate) fn assert_same(version: Version, hex: &str, packet: &Packet<'_>) {
    let bytes = unhex(hex);
    assert_eq!(decoded(version, &bytes).as_ref(), Ok(packet), "{hex}");
    let mut encoded = Vec::new();
    crate::encode::encode(packet, version, &mut encoded).unwrap();
    assert_eq!(encoded, bytes, "{packet:?}");
}

/// What these bytes, which are one packet, say.
pub(crate) fn decoded(version: Version, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let frame = frame(bytes, usize::MAX)?.expect("a whole packet");
    assert_eq!(frame.len, bytes.len());
    decode(frame, version)
}
