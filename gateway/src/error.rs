//! The one place where typed causes become HTTP responses: problem details with a status, a code and a hint.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use fabric_api::Problem;
use fabric_types::{Code, Fault, id::InvocationId};
use http::{HeaderName, HeaderValue, StatusCode, header};

/// The media type of problem details.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// The cause of a request that was not served.
#[derive(Debug)]
pub struct Error {
    fault: Box<Fault>,
    invocation: Option<InvocationId>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The result of a handler.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error with a code and a message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Fault::new(code, message).into()
    }

    /// Creates a `not-found` error, also for a resource that the caller may not see.
    #[must_use]
    pub fn not_found(kind: &str, name: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {kind} `{name}`"))
    }

    /// Creates the error for a cursor that no page returned.
    pub(crate) fn invalid_cursor() -> Self {
        Self::bad("the cursor is invalid").hint("use `next` of the previous page, unchanged")
    }

    /// Creates a `bad-request` error.
    #[must_use]
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// Creates the error for a body of another media type than `wanted`.
    #[must_use]
    pub fn unsupported_media_type(wanted: &str) -> Self {
        Self::new(Code::UnsupportedMediaType, "the body is of a type that is not read here")
            .hint(format!("send `Content-Type: {wanted}`"))
    }

    /// Sets the hint, which names the next step for the caller.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.fault.hint = Some(hint.into());
        self
    }

    /// Adds a response header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the invocation that the error concerns.
    #[must_use]
    pub fn about(mut self, id: InvocationId) -> Self {
        self.invocation = Some(id);
        self
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.fault.code
    }

    /// Returns `true` if the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.fault.is_retryable()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for Error {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self { fault: Box::new(fault), invocation: None, headers: Vec::new() }
    }
}

impl From<fabric_backend::Error> for Error {
    fn from(error: fabric_backend::Error) -> Self {
        if error.code() == Code::Internal {
            tracing::error!(error = &error as &dyn std::error::Error, "backend failed");
        }
        Fault::from(error).into()
    }
}

impl From<fabric_store::Error> for Error {
    fn from(error: fabric_store::Error) -> Self {
        if error.code() == Code::Internal {
            tracing::error!(error = &error as &dyn std::error::Error, "store failed");
        }
        let answer = Self::from(Fault::from(&error));
        match error {
            fabric_store::Error::RangeNotSatisfiable { size, .. } => answer.unsatisfied(size),
            _ => answer,
        }
    }
}

impl Error {
    /// Adds the size of the resource whose range could not be satisfied (RFC 9110, section 14.4).
    #[must_use]
    pub fn unsatisfied(self, size: u64) -> Self {
        match HeaderValue::try_from(format!("bytes */{size}")) {
            Ok(value) => self.header(header::CONTENT_RANGE, value),
            Err(_) => self,
        }
    }
}

impl From<fabric_types::object_path::InvalidObjectPath> for Error {
    fn from(error: fabric_types::object_path::InvalidObjectPath) -> Self {
        Fault::from(error).into()
    }
}

impl From<fabric_types::function::InvalidRef> for Error {
    fn from(error: fabric_types::function::InvalidRef) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<fabric_types::id::InvalidId> for Error {
    fn from(error: fabric_types::id::InvalidId) -> Self {
        Self::bad(error.to_string())
    }
}

/// Returns the hint for a code with a fixed remedy.
fn usual_hint(code: Code) -> Option<&'static str> {
    match code {
        Code::Unauthenticated => Some("send `Authorization: Bearer SECRET`; `fabric token create` creates one"),
        Code::TooManyRequests => Some("wait a moment and send it again"),
        Code::DiskFull => Some(fabric_types::disk::FULL_HINT),
        Code::Unavailable | Code::StoreUnavailable => Some("send it again in a few seconds"),
        _ => None,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = self.fault.code;
        let mut problem = Problem::from(*self.fault);
        if problem.hint.is_none() {
            problem.hint = usual_hint(code).map(str::to_owned);
        }
        problem.invocation_id = self.invocation.as_ref().map(|id| id.as_str().to_owned());
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(code, Code::Unauthenticated | Code::Denied) {
            response.extensions_mut().insert(Refusal(code));
        }
        let headers = response.headers_mut();
        if code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if code.is_retryable() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(id) = &self.invocation
            && let Ok(value) = HeaderValue::from_str(id.as_str())
        {
            headers.insert(crate::headers::INVOCATION_ID, value);
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}

/// Converts an error response of the framework (no route, wrong method, …) into problem details.
#[must_use]
pub fn rescue(response: Response) -> Response {
    let status = response.status();
    let ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes() == PROBLEM_TYPE.as_bytes());
    if ours
        || !(status.is_client_error() || status.is_server_error())
        || response.extensions().get::<Verbatim>().is_some()
    {
        return response;
    }
    let error = match status {
        StatusCode::NOT_FOUND => Error::new(Code::NotFound, "there is nothing at this address")
            .hint("every address is described in /openapi.json"),
        StatusCode::METHOD_NOT_ALLOWED => {
            Error::new(Code::MethodNotAllowed, "this address does not take that method").hint("see the Allow header")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Code::TooLarge, "the request body is larger than allowed here"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Error::unsupported_media_type("application/json"),
        s if s.is_client_error() => Error::bad("the request could not be read"),
        _ => Error::new(Code::Internal, "the server failed to answer"),
    };
    let mut answer = error.into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

/// Marks a response that refuses access, for the access log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal(pub(crate) Code);

/// Marks a response from a function. It is passed on unchanged, with any status.
#[derive(Debug, Clone, Copy)]
pub struct Verbatim;

impl From<fabric_index::Error> for Error {
    fn from(error: fabric_index::Error) -> Self {
        if error.code() == Code::Internal {
            tracing::error!(error = &error as &dyn std::error::Error, "index failed");
        }
        Self::new(error.code(), error.to_string())
    }
}
