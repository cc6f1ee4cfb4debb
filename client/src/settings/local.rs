//! What a server on this machine leaves in its data folder for the clients of the same user: `server.json` with its
//! address, and `admin-token` (0600).

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Longer files are not ours.
const FILE_LIMIT: u64 = 64 << 10;

/// The server on this machine.
#[derive(Clone)]
pub struct LocalServer {
    /// Its data folder.
    pub folder: PathBuf,
    /// Its address.
    pub url: String,
    /// The admin's token, where this user may read it.
    pub token: Option<String>,
}

#[derive(Deserialize)]
struct ServerJson {
    url: String,
}

impl LocalServer {
    /// The server whose data is in `folder`, where one has been started. Whether it still runs is not looked at.
    #[must_use]
    pub fn find(folder: &Path) -> Option<Self> {
        let json: ServerJson = serde_json::from_str(&read(&folder.join("server.json"))?).ok()?;
        let token = read(&folder.join("admin-token")).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        Some(Self { folder: folder.to_owned(), url: json.url, token })
    }
}

fn read(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > FILE_LIMIT {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// Where a server keeps its data when nothing else is said: `$XDG_DATA_HOME/fabric`, that is `~/.local/share/fabric`.
#[must_use]
pub fn default_data_dir() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    Some(etcetera::choose_base_strategy().ok()?.data_dir().join("fabric"))
}
