//! Parsing of a store's location: a folder, `memory:`, or `s3://BUCKET/PREFIX?endpoint=URL`.

use crate::{Error, local::Local, store::Backend};
use object_store::{
    aws::{AmazonS3Builder, AmazonS3ConfigKey, S3CopyIfNotExists},
    memory::InMemory,
    path::Path,
};
use std::sync::Arc;

/// An opened location.
pub(crate) struct Opened {
    pub(crate) backend: Backend,
    /// The prefix of every path.
    pub(crate) prefix: Path,
    /// The location without secrets.
    pub(crate) shown: String,
}

fn bad(location: &str, message: impl Into<String>) -> Error {
    Error::Location { location: location.to_owned(), message: message.into(), source: None }
}

/// Opens the store at `location`.
pub(crate) fn open(location: &str, durable: bool) -> Result<Opened, Error> {
    if matches!(location, "memory:" | "memory://" | "memory:///") {
        return Ok(memory());
    }
    if location.starts_with("s3://") {
        return s3(location);
    }
    let path = match location.strip_prefix("file://") {
        Some(_) => url::Url::parse(location)
            .ok()
            .and_then(|url| url.to_file_path().ok())
            .ok_or_else(|| bad(location, "a file URL needs an absolute path, as in file:///var/lib/fabric"))?,
        None if location.is_empty() => return Err(bad(location, "the location is empty")),
        None if location.contains("://") => {
            let scheme = location.split("://").next().unwrap_or_default();
            return Err(bad(scheme, "this kind of store is not supported"));
        }
        None => location.into(),
    };
    let backend = Local::open(&path, durable).map_err(|e| Error::Location {
        location: location.to_owned(),
        message: e.to_string(),
        source: Some(Box::new(e)),
    })?;
    Ok(Opened { backend: Backend::Local(backend), prefix: Path::default(), shown: location.to_owned() })
}

/// Opens a store in memory, which is lost when the process ends.
pub(crate) fn memory() -> Opened {
    Opened { backend: Backend::Memory(Arc::new(InMemory::new())), prefix: Path::default(), shown: "memory:".to_owned() }
}

/// Opens an S3 store. Options in the query override `AWS_*` variables.
fn s3(location: &str) -> Result<Opened, Error> {
    // The query is never shown, since it may contain keys.
    let shown = location.split('?').next().unwrap_or_default().to_owned();
    let fail = |message: String| bad(&shown, message);
    let url = url::Url::parse(location).map_err(|e| fail(e.to_string()))?;
    let bucket = url.host_str().filter(|b| !b.is_empty()).ok_or_else(|| fail("the bucket is missing".into()))?;
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    for (key, value) in url.query_pairs() {
        if key == "endpoint" {
            let plain = value.starts_with("http://");
            // Requests without TLS or by path are used only with an explicit endpoint, which is a server of the
            // operator.
            builder = builder
                .with_endpoint(value.trim_end_matches('/'))
                .with_virtual_hosted_style_request(false)
                .with_allow_http(plain);
            continue;
        }
        let option: AmazonS3ConfigKey =
            key.parse().map_err(|_| fail(format!("`{key}` is not an option of an S3 store")))?;
        builder = builder.with_config(option, value.as_ref());
    }
    if builder.get_config_value(&AmazonS3ConfigKey::CopyIfNotExists).is_none() {
        // AWS accepts the condition at the end of a multipart copy; compatible servers (SeaweedFS) accept it with the
        // copy request.
        let compatible = builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_some();
        let header = || S3CopyIfNotExists::Header("If-None-Match".to_owned(), "*".to_owned());
        builder = builder.with_copy_if_not_exists(if compatible { header() } else { S3CopyIfNotExists::Multipart });
    }
    let store = builder.build().map_err(|e| Error::Location {
        location: shown.clone(),
        message: e.to_string(),
        source: Some(Box::new(e)),
    })?;
    let prefix = Path::from_url_path(url.path()).map_err(|e| fail(e.to_string()))?;
    Ok(Opened { backend: Backend::S3(Arc::new(store)), prefix, shown })
}
