//! Prices of fuel and device time, in one currency.

use serde::{Deserialize, Serialize};

/// Units of fuel to which [`Prices::fuel`] applies.
pub const FUEL_UNIT: u64 = 1_000_000_000;

/// The prices of guests' work. They are only shown next to the usage; nothing is charged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prices {
    /// Currency for display, such as `EUR`; 1 to 16 characters.
    pub currency: String,
    /// Price of 1,000,000,000 units of fuel. Default 0.
    pub fuel: f64,
    /// Price of one second of GPU device time. Default 0.
    pub gpu: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Self { currency: "EUR".to_owned(), fuel: 0.0, gpu: 0.0 }
    }
}

impl Prices {
    /// Returns the price of an amount of fuel and device time (in microseconds).
    #[must_use]
    pub fn of(&self, fuel: u64, gpu_us: u64) -> f64 {
        self.fuel * (fuel as f64 / FUEL_UNIT as f64) + self.gpu * (gpu_us as f64 / 1e6)
    }

    /// Checks the constraints that the types do not express.
    ///
    /// # Errors
    /// The invalid key, with its valid values.
    pub fn check(&self) -> Result<(), String> {
        for (key, price) in [("fuel", self.fuel), ("gpu", self.gpu)] {
            if !price.is_finite() || !(0.0..=1e9).contains(&price) {
                return Err(format!("prices.{key} is {price}: use 0 to 1000000000"));
            }
        }
        let length = self.currency.chars().count();
        if !(1..=16).contains(&length) || self.currency.chars().any(char::is_control) {
            return Err("prices.currency must have 1 to 16 characters, such as EUR".to_owned());
        }
        Ok(())
    }
}

/// Formats an amount with its currency: two decimals, or more for small amounts, so that two significant digits show.
#[must_use]
pub fn text(amount: f64, currency: &str) -> String {
    let decimals = if amount > 0.0 { (1.0 - amount.log10().floor()).clamp(2.0, 9.0) as usize } else { 2 };
    format!("{amount:.decimals$} {currency}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_follow_the_prices() {
        let prices = Prices { fuel: 0.02, gpu: 0.5, ..Prices::default() };
        assert!((prices.of(5_000_000_000, 2_000_000) - 1.1).abs() < 1e-9);
        for (amount, shown) in [(0.0, "0.00 EUR"), (1.1, "1.10 EUR"), (123.456, "123.46 EUR"), (0.00234, "0.0023 EUR")]
        {
            assert_eq!(text(amount, &prices.currency), shown);
        }
    }

    #[test]
    fn prices_that_are_none_are_refused() {
        for (prices, key) in [
            (Prices { fuel: -1.0, ..Prices::default() }, "prices.fuel"),
            (Prices { fuel: f64::NAN, ..Prices::default() }, "prices.fuel"),
            (Prices { gpu: f64::INFINITY, ..Prices::default() }, "prices.gpu"),
            (Prices { currency: String::new(), ..Prices::default() }, "prices.currency"),
            (Prices { currency: "E\n".to_owned(), ..Prices::default() }, "prices.currency"),
        ] {
            assert!(prices.check().is_err_and(|problem| problem.starts_with(key)), "{key}");
        }
        assert_eq!(Prices::default().check(), Ok(()));
    }
}
