//! Durations (`2h`, `90s`, `1h30m`) and sizes (`64Mi`) as the resources write them.
//!
//! They keep the text as written, so that an object survives a round trip unchanged; reading
//! them is part of validation. The patterns in the schema accept exactly what `read` accepts.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A span of time as written, `1h30m`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub String);

impl Duration {
    /// Whole seconds.
    ///
    /// # Errors
    /// The text, with the form that is expected.
    pub fn seconds(&self) -> Result<u64, String> {
        seconds(&self.0)
            .ok_or_else(|| format!("{:?} is not a duration: write 2h, 90s or 1h30m", self.0))
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Hours, minutes and seconds in this order, each at most once, at least one.
fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            total = total.checked_add(digits(number)?.checked_mul(factor)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

const DURATION_PATTERN: &str = "^([0-9]+h([0-9]+m)?([0-9]+s)?|[0-9]+m([0-9]+s)?|[0-9]+s)$";

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 16, "pattern": DURATION_PATTERN})
    }
}

/// How long records are kept: a duration or `unlimited`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Retention(pub String);

impl Retention {
    /// Kafka's `retention.ms`: -1 for `unlimited`.
    ///
    /// # Errors
    /// The text, with the forms that are expected.
    pub fn millis(&self) -> Result<i64, String> {
        if self.0 == "unlimited" {
            return Ok(-1);
        }
        seconds(&self.0)
            .and_then(|s| i64::try_from(s).ok()?.checked_mul(1000))
            .ok_or_else(|| {
                format!(
                    "{:?} is not a retention: write 168h, 90s or unlimited",
                    self.0
                )
            })
    }
}

impl JsonSchema for Retention {
    fn schema_name() -> Cow<'static, str> {
        "Retention".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let inner = DURATION_PATTERN
            .trim_start_matches("^(")
            .trim_end_matches(")$");
        json_schema!({"type": "string", "maxLength": 16, "pattern": format!("^(unlimited|{inner})$")})
    }
}

/// A number of bytes as written: `64Mi`, `1500`, `"2M"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ByteSize {
    /// A plain number.
    Bytes(u64),
    /// A number with a suffix.
    Text(String),
}

impl ByteSize {
    /// The bytes.
    ///
    /// # Errors
    /// The text, with the form that is expected.
    pub fn bytes(&self) -> Result<u64, String> {
        match self {
            Self::Bytes(bytes) => Ok(*bytes),
            Self::Text(text) => bytes(text)
                .ok_or_else(|| format!("{text:?} is not a size: write 64Mi, 2M or plain bytes")),
        }
    }
}

impl From<&str> for ByteSize {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

const SUFFIXES: [(&str, u64); 6] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("k", 1000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
];

fn bytes(text: &str) -> Option<u64> {
    let suffixed = SUFFIXES
        .iter()
        .find_map(|(s, f)| Some((text.strip_suffix(s)?, *f)));
    let (number, factor) = suffixed.unwrap_or((text, 1));
    digits(number)?.checked_mul(factor)
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 20,
            "minimum": 0,
            "pattern": "^[0-9]+(Ki|Mi|Gi|k|M|G)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("2h", 7200),
            ("90s", 90),
            ("1h30m", 5400),
            ("1h0m1s", 3601),
            ("5m", 300),
            ("0s", 0),
        ] {
            assert_eq!(Duration::from(text).seconds(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "2",
            "h",
            "-2h",
            "2d",
            "1m2h",
            "1h1h",
            "2h ",
            "1.5h",
            "9999999999999999h",
        ] {
            let error = Duration::from(text).seconds().unwrap_err();
            assert_eq!(
                error,
                format!("{text:?} is not a duration: write 2h, 90s or 1h30m")
            );
        }
    }

    #[test]
    fn retention_is_a_duration_or_unlimited() {
        assert_eq!(Retention("168h".into()).millis(), Ok(604_800_000));
        assert_eq!(Retention("unlimited".into()).millis(), Ok(-1));
        assert!(
            Retention("forever".into())
                .millis()
                .unwrap_err()
                .contains("unlimited")
        );
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("64Mi", 64 << 20),
            ("1500", 1500),
            ("2M", 2_000_000),
            ("1Ki", 1024),
        ] {
            assert_eq!(ByteSize::from(text).bytes(), Ok(expected), "{text}");
        }
        for text in ["", "Mi", "64MiB", "-1", "1.5Gi", "64 Mi", "99999999999Gi"] {
            let error = ByteSize::from(text).bytes().unwrap_err();
            assert!(
                error.starts_with(&format!("{text:?} is not a size")),
                "{error}"
            );
        }
    }
}
