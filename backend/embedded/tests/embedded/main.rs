//! The embedded backend: conformance, deaths, upkeep.

mod deaths;
mod suites;
mod upkeep;
