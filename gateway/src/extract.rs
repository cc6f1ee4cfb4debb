//! Extractors for path segments, queries and JSON bodies, with errors that name the problem and its place.

use crate::{
    Error,
    body::{self, SMALL_JSON},
    charged,
    error::Result,
};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
};
use bytes::{Bytes, BytesMut};
use fabric_types::Code;
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// An extractor of path segments.
pub struct PathParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParams<T> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Path(value) = Path::<T>::from_request_parts(parts, state).await.map_err(|e| Error::bad(e.body_text()))?;
        Ok(Self(value))
    }
}

/// An extractor of the query.
pub struct QueryParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri).map_err(|e| Error::bad(e.body_text()))?;
        Ok(Self(query.0))
    }
}

/// An extractor of a JSON body without a list of items.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;
    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Error::unsupported_media_type("application/json"));
        }
        let bytes = charged::collect(body, SMALL_JSON, &charged::payer(&parts.extensions)).await?;
        body::json(&bytes).map(Self)
    }
}

/// Returns the first coding of a header field that is not `known`.
fn unknown_coding(headers: &HeaderMap, name: &HeaderName, known: &str) -> Option<String> {
    let lines = headers.get_all(name).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    let unknown = codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(known.as_bytes()));
    unknown.map(|coding| coding.escape_ascii().to_string())
}

/// Refuses a body with a content coding (RFC 9110, section 8.4). The API decodes none, and neither stored objects nor
/// functions have a place for the name of a coding.
///
/// # Errors
/// `unsupported-media-type`.
pub(crate) fn check_content_coding(headers: &HeaderMap) -> Result<()> {
    let Some(coding) = unknown_coding(headers, &header::CONTENT_ENCODING, "identity") else { return Ok(()) };
    Err(Error::new(Code::UnsupportedMediaType, format!("the body's content coding `{coding}` is not decoded here"))
        .hint("send the body decoded; to have the bytes taken as they are, leave `Content-Encoding` out")
        .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")))
}

/// Refuses a transfer coding other than `chunked` (RFC 9112, section 7): its bytes would be taken for the body.
///
/// # Errors
/// `unsupported-media-type`.
pub(crate) fn check_transfer_coding(headers: &HeaderMap) -> Result<()> {
    let Some(coding) = unknown_coding(headers, &header::TRANSFER_ENCODING, "chunked") else { return Ok(()) };
    Err(Error::new(Code::UnsupportedMediaType, format!("the transfer coding `{coding}` is not decoded here"))
        .hint("send the body with `Transfer-Encoding: chunked` alone, or with `Content-Length`"))
}

/// Returns the media type without parameters, in lower case; empty if there is none.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns `true` if the media type of the body is JSON.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let kind = media_type(headers);
    kind == "application/json" || kind.ends_with("+json")
}

/// Collects the whole body, at most `limit` bytes, without charging it to the memory account.
///
/// # Errors
/// `too-large`; `bad-request` if the client stopped sending.
pub async fn collect(mut body: Body, limit: usize) -> Result<Bytes> {
    let too_large = || Error::new(Code::TooLarge, format!("the body has more than the {limit} bytes allowed here"));
    if http_body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Error::bad(format!("the body ended early: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        len += data.len();
        if len > limit {
            return Err(too_large());
        }
        match &mut rest {
            None if first.is_empty() => first = data,
            None => {
                let mut all = BytesMut::with_capacity(len.max(16 * 1024));
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
            Some(all) => all.extend_from_slice(&data),
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

/// Returns the value of a header if it is text.
#[must_use]
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// Deserializes the pairs of a query, for keys that may repeat.
pub fn pairs<T: DeserializeOwned>(uri: &http::Uri) -> Result<T> {
    axum::extract::Query::<T>::try_from_uri(uri).map(|q| q.0).map_err(|e| Error::bad(e.body_text()))
}

/// Maximum bytes that may follow a form.
const MAX_AFTER: usize = 64 << 10;

/// A body with two owners: a reader that may stop before its end, and the owner that drains the rest.
struct SharedBody(Arc<Mutex<Body>>);

/// The part of a body that its reader left unread.
pub struct RestOfBody(Arc<Mutex<Body>>);

/// Shares a request's body. Returns the request and a handle that drains the part which its reader leaves unread.
pub fn shared_body(request: Request) -> (Request, RestOfBody) {
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let rest = RestOfBody(body.clone());
    (Request::from_parts(parts, Body::new(SharedBody(body))), rest)
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}

impl RestOfBody {
    /// Reads the body to its end and discards the data. Gives up after [`MAX_AFTER`] bytes.
    pub async fn drain(self) {
        let mut left = MAX_AFTER;
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut *self.0.lock()).poll_frame(cx)).await;
            let Some(Ok(frame)) = frame else { return };
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => left = less,
                None => return,
            }
        }
    }
}
