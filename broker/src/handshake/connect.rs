//! The CONNECT packet: whether it is whole, what it says, and whether its ClientId will do. No I/O.

use isthmus_mqtt::{Connect, DecodeError, Packet, PacketType, Version, decode, frame};

use super::Refusal;

/// Bytes of a CONNECT, were every field of it as long as it can be, short of User Properties.
const MAX_CONNECT: usize = 6 * 65_537 + 256;
/// Characters of an assigned ClientId.
const ASSIGNED: usize = 22;

/// The limits that a CONNECT is held to.
#[derive(Clone, Debug)]
pub(super) struct Checks {
    max_connect: usize,
    max_client_id: usize,
    in_characters: bool,
}

/// What is known of the first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Not even its size.
    Unknown,
    /// Its size and what is missing.
    Missing {
        /// Bytes still to come.
        bytes: usize,
        /// Bytes of the whole packet.
        of: usize,
    },
    /// All of it is there.
    Whole,
}

impl Checks {
    pub(super) fn new(limits: &isthmus_config::Limits) -> Self {
        let bytes = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            max_connect: bytes(limits.max_packet_size).min(MAX_CONNECT),
            max_client_id: bytes(limits.max_client_id_length),
            in_characters: limits.lengths_in_characters,
        }
    }

    /// Looks at the first packet as it comes in.
    pub(super) fn head(&self, received: &[u8]) -> Result<Head, Refusal> {
        let Some(&first) = received.first() else {
            return Ok(Head::Unknown);
        };
        if PacketType::from_first_byte(first) != Some(PacketType::Connect) {
            return Err(Refusal::NotConnect(first));
        }
        if frame(received, self.max_connect)?.is_some() {
            return Ok(Head::Whole);
        }
        Ok(
            declared_size(received).map_or(Head::Unknown, |of| Head::Missing {
                bytes: of.saturating_sub(received.len()),
                of,
            }),
        )
    }

    /// Decodes a CONNECT that is whole.
    pub(super) fn decode<'a>(&self, received: &'a [u8]) -> Result<Connect<'a>, Refusal> {
        let frame = frame(received, self.max_connect)?.ok_or(DecodeError::Truncated)?;
        // The version that is passed counts for other packets only.
        match decode(frame, Version::V311)? {
            Packet::Connect(connect) => Ok(connect),
            _ => Err(Refusal::NotConnect(frame.first)),
        }
    }

    /// The ClientId, assigned if need be (and then true), of a CONNECT without enhanced
    /// authentication.
    pub(super) fn client_id(&self, connect: &Connect<'_>) -> Result<(String, bool), Refusal> {
        if connect.authentication_method.is_some() {
            return Err(Refusal::AuthenticationMethod);
        }
        let id = connect.client_id;
        if id.is_empty() {
            return match connect.version {
                Version::V31 => Err(Refusal::ClientIdEmpty),
                Version::V311 if !connect.clean_start => Err(Refusal::ClientIdEmpty),
                Version::V311 | Version::V5 => Ok((assign()?, true)),
            };
        }
        let length = if self.in_characters {
            id.chars().count()
        } else {
            id.len()
        };
        if length > self.max_client_id {
            let unit = if self.in_characters {
                "characters"
            } else {
                "bytes"
            };
            return Err(Refusal::ClientIdTooLong {
                length,
                maximum: self.max_client_id,
                unit,
            });
        }
        Ok((id.to_owned(), false))
    }
}

/// The size of a packet whose Remaining Length is complete.
fn declared_size(received: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    let lengths = received.iter().skip(1).take(4);
    for (position, (&byte, shift)) in lengths.zip([0, 7, 14, 21]).enumerate() {
        remaining |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(position + 2 + remaining);
        }
    }
    None
}

/// The protocol level that a CONNECT names, of however little of it there is.
pub(super) fn protocol_level(received: &[u8]) -> Option<u8> {
    let lengths = received.get(1..)?;
    let header = lengths.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let body = lengths.get(header..)?;
    let (length, rest) = body.split_first_chunk::<2>()?;
    let name = usize::from(u16::from_be_bytes(*length));
    match rest.get(..name)? {
        b"MQTT" | b"MQIsdp" => rest.get(name).copied(),
        _ => None,
    }
}

