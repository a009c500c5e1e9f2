//! Kafka's own key hash, by which clients choose partitions and Isthmus chooses slots.

/// The slot of a clientId: `murmur2(clientId) mod slots`, as the Java client's default
/// partitioner maps a key to a partition (`Utils.toPositive(Utils.murmur2(key)) % n`).
#[must_use]
pub fn slot(client_id: &str, slots: u16) -> u16 {
    slot_of(murmur2(client_id.as_bytes()), slots)
}

/// The slot of a hash.
#[must_use]
pub fn slot_of(hash: u32, slots: u16) -> u16 {
    let positive = hash & 0x7fff_ffff;
    u16::try_from(positive % u32::from(slots.max(1))).unwrap_or(0)
}

/// MurmurHash2, 32 bits, with Kafka's seed.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut h = 0x9747_b28c ^ length;
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let mut k = word
            .iter()
            .rev()
            .fold(0, |k, byte| (k << 8) | u32::from(*byte));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        h ^= rest
            .iter()
            .rev()
            .fold(0, |k, byte| (k << 8) | u32::from(*byte));
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of Apache Kafka's `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_kafkas() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }
}
