//! The conformance suite of object stores: local directory, memory and S3.
//!
//! Each check uses a tenant of its own, so that the suite may run on a store with other data.

use crate::{Conditions, Error, ObjectPath, ObjectPrefix, Objects, PutOptions, Range, Store};
use bytes::Bytes;
use fabric_types::{
    digest::{ModuleDigest, TaskKey},
    id::TenantId,
};
use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::Barrier;

type Outcome = Result<(), Box<dyn std::error::Error>>;

macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err(concat!("does not hold: ", stringify!($condition)).into());
        }
    };
}

macro_rules! ensure_err {
    ($result:expr, $pattern:pat) => {
        match $result.map(drop) {
            Err($pattern) => {}
            other => return Err(format!("{} gave {other:?}", stringify!($result)).into()),
        }
    };
}

const CREATE: PutOptions = PutOptions { if_absent: true, if_match: None, expected: None };

fn path(text: &str) -> Result<ObjectPath, Error> {
    Ok(ObjectPath::new(text)?)
}

async fn put(objects: &Objects, at: &str, text: &str) -> Result<String, Error> {
    let info = objects.put_bytes(&path(at)?, text.to_owned().into(), PutOptions::default()).await?;
    Ok(info.etag)
}

async fn text(objects: &Objects, at: &str, range: Range) -> Result<String, Error> {
    let body = objects.get(&path(at)?, range, &Conditions::default()).await?;
    let bytes: Vec<Bytes> = body.stream.try_collect().await?;
    Ok(String::from_utf8_lossy(&bytes.concat()).into_owned())
}

/// Returns the listed names in byte order, independent of the store's order.
async fn names(objects: &Objects, prefix: &str) -> Result<Vec<String>, Error> {
    let page = objects.list(&ObjectPrefix::new(prefix)?, None, 1000).await?;
    let mut names: Vec<_> = page.objects.into_iter().map(|o| o.path).collect();
    names.sort_unstable();
    Ok(names)
}

/// Runs every check on `store`. `run` makes the tenants' names different from those of other runs.
///
/// # Errors
/// The first failed check, by name.
pub async fn all(store: &Store, run: &str) -> Outcome {
    macro_rules! checks {
        ($($name:ident),* $(,)?) => {$(
            let tenant = TenantId::new(format!("{run}-{}", stringify!($name).replace('_', "-")))?;
            let objects = store.objects(&tenant);
            $name(&objects, store, &tenant).await.map_err(|e| format!("{}: {e}", stringify!($name)))?;
        )*};
    }
    checks!(
        round_trip,
        ranges,
        conditional_reads,
        conditional_writes,
        one_creator,
        prefixes,
        pages,
        missing,
        deleting,
        odd_names,
        file_beside_folder,
        large_streams,
        one_large_creator,
        broken_stream,
        tenants_apart,
        results_and_modules,
    );
    Ok(())
}

async fn round_trip(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let first = put(objects, "a/b.txt", "one").await?;
    let second = put(objects, "a/b.txt", "two two").await?;
    ensure!(first != second);
    ensure!(!second.contains('"'));
    ensure!(text(objects, "a/b.txt", Range::Whole).await? == "two two");
    let info = objects.head(&path("a/b.txt")?).await?;
    ensure!((info.path.as_str(), info.size, info.etag) == ("a/b.txt", 7, second.clone()));
    ensure!(info.modified_ms > 1_600_000_000_000);
    let listed = objects.list(&ObjectPrefix::new("a/")?, None, 10).await?.objects;
    ensure!(listed.first().is_some_and(|o| o.etag == second && o.size == 7));
    put(objects, "empty", "").await?;
    ensure!(text(objects, "empty", Range::Whole).await?.is_empty());
    Ok(())
}

async fn ranges(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    put(objects, "r", "0123456789").await?;
    ensure!(text(objects, "r", Range::Bytes(2, 5)).await? == "234");
    ensure!(text(objects, "r", Range::Bytes(8, 100)).await? == "89");
    ensure!(text(objects, "r", Range::From(7)).await? == "789");
    ensure!(text(objects, "r", Range::From(0)).await? == "0123456789");
    ensure!(text(objects, "r", Range::Last(3)).await? == "789");
    ensure!(text(objects, "r", Range::Last(50)).await? == "0123456789");
    for bad in [Range::Bytes(10, 11), Range::From(10), Range::Last(0), Range::Bytes(3, 3), Range::Bytes(5, 2)] {
        ensure_err!(text(objects, "r", bad).await, Error::RangeNotSatisfiable { size: 10, .. });
    }
    Ok(())
}

