//! Paged listing of streams in name order. Folders are visited in name order, and those that sort before or after the
//! page are skipped.

use super::stream_path::StreamPath;
use crate::{
    Error,
    names::{self, Part},
    objects::Objects,
};
use fabric_backend::journal::StreamInfo;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;

/// Number of streams whose length is read concurrently.
const AT_ONCE: usize = 32;
/// Maximum folder depth.
const DEEPEST: usize = 64;

/// A path to visit, ordered by `name`. The name of a folder ends in `/`, so that every name in the folder sorts as the
/// folder does.
#[derive(Debug)]
enum Step {
    Folder { name: String, path: Path, depth: usize },
    Stream { name: String },
}

impl Step {
    fn name(&self) -> &str {
        match self {
            Self::Folder { name, .. } | Self::Stream { name } => name,
        }
    }

    /// Returns `true` if the step is, or may contain, a name that begins with `prefix` and sorts after `after`.
    fn matters(&self, prefix: &str, after: Option<&str>) -> bool {
        let name = self.name();
        match self {
            Self::Folder { .. } => {
                (name.starts_with(prefix) || prefix.starts_with(name))
                    && after.is_none_or(|after| name > after || after.starts_with(name))
            }
            Self::Stream { .. } => name.starts_with(prefix) && after.is_none_or(|after| name > after),
        }
    }
}

async fn children(objects: &Objects, name: &str, path: &Path, depth: usize) -> Result<Vec<Step>, Error> {
    let mut steps: Vec<Step> = objects
        .list_folder(path)
        .await?
        .common_prefixes
        .into_iter()
        .filter_map(|below| {
            Some(match names::part(below.parts().next_back()?.as_ref())? {
                Part::Leaf(text) => Step::Stream { name: format!("{name}{text}") },
                Part::Folder(text) => Step::Folder { name: format!("{name}{text}/"), path: below, depth: depth + 1 },
            })
        })
        .collect();
    // In reverse order, since steps are popped from the end.
    steps.sort_unstable_by(|a, b| b.name().cmp(a.name()));
    Ok(steps)
}

pub(super) async fn streams(
    objects: &Objects,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<StreamInfo>, Error> {
    let (path, name) = names::folder(objects.root(), prefix);
    let mut steps = vec![Step::Folder { name: name.to_owned(), path, depth: 0 }];
    let mut found = Vec::new();
    while found.len() < limit && !steps.is_empty() {
        let mut names = Vec::new();
        while names.len() < AT_ONCE.max(limit - found.len()).min(4 * AT_ONCE)
            && let Some(step) = steps.pop()
        {
            match step {
                step if !step.matters(prefix, after) => {}
                Step::Stream { name } => names.push(name),
                Step::Folder { name, path, depth } if depth < DEEPEST => {
                    steps.extend(children(objects, &name, &path, depth).await?);
                }
                Step::Folder { .. } => {}
            }
        }
        let infos: Vec<Option<StreamInfo>> = stream::iter(names)
            .map(async |name| {
                let head = StreamPath::of(objects, &name)?.read_head(objects).await?;
                Ok::<_, Error>(head.map(|head| StreamInfo { name, len: head.len }))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let room = limit - found.len();
        found.extend(infos.into_iter().flatten().take(room));
    }
    Ok(found)
}
