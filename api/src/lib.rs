//! Request bodies, response bodies and query parameters of the REST API. The gateway serves them, the OpenAPI document
//! describes them, and the Rust client sends and reads them.
//!
//! Facts that the API shares with the rest of the server, such as jobs, tasks, invocations and log lines, are in
//! `fabric_types`; the bodies here refer to them. Names are in snake_case. Fields that end in `_ms` are times in
//! milliseconds since 1970 or durations in milliseconds. Sizes are in bytes.
//!
//! The feature `openapi` adds the schemas.

pub mod function;
pub mod invocation;
pub mod job;
pub mod log;
pub mod node;
pub mod object;
pub mod page;
pub mod problem;
pub mod result;
pub mod token;
pub mod usage;

pub use page::PageOptions;
pub use problem::Problem;

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Serialize, de::DeserializeOwned};
    use std::fmt::Debug;

    /// Writes a query as the client does, checks it, and reads it as the gateway does.
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(query: &T, text: &str) {
        assert_eq!(serde_urlencoded::to_string(query).unwrap(), text);
        assert_eq!(serde_urlencoded::from_str::<T>(text).unwrap(), *query);
    }

    #[test]
    fn queries_are_read_as_they_are_written() {
        check(&PageOptions::default(), "");
        check(&PageOptions { cursor: Some("a b/".to_owned()), limit: Some(7) }, "cursor=a+b%2F&limit=7");
        let logs = log::LogQuery {
            function: Some("say".parse().unwrap()),
            follow: Some(true),
            order: Some(log::LogOrder::Newest),
            ..log::LogQuery::default()
        };
        check(&logs.page(PageOptions::first(3)), "function=say&follow=true&order=newest&limit=3");
        let tasks = job::TaskQuery {
            state: Some(fabric_types::job::TaskState::Backoff),
            stage: Some(1),
            ..job::TaskQuery::default()
        };
        check(&tasks, "state=backoff&stage=1");
        check(&result::ResultParams { join: Some(result::Join::Bytes), ..Default::default() }, "join=bytes");
        check(&usage::SweepParams { dry_run: true }, "dry_run=true");
        check(&object::ObjectQuery::below("a/").one_level(), "prefix=a%2F&delimiter=%2F");
    }
}
