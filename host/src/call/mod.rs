//! The life of a guest call, the same for every entry kind: the entry states a [`CallSpec`], [`open()`] takes the
//! resources and creates the store, the entry runs the guest within [`CallBounds`], and [`OpenCall::finish`] reads the
//! cost and converts the outcome.

mod bounds;
mod finish;
mod open;
mod shared;
mod spec;

pub(crate) use bounds::{CallBounds, CallEnd};
pub(crate) use finish::CallReport;
pub(crate) use open::{CallResources, OpenCall, micros, open};
pub(crate) use shared::CallShared;
pub(crate) use spec::CallSpec;
pub use spec::SlotWait;