async fn conditional_reads(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let etag = put(objects, "c", "text").await?;
    let at = path("c")?;
    let get = |conditions: Conditions| {
        let at = at.clone();
        async move { objects.get(&at, Range::Whole, &conditions).await.map(drop) }
    };
    let other = Some("0-other".to_owned());
    get(Conditions { if_match: Some(etag.clone()), if_none_match: None }).await?;
    get(Conditions { if_match: None, if_none_match: other.clone() }).await?;
    ensure_err!(get(Conditions { if_match: other, if_none_match: None }).await, Error::PreconditionFailed { .. });
    ensure_err!(get(Conditions { if_match: None, if_none_match: Some(etag) }).await, Error::NotModified { .. });
    Ok(())
}

async fn conditional_writes(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let at = path("w")?;
    let created = objects.put_bytes(&at, "1".into(), CREATE).await?;
    ensure_err!(objects.put_bytes(&at, "2".into(), CREATE).await, Error::PreconditionFailed { .. });
    let with = |etag: &str| PutOptions { if_match: Some(etag.to_owned()), ..PutOptions::default() };
    let next = objects.put_bytes(&at, "3".into(), with(&created.etag)).await?;
    ensure_err!(objects.put_bytes(&at, "4".into(), with(&created.etag)).await, Error::PreconditionFailed { .. });
    ensure!(text(objects, "w", Range::Whole).await? == "3");
    objects.delete(&at).await?;
    ensure!(objects.put_bytes(&at, "5".into(), with(&next.etag)).await.is_err());
    ensure_err!(objects.head(&at).await, Error::NotFound { .. });
    Ok(())
}

