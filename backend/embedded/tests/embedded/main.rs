//! The embedded backend: conformance, deaths, maintenance.

mod deaths;
mod maintenance;
mod suites;
