//! Paths of a stream's chunks: the first is `{stream}/first`, the others are `{stream}/{incarnation}-{place}`, with both
//! numbers in 16 hexadecimal digits. A stream that is deleted and created again has a new incarnation, so a stale owner or a
//! slow deletion of the old stream never affects the new one.

use super::chunk::{self, Header};
use crate::{
    Error, names,
    objects::{Objects, same_tag},
};
use object_store::path::Path;

/// The name of the first chunk.
const FIRST: &str = "first";

/// The head of an existing stream.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) incarnation: u64,
    /// Entity tag of the first chunk. While it is unchanged, the stream is the same.
    pub(super) tag: String,
    /// Number of records.
    pub(super) len: u64,
}

/// The folder of a stream.
#[derive(Debug, Clone)]
pub(super) struct StreamPath {
    pub(super) folder: Path,
}

impl StreamPath {
    pub(super) fn of(objects: &Objects, stream: &str) -> Result<Self, Error> {
        Ok(Self { folder: names::leaf(objects.root(), stream)? })
    }

    pub(super) fn first(&self) -> Path {
        self.folder.clone().join(FIRST)
    }

    /// Returns the path of the chunk that begins at `place`, which is not 0.
    pub(super) fn chunk(&self, incarnation: u64, place: u64) -> Path {
        self.folder.clone().join(format!("{incarnation:016x}-{place:016x}"))
    }

    /// Returns the positions of the later chunks of this incarnation, in order.
    pub(super) async fn chunks(&self, objects: &Objects, incarnation: u64) -> Result<Vec<u64>, Error> {
        let prefix = format!("{incarnation:016x}-");
        let mut places: Vec<u64> = objects
            .list_folder(&self.folder)
            .await?
            .objects
            .iter()
            .filter_map(|meta| meta.location.filename()?.strip_prefix(&prefix).map(str::to_owned))
            .filter_map(|place| u64::from_str_radix(&place, 16).ok())
            .collect();
        places.sort_unstable();
        Ok(places)
    }

    async fn header(&self, objects: &Objects, path: &Path) -> Result<Option<(Header, String)>, Error> {
        let Some(found) = objects.get_start(path, chunk::HEADER).await? else { return Ok(None) };
        Ok(Some((chunk::header(path.as_ref(), &found.bytes)?, found.etag)))
    }

    /// Reads the current head, or `None` if the stream does not exist.
    pub(super) async fn read_head(&self, objects: &Objects) -> Result<Option<Head>, Error> {
        let Some((first, tag)) = self.header(objects, &self.first()).await? else { return Ok(None) };
        let last = match self.chunks(objects, first.incarnation).await?.last() {
            None => first,
            Some(place) => match self.header(objects, &self.chunk(first.incarnation, *place)).await? {
                Some((last, _)) => last,
                // Deleted concurrently.
                None => return Ok(None),
            },
        };
        Ok(Some(Head { incarnation: first.incarnation, tag, len: last.end() }))
    }

    /// Returns `true` if the stream of this head still exists.
    pub(super) async fn is_current(&self, objects: &Objects, head: &Head) -> Result<bool, Error> {
        Ok(objects.head(&self.first()).await?.is_some_and(|tag| same_tag(&tag, &head.tag)))
    }
}
