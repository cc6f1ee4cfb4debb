//! The exports' work around the user's function. Called by the attribute macros and by [`crate::testing`].

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::input::{self, FromInput, Input};
use crate::output::{IntoOutput, Output, put};
use crate::request::{FromRequest, Request, Response, respond};
use crate::sys::{self, PartKind};
use crate::{Context, Error, Result, emit};

/// Size requested from one `read-keyed`, in bytes.
const KEYED_BYTES: u32 = 256 * 1024;

/// Deserializes the parameters into the function's type.
///
/// # Errors
/// [`crate::ErrorKind::InvalidInput`] if the parameters do not match the type.
pub fn params<P: DeserializeOwned>() -> Result<P> {
    serde_json::from_str(&sys::params()).context("the parameters")
}

/// Runs a map function over the task's part.
///
/// # Errors
/// Any error of the reader or the function.
pub fn map<I: FromInput, O: IntoOutput>(f: impl FnOnce(I) -> Result<O>) -> Result<()> {
    let value = f(I::from_input(input::first_part()?)?)?;
    emit::flush();
    put(&value)
}

/// Runs a handler over a request.
///
/// # Errors
/// Any error of reading the request or of the function.
pub fn handle<I: FromRequest, O: IntoOutput>(request: Request, f: impl FnOnce(I) -> Result<O>) -> Result<Response> {
    let value = f(I::from_request(request)?)?;
    emit::flush();
    respond(&value)
}

/// Constructor of a reduce's result for an empty input, if there is one.
pub type Empty<T> = Option<fn() -> T>;

/// Merges the partial results in order. A keyed part is merged key by key.
///
/// # Errors
/// Any error of the function; [`crate::ErrorKind::InvalidInput`] if a partial result is not a `T`;
/// [`crate::ErrorKind::Failed`] if there are no partial results and `empty` is `None`.
pub fn reduce<T: Serialize + DeserializeOwned>(
    empty: Empty<T>,
    mut merge: impl FnMut(T, T) -> Result<T>,
) -> Result<()> {
    let mut merged: Option<T> = None;
    let mut number = 0_u64;
    while let Some(part) = sys::next_part() {
        if part.kind == PartKind::Keyed {
            if number > 0 {
                return Err(Error::failed("the input mixes partial results and keyed records"));
            }
            return reduce_keyed(merge);
        }
        number += 1;
        let bytes = Input::of_part(part).read_all();
        let partial = serde_json::from_slice(&bytes)
            .with_context(|| format!("partial result {number} is not of `reduce`'s type"))?;
        merged = Some(match merged {
            None => partial,
            Some(so_far) => merge(so_far, partial)?,
        });
    }
    let merged = merged.or_else(|| empty.map(|make| make())).ok_or_else(|| {
        Error::failed(
            "there are no partial results to merge; use `#[fabric::reduce(default)]` to return the default value",
        )
    })?;
    put(&merged)
}

/// One line of a keyed result.
#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(flatten)]
    key: Key<'a>,
    value: &'a T,
}

#[derive(Serialize)]
enum Key<'a> {
    #[serde(rename = "key")]
    Text(&'a str),
    #[serde(rename = "key_base64")]
    Bytes(String),
}

fn reduce_keyed<T: Serialize + DeserializeOwned>(mut merge: impl FnMut(T, T) -> Result<T>) -> Result<()> {
    let mut output = Output::new("application/x-ndjson");
    let mut group: Option<(Vec<u8>, T)> = None;
    loop {
        let records = sys::read_keyed(KEYED_BYTES);
        if records.is_empty() {
            break;
        }
        for record in records {
            let value: T = serde_json::from_slice(&record.value).with_context(|| {
                format!("a value of key `{}` is not of `reduce`'s type", String::from_utf8_lossy(&record.key))
            })?;
            group = Some(match group {
                Some((key, so_far)) if key == record.key => (key, merge(so_far, value)?),
                Some((key, merged)) => {
                    put_line(&mut output, &key, &merged)?;
                    (record.key, value)
                }
                None => (record.key, value),
            });
        }
    }
    if let Some((key, merged)) = group {
        put_line(&mut output, &key, &merged)?;
    }
    output.finish();
    Ok(())
}

fn put_line<T: Serialize>(output: &mut Output, key: &[u8], value: &T) -> Result<()> {
    use base64::Engine as _;
    let key = match std::str::from_utf8(key) {
        Ok(text) => Key::Text(text),
        Err(_) => Key::Bytes(base64::engine::general_purpose::STANDARD.encode(key)),
    };
    output.json_line(&Line { key, value })
}

/// Returns the component's description: the parameters' JSON Schema and the function's doc comment.
pub fn describe<P: schemars::JsonSchema>(description: &str) -> String {
    let mut about = serde_json::Map::new();
    if !description.is_empty() {
        about.insert("description".to_owned(), Value::from(description));
    }
    about.insert("params".to_owned(), schemars::schema_for!(P).to_value());
    Value::Object(about).to_string()
}

/// Conversions between the SDK's types and the exports' types of [`crate::bindings`].
#[cfg(target_family = "wasm")]
pub mod wit {
    use crate::bindings::handler_task::exports::fabric::task::handler as wit_handler;
    use crate::bindings::imports::fabric::task::types::Error as WitError;
    use crate::{Error, ErrorKind, Request, Response, Result};

    /// Converts an error for the host.
    pub fn error(error: Error) -> WitError {
        let message = error.message().to_owned();
        match error.kind() {
            ErrorKind::InvalidInput => WitError::InvalidInput(message),
            ErrorKind::Retryable => WitError::Retryable(message),
            ErrorKind::Failed => WitError::Failed(message),
        }
    }

    /// Converts a request of the host.
    pub fn request(request: wit_handler::Request) -> Request {
        Request { content_type: request.content_type, body: request.body }
    }

    /// Converts a response for the host.
    pub fn response(response: Result<Response>) -> std::result::Result<wit_handler::Response, WitError> {
        match response {
            Ok(response) => Ok(wit_handler::Response { content_type: response.content_type, body: response.body }),
            Err(failure) => Err(error(failure)),
        }
    }
}
