//! Objects: streamed up and down, with conditions and ranges.

use crate::{Client, Download, Error, Paging, Result, Upload, functions::push, request::Payload};
use bytes::Bytes;
use fabric_types::{
    Fault,
    object_path::ObjectPath,
    rest::{Page, object::ObjectInfo},
};
use reqwest::Method;

/// How to write an object.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Only where nothing is there yet; else `precondition-failed`.
    pub create: bool,
    /// Only where the object has this entity tag; else `precondition-failed`.
    pub if_match: Option<String>,
    /// The media type.
    pub content_type: Option<String>,
}

/// How to read an object.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// From this byte on. Default 0.
    pub from: u64,
    /// How many bytes. Default: to the end.
    pub len: Option<u64>,
    /// Only where the object still has this entity tag; else `precondition-failed`.
    pub if_match: Option<String>,
    /// Only where the object has another entity tag; else an empty answer with status 304.
    pub if_none_match: Option<String>,
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Paths that begin with it.
    pub prefix: String,
    /// One level only: deeper paths come as folders, ending in `/`.
    pub folders: bool,
    /// Which page.
    pub paging: Paging,
}

impl Client {
    /// Writes an object.
    ///
    /// # Errors
    /// `invalid-path`, `precondition-failed`, `too-large` and those of every request.
    pub async fn put(&self, path: &str, body: Upload, options: &PutOptions) -> Result<ObjectInfo> {
        self.put_payload(path, Payload::Once(body), options).await
    }

    /// Writes an object from memory, again where the connection broke.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn put_bytes(&self, path: &str, body: impl Into<Bytes>, options: &PutOptions) -> Result<ObjectInfo> {
        self.put_payload(path, Payload::Bytes(vec![body.into()]), options).await
    }

    async fn put_payload(&self, path: &str, payload: Payload, options: &PutOptions) -> Result<ObjectInfo> {
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
    /// `not-found`, `precondition-failed`, `range-not-satisfiable` and those of every request.
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

    /// What an object is, without its bytes; none where there is none.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn head(&self, path: &str) -> Result<Option<ObjectInfo>> {
        let answer = self.request(Method::HEAD, &["objects", object_path(path)?.as_str()])?.download().await;
        match answer {
            Ok(answer) => Ok(Some(ObjectInfo {
                path: path.to_owned(),
                size: answer.len().unwrap_or_default(),
                etag: answer.etag().unwrap_or_default().to_owned(),
                // The header is a date in words; the list has the number.
                modified_ms: 0,
            })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn delete_object(&self, path: &str) -> Result<()> {
        self.request(Method::DELETE, &["objects", object_path(path)?.as_str()])?.done().await
    }

    /// Objects by path.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn objects(&self, listing: &Listing) -> Result<Page<ObjectInfo>> {
        let mut query = Vec::new();
        push(&mut query, "prefix", (!listing.prefix.is_empty()).then_some(&listing.prefix));
        push(&mut query, "delimiter", listing.folders.then_some("/"));
        listing.paging.query(&mut query);
        self.request(Method::GET, &["objects"])?.query(&query).read().await
    }
}

/// The path, by the rules that the server has too: a wrong one fails before anything is sent.
fn object_path(path: &str) -> Result<ObjectPath> {
    ObjectPath::new(path).map_err(|invalid| Error::Problem(Box::new(Fault::from(invalid).into())))
}
