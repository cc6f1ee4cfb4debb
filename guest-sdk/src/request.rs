//! What a handler takes and gives.

use serde::de::DeserializeOwned;

use crate::output::IntoOutput;
use crate::read::{Bytes, Json, Text};
use crate::{Context, Result};

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The media type the caller named, if any.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// A response with a media type of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The media type of the body; `None` means `application/octet-stream`.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// An argument that can be made from a request: anything that deserialises, from JSON; [`Bytes`]; [`Text`]; or the
/// [`Request`] itself.
pub trait FromRequest: Sized {
    /// Reads the request.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] when the body is not what the handler takes.
    fn from_request(request: Request) -> Result<Self>;
}

impl<T: DeserializeOwned> FromRequest for T {
    fn from_request(request: Request) -> Result<Self> {
        // An empty body stands for `null`, so that a handler without data can be called with none.
        let body: &[u8] = if request.body.is_empty() { b"null" } else { &request.body };
        serde_json::from_slice(body).context("the body is not the JSON expected")
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

/// Makes a response of a function's value.
pub(crate) fn respond(value: &impl IntoOutput) -> Result<Response> {
    let mut body = Vec::new();
    value.write_to(&mut body).context("writing the response")?;
    Ok(Response { content_type: value.content_type().map(str::to_owned), body })
}