/// 22 letters and digits, 131 bits.
fn assign() -> Result<String, Refusal> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = String::with_capacity(ASSIGNED);
    let mut random = [0; 32];
    while id.len() < ASSIGNED {
        getrandom::fill(&mut random).map_err(std::io::Error::from)?;
        // 248 is a multiple of 62: what is above would favour some letters.
        let letters = random.iter().filter(|&&byte| byte < 248);
        let letters = letters.filter_map(|&byte| ALPHABET.get(usize::from(byte) % ALPHABET.len()));
        id.extend(
            letters
                .map(|&letter| char::from(letter))
                .take(ASSIGNED - id.len()),
        );
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(max_client_id: usize, in_characters: bool) -> Checks {
        Checks {
            max_connect: 200,
            max_client_id,
            in_characters,
        }
    }

    fn connect(version: u8, clean: bool, id: &str) -> Vec<u8> {
        let mut body = match version {
            3 => b"\0\x06MQIsdp\x03".to_vec(),
            4 => b"\0\x04MQTT\x04".to_vec(),
            _ => vec![0, 4, b'M', b'Q', b'T', b'T', version],
        };
        body.extend([u8::from(clean) << 1, 0, 60]);
        body.extend((version == 5).then_some(0));
        body.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
        body.extend(id.as_bytes());
        let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
        packet.extend(body);
        packet
    }

    fn id_of(checks: &Checks, packet: &[u8]) -> Result<(String, bool), Refusal> {
        checks.client_id(&checks.decode(packet).unwrap())
    }

    #[test]
    fn the_head_is_known_as_soon_as_its_length_is() {
        let checks = checks(64, false);
        let packet = connect(4, true, "device");
        let of = packet.len();
        assert_eq!(checks.head(&[]).unwrap(), Head::Unknown);
        assert_eq!(checks.head(&packet[..1]).unwrap(), Head::Unknown);
        for read in 2..of {
            let missing = Head::Missing {
                bytes: of - read,
                of,
            };
            assert_eq!(checks.head(&packet[..read]).unwrap(), missing);
        }
        assert_eq!(
            checks.head(&[&packet[..], &[0xC0, 0]].concat()).unwrap(),
            Head::Whole
        );
        assert!(matches!(
            checks.head(b"GET /"),
            Err(Refusal::NotConnect(b'G'))
        ));
        let large = checks.head(&[0x10, 0xFF, 0x7F]);
        assert!(matches!(
            large,
            Err(Refusal::Malformed(DecodeError::PacketTooLarge { .. }))
        ));
    }

    #[test]
    fn client_ids_are_counted_in_bytes_or_characters() {
        let four = "北京市区";
        assert_eq!(
            id_of(&checks(12, false), &connect(4, false, four))
                .unwrap()
                .0,
            four
        );
        assert_eq!(
            id_of(&checks(4, true), &connect(4, false, four)).unwrap().0,
            four
        );
        let long = id_of(&checks(11, false), &connect(5, true, four)).unwrap_err();
        assert_eq!(
            long.to_string(),
            "ClientId of 12 bytes, at most 11 are allowed"
        );
        let long = id_of(&checks(3, true), &connect(5, true, four)).unwrap_err();
        assert_eq!(
            long.to_string(),
            "ClientId of 4 characters, at most 3 are allowed"
        );
    }

    /// [MQTT-3.1.3-8] of MQTT 3.1.1, MQTT 3.1 section 3.1, MQTT 5 section 3.1.3.1
    #[test]
    fn empty_client_ids_are_assigned_where_the_version_lets() {
        let checks = checks(64, false);
        for (version, clean) in [(3, true), (3, false), (4, false)] {
            let refused = id_of(&checks, &connect(version, clean, ""));
            assert!(
                matches!(refused, Err(Refusal::ClientIdEmpty)),
                "{version} {clean}"
            );
        }
        for (version, clean) in [(4, true), (5, true), (5, false)] {
            let (id, assigned) = id_of(&checks, &connect(version, clean, "")).unwrap();
            assert!(assigned && id.len() == 22, "{id}");
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
            assert_ne!(id, id_of(&checks, &connect(version, clean, "")).unwrap().0);
        }
    }

    #[test]
    fn the_level_is_read_from_what_there_is() {
        let packet = connect(5, true, "device");
        assert_eq!(protocol_level(&packet), Some(5));
        assert_eq!(protocol_level(&packet[..9]), Some(5));
        assert_eq!(protocol_level(&packet[..8]), None);
        assert_eq!(
            protocol_level(&[0x10, 0xFF, 0xFF, 0x7F, 0, 4, b'M', b'Q', b'T', b'T', 4]),
            Some(4)
        );
        assert_eq!(protocol_level(b"\x10\x0c\0\x04HTTP\x05"), None);
        assert_eq!(protocol_level(&[]), None);
    }
}
