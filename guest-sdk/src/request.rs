//! Requests and responses of a handler.

use serde::de::DeserializeOwned;

use crate::output::IntoOutput;
use crate::read::{Bytes, Json, Text};
use crate::{Context, Result};

/// An unparsed request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Media type given by the caller, if any.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// A response with an explicit media type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The media type of the body; `None` means `application/octet-stream`.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// A type that can be created from a request: any deserializable type, from JSON; [`Bytes`]; [`Text`]; or the
/// [`Request`] itself.
pub trait FromRequest: Sized {
    /// Parses the request.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if the body does not match the type.
    fn from_request(request: Request) -> Result<Self>;
}

impl<T: DeserializeOwned> FromRequest for T {
    fn from_request(request: Request) -> Result<Self> {
        // An empty body is read as `null`, so that a handler without an argument can be called with an empty body.
        let body: &[u8] = if request.body.is_empty() { b"null" } else { &request.body };
        serde_json::from_slice(body).context("the body is not the expected JSON")
    }
}

impl<T: DeserializeOwned> FromRequest for Json<T> {
    fn from_request(request: Request) -> Result<Self> {
        T::from_request(request).map(Json)
    }
}

impl FromRequest for Bytes {
    fn from_request(request: Request) -> Result<Self> {
        Ok(Self(request.body))
    }
}

impl FromRequest for Text {
    fn from_request(request: Request) -> Result<Self> {
        String::from_utf8(request.body).map(Self).context("the body is not text")
    }
}

impl FromRequest for Request {
    fn from_request(request: Request) -> Result<Self> {
        Ok(request)
    }
}

/// Converts a function's return value into a response.
pub(crate) fn respond(value: &impl IntoOutput) -> Result<Response> {
    let mut body = Vec::new();
    value.write_to(&mut body).context("writing the response")?;
    Ok(Response { content_type: value.content_type().map(str::to_owned), body })
}
