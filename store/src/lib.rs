//! The objects of tenants: where they are kept, how data sets are planned into partitions, and how partitions are read.
//!
//! [`Store`] opens a local directory, memory or an S3 bucket and gives each tenant its spaces: [`Objects`] (what users
//! put), [`Results`] (what tasks commit, by task key) and [`Modules`] (uploaded WebAssembly, by digest). A tenant's
//! handle can't name anything of another tenant. [`plan`](plan::plan) turns an input spec into partitions, and
//! [`PartitionReader`] hands one to a guest in chunks.
//!
//! Everything read from a store is hostile: sizes, names and footers are checked, buffers are bounded. This crate
//! knows nothing of jobs, guests or HTTP.

pub mod account;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod error;
mod input;
mod listing;
mod local;
mod location;
mod objects;
mod over_quota;
mod parquet_file;
pub mod plan;
mod reader;
mod sizes;
mod spaces;
mod staging;
mod store;

pub use account::{AccountOptions, Accounts, DiskFloor, Reservation};
pub use error::Error;
pub use fabric_types::object_path::{ObjectPath, ObjectPrefix};
pub use objects::{Conditions, ListPage, ObjectBody, Objects, PutOptions, Range};
pub use over_quota::OverQuota;
pub use plan::{Plan, PlanOptions, plan};
pub use reader::{PartitionReader, open};
pub use spaces::{Commit, Modules, Results, SweepMode, Swept};
pub use store::{Durability, Store, StoreOptions};
