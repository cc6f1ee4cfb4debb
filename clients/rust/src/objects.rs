//! Objects: streamed uploads and downloads, with conditions and ranges.

use crate::{Client, Download, Error, Result, Upload, request::Payload};
use bytes::Bytes;
use fabric_api::object::ObjectQuery;
use fabric_types::{
    Fault,
    object_path::ObjectPath,
    rest::{Page, object::ObjectInfo},
};
use reqwest::Method;

/// Options for writing an object.
#[derive(Debug, Clone, Default)]
pub struct UploadOptions {
    /// Write only if the object does not exist, else fail with `precondition-failed`.
    pub create: bool,
    /// Write only if the object has this entity tag, else fail with `precondition-failed`.
    pub if_match: Option<String>,
    /// Media type.
    pub content_type: Option<String>,
}

/// Options for reading an object.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// Offset of the first byte. Default 0.
    pub from: u64,
    /// Maximum number of bytes. Default: to the end.
    pub len: Option<u64>,
    /// Read only if the object has this entity tag, else fail with `precondition-failed`.
    pub if_match: Option<String>,
    /// Read only if the object has another entity tag, else return an empty body with status 304.
    pub if_none_match: Option<String>,
}

impl Client {
    /// Writes an object.
    ///
    /// # Errors
    /// `invalid-path`, `precondition-failed`, `too-large`, and the errors common to all requests.
    pub async fn put(&self, path: &str, body: Upload, options: &UploadOptions) -> Result<ObjectInfo> {
        self.put_payload(path, Payload::Once(body), options).await
    }

    /// Writes an object from memory. Retries after a broken connection.
    ///
    /// # Errors
    /// As for [`Client::put`].
    pub async fn put_bytes(&self, path: &str, body: impl Into<Bytes>, options: &UploadOptions) -> Result<ObjectInfo> {
        self.put_payload(path, Payload::Bytes(vec![body.into()]), options).await
    }

    async fn put_payload(&self, path: &str, payload: Payload, options: &UploadOptions) -> Result<ObjectInfo> {
        let mut request =
            self.request(Method::PUT, &["objects", object_path(path)?.as_str()])?.payload(payload).timeout(None);
        if options.create {
            request = request.header("if-none-match", "*");
        }
        if let Some(tag) = &options.if_match {
            request = request.header("if-match", format!("\"{tag}\""));
        }
        if let Some(kind) = &options.content_type {
            request = request.header("content-type", kind);
        }
        request.read().await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// `not-found`, `precondition-failed`, `range-not-satisfiable`, and the errors common to all requests.
    pub async fn get(&self, path: &str, options: &GetOptions) -> Result<Download> {
        let mut request = self.request(Method::GET, &["objects", object_path(path)?.as_str()])?;
        if options.from > 0 || options.len.is_some() {
            let end = options.len.map(|n| (options.from + n).saturating_sub(1).to_string()).unwrap_or_default();
            request = request.header("range", format!("bytes={}-{end}", options.from));
        }
        if let Some(tag) = &options.if_match {
            request = request.header("if-match", format!("\"{tag}\""));
        }
        if let Some(tag) = &options.if_none_match {
            request = request.header("if-none-match", format!("\"{tag}\""));
        }
        request.download().await
    }

    /// Returns the metadata of an object, or `None` if it does not exist. `modified_ms` is 0.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn head(&self, path: &str) -> Result<Option<ObjectInfo>> {
        let answer = self.request(Method::HEAD, &["objects", object_path(path)?.as_str()])?.download().await;
        match answer {
            Ok(answer) => Ok(Some(ObjectInfo {
                path: path.to_owned(),
                size: answer.len().unwrap_or_default(),
                etag: answer.etag().unwrap_or_default().to_owned(),
                // The header has a formatted date; only lists have the number.
                modified_ms: 0,
            })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn delete_object(&self, path: &str) -> Result<()> {
        self.request(Method::DELETE, &["objects", object_path(path)?.as_str()])?.send_and_discard().await
    }

    /// Lists objects, by path.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn objects(&self, filter: &ObjectQuery) -> Result<Page<ObjectInfo>> {
        self.request(Method::GET, &["objects"])?.query(filter)?.read().await
    }
}

/// Validates the path by the server's rules, so that an invalid path fails before anything is sent.
fn object_path(path: &str) -> Result<ObjectPath> {
    ObjectPath::new(path).map_err(|invalid| Error::Problem(Box::new(Fault::from(invalid).into())))
}
