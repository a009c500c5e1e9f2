//! What a payload carries: when it was due to be sent, by which publisher, and its number; in
//! hexadecimal, for payloads are text.

/// Bytes of it: time, publisher, number.
pub(super) const HEADER: usize = 16 + 8 + 8;

/// Puts it in front of a payload.
pub(super) fn write(payload: &mut [u8], due: u64, publisher: u32, number: u32) {
    let numbers = u128::from(due) << 64 | u128::from(publisher) << 32 | u128::from(number);
    let digits = (0..HEADER)
        .rev()
        .map(|place| (numbers >> (4 * place)) as u8 & 15);
    for (to, digit) in payload.iter_mut().zip(digits) {
        *to = digit + if digit < 10 { b'0' } else { b'a' - 10 };
    }
}

/// Reads it; `None`: not one of ours.
pub(super) fn read(payload: &[u8]) -> Option<(u64, usize, u32)> {
    let mut numbers = 0_u128;
    for byte in payload.get(..HEADER)? {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        numbers = numbers << 4 | u128::from(digit);
    }
    let publisher = usize::try_from(numbers >> 32 & 0xffff_ffff).ok()?;
    Some(((numbers >> 64) as u64, publisher, numbers as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_payload_carries_is_read_again() {
        let mut payload = vec![b'x'; 64];
        write(&mut payload, u64::MAX - 5, 70_000, 3_000_000_000);
        assert!(payload.is_ascii());
        assert_eq!(read(&payload), Some((u64::MAX - 5, 70_000, 3_000_000_000)));
        assert_eq!(read(&payload[..HEADER - 1]), None);
    }
}
