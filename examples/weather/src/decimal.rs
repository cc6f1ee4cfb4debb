//! Exact decimals: integers in units of 10⁻¹⁸, so that sums do not depend on the order of addition.
//!
//! 128 bits hold sums up to 1.7 × 10²⁰; a year of hourly pressures is below 10⁷.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use fabric::serde::de::{self, Visitor};
use fabric::{Deserialize, Serialize, serde};

/// Digits after the decimal point. The source has up to 16.
const DIGITS: u32 = 18;
const ONE: i128 = 10_i128.pow(DIGITS);
/// Rounding unit of a mean.
const MEAN_STEP: i128 = 10_i128.pow(DIGITS - 4);

/// An exact decimal number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i128);

impl Decimal {
    /// Returns the nearest `f64`.
    pub fn to_f64(self) -> f64 {
        // The standard library's conversion from text rounds correctly; a division of two rounded floats would not.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// Returns this number divided by `count`, rounded to four decimals, halves away from zero.
    pub fn mean(self, count: u64) -> f64 {
        let step = i128::from(count.max(1)) * MEAN_STEP;
        let half = if self.0 < 0 { -step / 2 } else { step / 2 };
        Self((self.0 + half) / step * MEAN_STEP).to_f64()
    }
}

impl AddAssign for Decimal {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl FromStr for Decimal {
    type Err = String;

    /// Parses numbers such as `-12.5` and `1e3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a decimal number of at most {DIGITS} decimals");
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| wrong())?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > 36 {
            return Err(wrong());
        }
        let mut value = 0_i128;
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0')).ok_or_else(wrong)?;
            value = value * 10 + digit;
        }
        let shift = DIGITS as i32 + exponent.clamp(-99, 99) - fraction.len() as i32;
        let scale = 10_i128.checked_pow(shift.unsigned_abs()).ok_or_else(wrong)?;
        let value = match shift {
            0.. => value.checked_mul(scale).ok_or_else(wrong)?,
            _ if value % scale == 0 => value / scale,
            _ => return Err(wrong()),
        };
        Ok(Self(if negative { -value } else { value }))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) =
            (self.0.unsigned_abs() / ONE.unsigned_abs(), self.0.unsigned_abs() % ONE.unsigned_abs());
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:018}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Text)
            .and_then(|reading| reading.0.ok_or_else(|| de::Error::custom("a number is missing")))
    }
}

/// A number, or `None` for `NA` or an empty field of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading(pub Option<Decimal>);

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Reading;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number or NA")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Reading, E> {
        match text.trim() {
            "" | "NA" => Ok(Reading(None)),
            text => text.parse().map(|number| Reading(Some(number))).map_err(E::custom),
        }
    }
}
