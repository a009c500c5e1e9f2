//! Every difference between the two codecs that is known, with the section of the specification
//! that it comes from. What fits none of them fails the run.
//!
//! A class holds only when the input shows it: our fault by itself explains nothing. Statements and
//! sections are those of MQTT 5 unless said otherwise.

use isthmus_mqtt::DecodeError as Fault;
use isthmus_mqtt::Version::{V5, V31, V311};
use isthmus_mqtt::{MessageProperties, Packet, ReasonCode};

use crate::compare::{Answer, Case};
use crate::wire;

/// Who takes what the other refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They accept what we refuse.
    TheyAccept,
    /// We accept what they refuse.
    WeAccept,
    /// Both accept, and read something else.
    Differ,
    /// We refuse at once, they when the packet is whole.
    WeRefuseFirst,
}

/// A known difference.
#[derive(Debug)]
pub struct Class {
    /// Who.
    pub kind: Kind,
    /// What the packet has.
    pub what: &'static str,
    /// Where the specification says so.
    pub section: &'static str,
    holds: fn(&Case<'_>) -> bool,
}

impl Class {
    /// Whether a case shows this difference.
    #[must_use]
    pub fn holds(&self, case: &Case<'_>) -> bool {
        let kind = match (&case.ours, &case.theirs) {
            (Answer::Refused(_), Answer::Accepted(..)) => Kind::TheyAccept,
            (Answer::Accepted(..), Answer::Refused(_)) => Kind::WeAccept,
            (Answer::Accepted(..), Answer::Accepted(..)) => Kind::Differ,
            (Answer::Refused(_), Answer::Incomplete) => Kind::WeRefuseFirst,
            _ => return false,
        };
        kind == self.kind && (self.holds)(case)
    }
}

/// All of them.
pub const CLASSES: &[Class] = &[
    they("PUBLISH with DUP and QoS 0", "[MQTT-3.3.1-2]", |case| {
        case.is(Fault::DupWithQos0) && case.bytes[0] & 0x0E == 0x08
    }),
    they(
        "U+0000 in a string",
        "[MQTT-1.5.4-2]; 3.1.1: [MQTT-1.5.3-2]",
        |case| {
            let Answer::Accepted(theirs, _) = &case.theirs else {
                return false;
            };
            case.is(Fault::NullCharacter) && theirs.has_null()
        },
    ),
    they("wildcard in a Topic Name", "[MQTT-3.3.2-2]", |case| {
        case.is(Fault::TopicName)
            && case.they(|packet| matches!(packet, Packet::Publish(found) if wild(found.topic)))
    }),
    they(
        "empty Topic Name without Topic Alias",
        "3.3.2.1, [MQTT-4.7.3-1]",
        |case| {
            case.is(Fault::EmptyTopic)
                && case.they(|packet| {
                    matches!(packet, Packet::Publish(found)
                        if found.topic.is_empty() && found.topic_alias.is_none())
                })
        },
    ),
    they(
        "Will Topic that is empty or has a wildcard",
        "3.1.3.3, [MQTT-3.3.2-2], [MQTT-4.7.3-1]",
        |case| {
            case.is(Fault::WillTopic)
                && case.they(|packet| {
                    matches!(packet, Packet::Connect(connect) if connect.will.as_ref()
                        .is_some_and(|will| will.topic.is_empty() || wild(will.topic)))
                })
        },
    ),
    they(
        "Response Topic that is empty or has a wildcard",
        "[MQTT-3.3.2-14], [MQTT-4.7.3-1]",
        |case| {
            case.is(Fault::ResponseTopic)
                && case.they(|packet| {
                    message(packet)
                        .and_then(|message| message.response_topic)
                        .is_some_and(|topic| topic.is_empty() || wild(topic))
                })
        },
    ),
    they(
        "bytes after the last field",
        "2.1.4; for packets without payload 3.2.3, 3.12 to 3.14",
        |case| case.is(Fault::TrailingBytes) && case.same_without_last_byte(),
    ),
    they(
        "Variable Byte Integer in more bytes than it needs",
        "[MQTT-1.5.5-1]",
        |case| {
            let longer = |pair: &[u8]| pair[0] >= 0x80 && pair[1] == 0;
            case.is(Fault::NonMinimalInteger) && case.bytes.windows(2).any(longer)
        },
    ),
    they(
        "Will QoS or Will Retain without Will Flag",
        "[MQTT-3.1.2-11], [MQTT-3.1.2-13]",
        |case| {
            let flags = wire::connect_flags(case.bytes);
            case.is(Fault::WillFlags)
                && flags.is_some_and(|flags| flags & 0x04 == 0 && flags & 0x38 != 0)
        },
    ),
    they(
        "Password without User Name before MQTT 5",
        "3.1.1: [MQTT-3.1.2-22]; 3.1: 3.1, User name and password flags",
        |case| {
            case.is(Fault::PasswordWithoutUserName)
                && case.they(|packet| {
                    matches!(packet, Packet::Connect(connect) if connect.version != V5
                        && connect.username.is_none() && connect.password.is_some())
                })
        },
    ),
    they(
        "protocol name of one version, level of another",
        "3.1.2.1, 3.1.2.2; 3.1.1: [MQTT-3.1.2-1], [MQTT-3.1.2-2]",
        |case| {
            let (_, body) = wire::head(case.bytes).unwrap_or_default();
            let mixed =
                body.starts_with(b"\0\x04MQTT\x03") || body.starts_with(b"\0\x06MQIsdp\x04");
            matches!(case.fault(), Some(Fault::UnsupportedProtocolVersion(_))) && mixed
        },
    ),
    they("Maximum QoS 2 in CONNACK", "3.2.2.3.4", |case| {
        case.is(Fault::PropertyValue(0x24)) && case.bytes.windows(2).any(|pair| pair == [0x24, 2])
    }),
    they("Maximum Packet Size 0 in CONNACK", "3.2.2.3.6", |case| {
        case.is(Fault::PropertyValue(0x27))
            && case.they(|packet| {
                matches!(packet, Packet::ConnAck(found) if found.maximum_packet_size == Some(0))
            })
    }),
    they(
        "Session Present with a refusal",
        "[MQTT-3.2.2-6]; 3.1.1: [MQTT-3.2.2-4]",
        |case| {
            case.is(Fault::SessionPresentWithRefusal)
                && case.they(|packet| {
                    matches!(packet, Packet::ConnAck(found)
                        if found.session_present && found.reason != ReasonCode::SUCCESS)
                })
        },
    ),
    they(
        "CONNACK return code 6, which is reserved",
        "3.1.1: 3.2.2.3, table 3.1; 3.1: 3.2",
        |case| {
            case.version != V5
                && case.is(Fault::ReasonCode(ReasonCode(6)))
                && case.they(|packet| matches!(packet, Packet::ConnAck(_)))
        },
    ),
    they(
        "Authentication Data without Authentication Method",
        "3.1.2.11.10, 3.2.2.3.18",
        |case| {
            case.is(Fault::AuthenticationDataWithoutMethod)
                && case.they(|packet| match packet {
                    Packet::Connect(found) => {
                        found.authentication_method.is_none() && found.authentication_data.is_some()
                    }
                    Packet::ConnAck(found) => {
                        found.authentication_method.is_none() && found.authentication_data.is_some()
                    }
                    _ => false,
                })
        },
    ),
    they("AUTH without Authentication Method", "3.15.2.2.2", |case| {
        case.is(Fault::AuthenticationMethodMissing)
            && case.they(|packet| {
                matches!(packet, Packet::Auth(found) if found.authentication_method.is_none())
            })
    }),
    they(
        "AUTH with a Reason Code and no Property Length",
        "3.15.2.1: only both can be omitted",
        |case| {
            case.is(Fault::Truncated)
                && case.bytes[0] == 0xF0
                && wire::head(case.bytes).is_some_and(|(_, body)| body.len() == 1)
        },
    ),
    they(
        "SUBACK or UNSUBACK without a Reason Code",
        "3.9.3, 3.11.3: one for each filter, of which there is one [MQTT-3.8.3-2], [MQTT-3.10.3-2]",
        |case| {
            case.is(Fault::NoReasonCodes)
                && case.they(|packet| {
                    matches!(packet, Packet::SubAck(found) | Packet::UnsubAck(found)
                        if found.reasons.is_empty())
                })
        },
    ),
    they(
        "reserved bits in the requested QoS",
        "3.1.1: [MQTT-3-8.3-4]",
        |case| {
            case.version == V311
                && case.is(Fault::SubscriptionOptionsReserved)
                && case.they(|packet| matches!(packet, Packet::Subscribe(_)))
        },
    ),
    we(
        "empty ClientId that is to be kept",
        "[MQTT-3.1.3-6], [MQTT-3.1.3-7]; 3.1.1: [MQTT-3.1.3-8], answered with CONNACK 0x02",
        |case| {
            case.we(|packet| {
                matches!(packet, Packet::Connect(connect)
                    if connect.client_id.is_empty() && !connect.clean_start)
            })
        },
    ),
    we(
        "Message Expiry Interval 0",
        "3.3.2.3.3, 3.1.3.2.4: any four byte integer",
        |case| case.we(|packet| message(packet).is_some_and(|found| found.expiry == Some(0))),
    ),
    we(
        "bridge bit in the protocol level",
        "not in it: bridges of mosquitto set 0x80; 3.1.1: [MQTT-3.1.2-2] leaves other levels to the server",
        |case| case.we(|packet| matches!(packet, Packet::Connect(connect) if connect.bridge)),
    ),
    we(
        "DUP in PUBREL, SUBSCRIBE or UNSUBSCRIBE of 3.1",
        "3.1: 2.1, 3.6, 3.8, 3.10",
        |case| {
            let flags = case.bytes[0] & 0x0F;
            case.version == V31 && flags == 0x0A && matches!(case.bytes[0] >> 4, 6 | 8 | 10)
        },
    ),
    we(
        "unused bits of the Connect Flags in 3.1",
        "3.1: 3.1, Connect flags: bit 0 is not used, Will QoS and Will Retain are disregarded without Will",
        |case| {
            let flags = wire::connect_flags(case.bytes).unwrap_or_default();
            case.spoken() == V31 && (flags & 0x01 != 0 || flags & 0x04 == 0 && flags & 0x38 != 0)
        },
    ),
    we(
        "User Name or Password flag without the string in 3.1",
        "3.1: 3.1, User name and password: the Remaining Length has precedence",
        |case| {
            let flags = wire::connect_flags(case.bytes).unwrap_or_default();
            case.spoken() == V31
                && case.we(|packet| {
                    matches!(packet, Packet::Connect(connect)
                        if flags & 0x80 != 0 && connect.username.is_none()
                            || flags & 0x40 != 0 && connect.password.is_none())
                })
        },
    ),
    we(
        "first byte of CONNACK in 3.1",
        "3.1: 3.2, reserved values, not used",
        |case| {
            case.version == V31
                && case.bytes[0] == 0x20
                && wire::head(case.bytes).is_some_and(|(_, body)| body[0] > 1)
        },
    ),
    we(
        "empty Topic Filter before MQTT 5",
        "3.1.1: [MQTT-4.7.3-1]; the broker refuses that filter alone, [MQTT-3.8.4-5]",
        |case| {
            case.version != V5
                && case.we(|packet| match packet {
                    Packet::Subscribe(found) => {
                        found.filters.iter().any(|filter| filter.filter.is_empty())
                    }
                    Packet::Unsubscribe(found) => {
                        found.filters.iter().any(|filter| filter.is_empty())
                    }
                    _ => false,
                })
        },
    ),
    Class {
        kind: Kind::Differ,
        what: "Session Present in 3.1",
        section: "3.1: 3.2, the byte is reserved and not used",
        holds: |case| {
            case.version == V31
                && case.bytes[0] == 0x20
                && case.they(
                    |packet| matches!(packet, Packet::ConnAck(found) if found.session_present),
                )
        },
    },
    Class {
        kind: Kind::WeRefuseFirst,
        what: "illegal type or flags in the first byte",
        section: "2.1.2, [MQTT-2.1.3-1], [MQTT-3.3.1-2], [MQTT-3.3.1-4]",
        holds: |case| {
            matches!(
                case.fault(),
                Some(
                    Fault::ReservedPacketType(_)
                        | Fault::FixedHeaderFlags(_)
                        | Fault::PublishQos
                        | Fault::DupWithQos0
                )
            )
        },
    },
    Class {
        kind: Kind::WeRefuseFirst,
        what: "packet above the limit by its fixed header",
        section: "3.1.2.11.4, 2.1.4: the size is that of the whole packet",
        holds: |case| {
            matches!(case.fault(), Some(Fault::PacketTooLarge { size, maximum })
                if size <= maximum + 5)
        },
    },
];

const fn they(what: &'static str, section: &'static str, holds: fn(&Case<'_>) -> bool) -> Class {
    let kind = Kind::TheyAccept;
    Class {
        kind,
        what,
        section,
        holds,
    }
}

const fn we(what: &'static str, section: &'static str, holds: fn(&Case<'_>) -> bool) -> Class {
    let kind = Kind::WeAccept;
    Class {
        kind,
        what,
        section,
        holds,
    }
}

fn wild(topic: &str) -> bool {
    topic.contains(['+', '#'])
}

/// The properties of a message or a will.
fn message<'p, 'a>(packet: &'p Packet<'a>) -> Option<&'p MessageProperties<'a>> {
    match packet {
        Packet::Publish(publish) => Some(&publish.properties),
        Packet::Connect(connect) => connect.will.as_ref().map(|will| &will.properties),
        _ => None,
    }
}
