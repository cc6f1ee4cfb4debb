//! Where a stream's chunks are: `{stream}/first` begins it, `{stream}/{life}-{place}` goes on, both numbers in 16 hexadecimal
//! digits. The chunks of a stream that was deleted and begun again have another life, so what a stale owner or a slow
//! deletion does to the old one never touches the new one.

use super::chunk::{self, Header};
use crate::{
    Error, names,
    objects::{Objects, same_tag},
};
use object_store::path::Path;

/// The first chunk's name.
const FIRST: &str = "first";

/// What is known of a stream that is there.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) life: u64,
    /// The entity tag of the first chunk: while it is the same, the stream is the same.
    pub(super) tag: String,
    /// Records.
    pub(super) len: u64,
}

/// A stream's folder.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: Path,
}

impl Place {
    pub(super) fn of(objects: &Objects, stream: &str) -> Result<Self, Error> {
        Ok(Self { folder: names::leaf(objects.root(), stream)? })
    }

    pub(super) fn first(&self) -> Path {
        self.folder.clone().join(FIRST)
    }

    /// The chunk that begins at `place`, which is not 0.
    pub(super) fn chunk(&self, life: u64, place: u64) -> Path {
        self.folder.clone().join(format!("{life:016x}-{place:016x}"))
    }

    /// Where the chunks of this life begin after the first, in order.
    pub(super) async fn chunks(&self, objects: &Objects, life: u64) -> Result<Vec<u64>, Error> {
        let prefix = format!("{life:016x}-");
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

    /// Looks what is there now.
    pub(super) async fn look(&self, objects: &Objects) -> Result<Option<Head>, Error> {
        let Some((first, tag)) = self.header(objects, &self.first()).await? else { return Ok(None) };
        let last = match self.chunks(objects, first.life).await?.last() {
            None => first,
            Some(place) => match self.header(objects, &self.chunk(first.life, *place)).await? {
                Some((last, _)) => last,
                // Deleted under our eyes.
                None => return Ok(None),
            },
        };
        Ok(Some(Head { life: first.life, tag, len: last.end() }))
    }

    /// Whether the stream of this head is still there.
    pub(super) async fn is_current(&self, objects: &Objects, head: &Head) -> Result<bool, Error> {
        Ok(objects.head(&self.first()).await?.is_some_and(|tag| same_tag(&tag, &head.tag)))
    }
}
