//! Lists a tenant's space on any store.
//!
//! A local directory and memory list a folder in the byte order of paths. S3 accepts any string as a prefix. AWS also
//! lists in byte order, but some compatible servers list folder by folder (`a/1` before `a-b`). The code must not
//! depend on the order, or objects would be omitted.

use crate::{Error, ObjectPath, ObjectPrefix, Objects, store::Backend};
use fabric_types::rest::object::ObjectInfo;
use futures::{Stream, StreamExt as _, TryStreamExt as _, future::ready, stream, stream::BoxStream};
use object_store::{
    ObjectMeta, ObjectStore,
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};
use std::sync::Arc;

/// Lists every object with a path that begins with `prefix` and comes after `after`. `page` is the page size requested
/// from a remote store.
pub(crate) fn list(
    objects: &Objects,
    prefix: &ObjectPrefix,
    after: Option<&str>,
    page: Option<usize>,
) -> Result<impl Stream<Item = Result<ObjectInfo, Error>> + Send + use<>, Error> {
    let after = after.map(|after| objects.full(&ObjectPath::new(after)?)).transpose()?;
    let listed = match objects.backend() {
        Backend::S3(store) => {
            let full = format!("{}/{}", objects.root(), prefix.as_str());
            pages(Arc::clone(store) as _, full, after.map(String::from), page)
        }
        Backend::Local(store) => in_order(store, objects.root(), prefix, after.as_ref())?,
        Backend::Memory(store) => in_order(store.as_ref(), objects.root(), prefix, after.as_ref())?,
    };
    let (this, shown, prefix) = (objects.clone(), prefix.as_str().to_owned(), prefix.as_str().to_owned());
    Ok(listed
        .map(move |meta| meta.map(|m| this.info(&m)).map_err(|e| Error::from_store("list", &shown, e)))
        .try_filter(move |info| ready(info.path.starts_with(&prefix))))
}

/// Lists the objects of the prefix's folder in order, up to the last one that may begin with the prefix.
fn in_order(
    store: &dyn ObjectStore,
    root: &Path,
    prefix: &ObjectPrefix,
    after: Option<&Path>,
) -> Result<BoxStream<'static, object_store::Result<ObjectMeta>>, Error> {
    let folder = match prefix.folder() {
        "" => root.clone(),
        folder => Path::parse(format!("{root}/{folder}")).map_err(|e| Error::from_store("list", folder, e.into()))?,
    };
    let listed = match after {
        Some(after) => store.list_with_offset(Some(&folder), after),
        None => store.list(Some(&folder)),
    };
    let end = format!("{root}/{}", prefix.as_str());
    let may_follow = move |meta: &ObjectMeta| {
        let path = meta.location.as_ref();
        ready(Ok(path < end.as_str() || path.starts_with(&end)))
    };
    Ok(listed.try_take_while(may_follow).boxed())
}

/// Lists page by page.
fn pages(
    store: Arc<dyn PaginatedListStore>,
    prefix: String,
    after: Option<String>,
    page: Option<usize>,
) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
    let first = PaginatedListOptions { offset: after, max_keys: page, ..PaginatedListOptions::default() };
    stream::try_unfold(Some(first), move |options| {
        let (store, prefix) = (Arc::clone(&store), prefix.clone());
        async move {
            let Some(options) = options else { return Ok::<_, object_store::Error>(None) };
            let got = store.list_paginated(Some(&prefix), options).await?;
            let next = got.page_token.map(|token| PaginatedListOptions {
                page_token: Some(token),
                max_keys: page,
                ..PaginatedListOptions::default()
            });
            Ok(Some((stream::iter(got.result.objects.into_iter().map(Ok)), next)))
        }
    })
    .try_flatten()
    .boxed()
}
