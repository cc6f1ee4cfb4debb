//! The objects of tenants: storage, planning of data sets into partitions, and reading of partitions.
//!
//! [`Store`] opens a local directory, memory or an S3 bucket and gives each tenant its spaces: [`Objects`] (written by
//! users), [`ResultSpace`] (committed by tasks, by task key) and [`Modules`] (uploaded WebAssembly, by digest). A
//! tenant's handle cannot name data of another tenant. [`plan`](plan::plan) turns an input spec into partitions, and
//! [`PartitionReader`] passes one to a guest in chunks.
//!
//! All data read from a store is untrusted: sizes, names and footers are checked, and buffers are bounded. This crate
//! does not depend on jobs, guests or HTTP.

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
pub use spaces::{CreateOutcome, Modules, ResultSpace, SweepMode, Swept};
pub use store::{Durability, Store, StoreOptions};