async fn one_creator(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let at = path("race/winner")?;
    let writers = (0..16).map(|i| {
        let (objects, at) = (objects.clone(), at.clone());
        tokio::spawn(async move { objects.put_bytes(&at, format!("writer {i}").into(), CREATE).await.map(|_| i) })
    });
    let mut won = Vec::new();
    for outcome in join_all(writers).await {
        match outcome? {
            Ok(i) => won.push(i),
            Err(Error::PreconditionFailed { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    ensure!(won.len() == 1);
    ensure!(Some(text(objects, "race/winner", Range::Whole).await?) == won.first().map(|i| format!("writer {i}")));
    Ok(())
}

/// Paths with a different order as bytes (`a-b` before `a/1`) and as folders (`a/1` before `a-b`).
const MIXED: [&str; 8] = ["ab/1", "a/2", "a/1", "a-b", "a.b", "b", "a/10", "a/sub/deep/x"];

async fn prefixes(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    for at in MIXED {
        put(objects, at, "x").await?;
    }
    ensure!(names(objects, "").await? == ["a-b", "a.b", "a/1", "a/10", "a/2", "a/sub/deep/x", "ab/1", "b"]);
    ensure!(names(objects, "a/").await? == ["a/1", "a/10", "a/2", "a/sub/deep/x"]);
    ensure!(names(objects, "a").await? == ["a-b", "a.b", "a/1", "a/10", "a/2", "a/sub/deep/x", "ab/1"]);
    ensure!(names(objects, "a-").await? == ["a-b"]);
    ensure!(names(objects, "a/1").await? == ["a/1", "a/10"]);
    ensure!(names(objects, "nothing/").await?.is_empty());
    Ok(())
}

/// Checks that a store lists and pages in the byte order of paths. Not part of [`all`]: SeaweedFS, for instance, lists
/// folder by folder, and omits `a/…` if a page ends at an object `a`.
///
/// # Errors
/// The failed check.
pub async fn byte_order(store: &Store, run: &str) -> Outcome {
    let objects = store.objects(&TenantId::new(format!("{run}-byte-order"))?);
    for at in MIXED {
        put(&objects, at, "x").await?;
    }
    put(&objects, "a", "x").await?;
    let (mut listed, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = objects.list(&ObjectPrefix::default(), after.as_deref(), 1).await?;
        listed.extend(page.objects.into_iter().map(|o| o.path));
        match page.next {
            Some(next) if listed.len() < 20 => after = Some(next),
            _ => break,
        }
    }
    ensure!(listed == ["a", "a-b", "a.b", "a/1", "a/10", "a/2", "a/sub/deep/x", "ab/1", "b"]);
    Ok(())
}

async fn pages(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let mut all: Vec<_> = (0..25).map(|i| format!("p/{}/{i:02}", i / 10)).collect();
    all.extend(["p/1-x", "p/1.x", "p/10"].map(str::to_owned));
    all.sort_unstable();
    for at in &all {
        put(objects, at, "x").await?;
    }
    put(objects, "q", "x").await?;
    for limit in [1, 2, 7, 1000] {
        let (mut seen, mut after, prefix) = (Vec::new(), None::<String>, ObjectPrefix::new("p/")?);
        loop {
            let page = objects.list(&prefix, after.as_deref(), limit).await?;
            ensure!(page.objects.len() <= limit && seen.len() <= all.len());
            seen.extend(page.objects.into_iter().map(|o| o.path));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let listed = seen.clone();
        seen.sort_unstable();
        if seen != all {
            return Err(format!("pages of {limit} gave {listed:?}").into());
        }
    }
    Ok(())
}

async fn missing(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    put(objects, "there/x", "x").await?;
    for at in ["gone", "there", "there/y", "there/x/y"] {
        let at = path(at)?;
        ensure_err!(objects.head(&at).await, Error::NotFound { .. });
        ensure_err!(objects.get(&at, Range::Whole, &Conditions::default()).await, Error::NotFound { .. });
        ensure_err!(objects.get(&at, Range::From(1), &Conditions::default()).await, Error::NotFound { .. });
        ensure_err!(objects.delete(&at).await, Error::NotFound { .. });
    }
    Ok(())
}

async fn deleting(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    put(objects, "d/1", "x").await?;
    put(objects, "d/2", "x").await?;
    objects.delete(&path("d/1")?).await?;
    ensure!(names(objects, "").await? == ["d/2"]);
    objects.delete(&path("d/2")?).await?;
    ensure!(names(objects, "").await?.is_empty());
    put(objects, "d/1", "again").await?;
    ensure!(text(objects, "d/1", Range::Whole).await? == "again");
    Ok(())
}

async fn odd_names(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let mut odd = vec![
        "a b.txt",
        "100%",
        "%2e%2e",
        "a+b&c=d",
        "日本/ü ñ",
        "x.d",
        "x.f",
        "x.d.f",
        "...",
        ".tmp",
        "q?x#y",
        "{[~^`|<>\"'*]}",
        "trailing.",
        " lead",
    ];
    for at in &odd {
        put(objects, at, at).await?;
    }
    for at in &odd {
        ensure!(text(objects, at, Range::Whole).await? == *at);
    }
    odd.sort_unstable();
    ensure!(names(objects, "").await? == odd);
    let long = "x".repeat(240);
    put(objects, &long, "long").await?;
    ensure!(text(objects, &long, Range::Whole).await? == "long");
    Ok(())
}

async fn file_beside_folder(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    put(objects, "n", "file").await?;
    put(objects, "n/n", "inside").await?;
    put(objects, "n/n/n", "deeper").await?;
    ensure!(text(objects, "n", Range::Whole).await? == "file");
    ensure!(text(objects, "n/n/n", Range::Whole).await? == "deeper");
    ensure!(names(objects, "").await? == ["n", "n/n", "n/n/n"]);
    Ok(())
}

/// Returns piece `i` of a large object.
fn piece(i: u64) -> Bytes {
    let mut piece = vec![u8::try_from(i % 251).unwrap_or(0); 256 << 10];
    piece.splice(..8, i.to_le_bytes());
    piece.into()
}

const PIECES: u64 = 256;

async fn large_streams(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let at = path("large/64MiB")?;
    let body = || stream::iter((0..PIECES).map(|i| Ok::<_, Infallible>(piece(i))));
    let info = objects.put(&at, body(), PutOptions::default()).await?;
    ensure!(info.size == PIECES * (256 << 10));
    let got = objects.get(&at, Range::Whole, &Conditions::default()).await?;
    ensure!(got.info.etag == objects.head(&at).await?.etag);
    let (mut stream, mut i, mut rest) = (got.stream, 0, Vec::new());
    while let Some(bytes) = stream.try_next().await? {
        rest.extend_from_slice(&bytes);
        while rest.len() >= 256 << 10 {
            ensure!(rest.drain(..256 << 10).eq(piece(i)));
            i += 1;
        }
    }
    ensure!(i == PIECES && rest.is_empty());
    ensure_err!(objects.put(&at, body(), CREATE).await, Error::PreconditionFailed { .. });
    let created = objects.put(&path("large/created")?, body(), CREATE).await?;
    ensure!(created.size == info.size);
    ensure!(names(objects, "").await? == ["large/64MiB", "large/created"]);
    Ok(())
}

async fn one_large_creator(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let (at, together) = (path("race/large")?, Arc::new(Barrier::new(3)));
    let writers = (0..3_u64).map(|i| {
        let (objects, at, together) = (objects.clone(), at.clone(), Arc::clone(&together));
        // All writers have passed the check for an existing object before one of them completes.
        let body = stream::iter(0..40_u32).then(move |n| {
            let together = Arc::clone(&together);
            async move {
                if n == 39 {
                    together.wait().await;
                }
                Ok::<_, Infallible>(piece(i))
            }
        });
        tokio::spawn(async move { objects.put(&at, body, CREATE).await.map(|_| i) })
    });
    let mut won = Vec::new();
    for outcome in join_all(writers).await {
        match outcome? {
            Ok(i) => won.push(i),
            Err(Error::PreconditionFailed { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    ensure!(won.len() == 1);
    let (info, bytes) = objects.get_bytes(&at, 64 << 20).await?;
    ensure!(info.size == 10 << 20 && won.iter().all(|i| bytes.chunks(256 << 10).all(|c| c == piece(*i))));
    Ok(())
}

async fn broken_stream(objects: &Objects, _: &Store, _: &TenantId) -> Outcome {
    let at = path("broken")?;
    for pieces in [1, 80] {
        let body = (0..pieces).map(|i| Ok(piece(i))).chain([Err(std::io::Error::other("the client went away"))]);
        ensure_err!(objects.put(&at, stream::iter(body), PutOptions::default()).await, Error::Body { .. });
    }
    ensure_err!(objects.head(&at).await, Error::NotFound { .. });
    ensure!(names(objects, "").await?.is_empty());
    Ok(())
}

async fn tenants_apart(objects: &Objects, store: &Store, tenant: &TenantId) -> Outcome {
    let neighbour = store.objects(&TenantId::new(format!("{tenant}x"))?);
    put(objects, "same", "mine").await?;
    put(&neighbour, "same", "theirs").await?;
    put(&neighbour, "only", "theirs").await?;
    ensure!(text(objects, "same", Range::Whole).await? == "mine");
    ensure!(names(objects, "").await? == ["same"]);
    ensure_err!(objects.head(&path("only")?).await, Error::NotFound { .. });
    Ok(())
}

async fn results_and_modules(objects: &Objects, store: &Store, tenant: &TenantId) -> Outcome {
    use crate::CreateOutcome::{Existed, Written};
    let (results, modules, key) = (store.results(tenant), store.modules(tenant), TaskKey([7; 32]));
    ensure!(results.find(&key).await?.is_none());
    ensure!(results.commit(&key, "first".into()).await? == Written);
    ensure!(results.commit(&key, "second".into()).await? == Existed);
    ensure!(results.get(&key, 5).await? == "first");
    ensure_err!(results.get(&key, 4).await, Error::TooLarge { .. });
    let (digest, commit) = modules.put("\0asm".into()).await?;
    ensure!(digest == ModuleDigest::of(b"\0asm") && commit == Written);
    ensure!(modules.put("\0asm".into()).await?.1 == Existed);
    ensure!(modules.get(&digest, 100).await? == "\0asm");
    ensure!(modules.size(&digest).await?.is_some());
    modules.delete(&digest).await?;
    ensure!(modules.size(&digest).await?.is_none());
    ensure!(names(objects, "").await?.is_empty());
    Ok(())
}
