//! The files that a server on this machine writes into its data folder for clients of the same user: `server.json` with
//! its address, and `admin-token` (mode 0600).

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Maximum file size. The server's files are shorter.
const FILE_LIMIT: u64 = 64 << 10;

/// The server on this machine.
#[derive(Clone)]
pub struct LocalServer {
    /// Data folder.
    pub folder: PathBuf,
    /// Server address.
    pub url: String,
    /// Token of the admin, if this user may read it.
    pub token: Option<String>,
}

#[derive(Deserialize)]
struct ServerJson {
    url: String,
}

impl LocalServer {
    /// Returns the server that was last started with the data folder `folder`, if any. It may have stopped since.
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

/// Returns the default data folder of a server: `$XDG_DATA_HOME/fabric`, which is `~/.local/share/fabric` by default.
#[must_use]
pub fn default_data_dir() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    Some(etcetera::choose_base_strategy().ok()?.data_dir().join("fabric"))
}
