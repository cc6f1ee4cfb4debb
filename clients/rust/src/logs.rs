//! Stored log lines. `follow` has the stream of new ones.

use crate::{Client, Result};
use fabric_api::log::LogQuery;
use fabric_types::rest::{Page, invocation::LogLine};
use reqwest::Method;

impl Client {
    /// Lists log lines.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn logs(&self, filter: &LogQuery) -> Result<Page<LogLine>> {
        self.request(Method::GET, &["logs"])?.query(filter)?.read().await
    }
}
