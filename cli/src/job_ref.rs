//! A job as named on the command line: its id or the beginning of its id.

use crate::failure::Failure;
use fabric_client::{Client, JobQuery};
use fabric_types::{Code, id::JobId};
use std::str::FromStr;

/// Minimum length of the beginning of an id.
pub const SHORTEST: usize = 4;
/// Length of a whole id.
pub const WHOLE: usize = 26;

/// An id of a job, or at least four characters of its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef(String);

impl FromStr for JobRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.to_ascii_uppercase();
        let is_prefix = (SHORTEST..WHOLE).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_prefix || JobId::new(&id).is_ok() {
            return Ok(Self(id));
        }
        Err(format!(
            "`{text}` is not a job: write its id of {WHOLE} characters, or {SHORTEST} or more of its beginning"
        ))
    }
}

impl JobRef {
    /// Returns the whole id.
    ///
    /// # Errors
    /// `not-found` if no job's id begins with it; `usage` if several do.
    pub async fn id(&self, client: &Client) -> Result<String, Failure> {
        if self.0.len() == WHOLE {
            return Ok(self.0.clone());
        }
        let mut found = Vec::new();
        for deleted in [false, true] {
            let filter =
                JobQuery { id: Some(self.0.clone()), deleted: Some(deleted), limit: Some(6), ..JobQuery::default() };
            found.extend(client.jobs(&filter).await?.items.into_iter().map(|job| job.id.to_string()));
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(Failure::coded(Code::NotFound, format!("no job's id begins with `{}`", self.0))),
            several => {
                let some: Vec<_> = several.iter().take(5).map(String::as_str).collect();
                let more = if several.len() > 5 { ", …" } else { "" };
                Err(Failure::usage(format!("`{}` begins several ids: {}{more}", self.0, some.join(", "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_their_beginnings_are_read() {
        for good in ["01JD", "01jd", "01JD0000000000000000000000"] {
            assert!(good.parse::<JobRef>().is_ok(), "{good}");
        }
        for bad in ["", "01J", "01JD-", "01JD00000000000000000000000", "ü123"] {
            assert!(bad.parse::<JobRef>().is_err(), "{bad}");
        }
    }
}
