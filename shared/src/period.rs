//! Lengths of time as people write them: `90s`, `30m`, `1h`, `3d`.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::names::BadName;

/// The longest period that can be asked for, in seconds (a year).
pub const MAX_PERIOD_SECONDS: i64 = 365 * 24 * 60 * 60;

/// A whole number of seconds, minutes, hours or days; never zero. Keeps the words in which it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    text: String,
    seconds: i64,
}

impl Period {
    /// Its length in seconds.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Its length as a duration.
    pub fn duration(&self) -> SignedDuration {
        SignedDuration::from_secs(self.seconds)
    }
}

impl FromStr for Period {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || {
            BadName(
                "a duration is a whole number without leading zeros and one of s, m, h, d, such as 90s or 3d"
                    .to_owned(),
            )
        };
        let unit = match text.chars().last().ok_or_else(bad)? {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return Err(bad()),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let seconds = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(unit)).filter(|s| *s <= MAX_PERIOD_SECONDS);
        let seconds = seconds.ok_or_else(|| BadName("a duration is a year (365d) at most".to_owned()))?;
        Ok(Self { text: text.to_owned(), seconds })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Period {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_what_the_configuration_says() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("30m", 1_800), ("72h", 259_200), ("365d", 31_536_000)] {
            assert_eq!(text.parse::<Period>().unwrap().seconds(), seconds);
        }
        for bad in [
            "",
            "s",
            "0s",
            "01h",
            "1",
            "1w",
            "-1s",
            "1.5h",
            "1h30m",
            " 1h",
            "366d",
            "99999999999999999999d",
            "１h",
            "1ｈ",
        ] {
            assert!(bad.parse::<Period>().is_err(), "{bad:?}");
        }
    }
}
