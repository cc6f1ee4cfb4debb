//! The admin token of a server on loopback: a file that only its owner can read, and that a CLI on the same machine
//! finds.

use super::{Tokens, secret};
use crate::{Error, clock::now_ms, error::Result};
use fabric_api::token::Token;
use fabric_types::{Code, id::TenantId, rest::token::Role};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

const FILE: &str = "admin-token";

fn failed(what: &str, path: &Path, e: &std::io::Error) -> Error {
    Error::new(Code::Internal, format!("can't {what} `{}`: {e}", path.display()))
}

/// Returns the admin token of this data folder. A token that does not exist or is no longer valid is created,
/// registered and written to `admin-token` (mode 0600). `process` names the process in lists of tokens.
///
/// # Errors
/// `internal` if the file cannot be read or written; the errors of the registry.
pub async fn ensure_admin_token(tokens: &Tokens, data_dir: &Path, process: &str) -> Result<String> {
    let path = data_dir.join(FILE);
    match tokio::fs::read_to_string(&path).await {
        Ok(text) => match tokens.verify(text.trim()).await {
            Ok(token) if token.role == Role::Admin => return Ok(text.trim().to_owned()),
            Err(e) if e.code() != Code::Unauthenticated => return Err(e),
            _ => {}
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed("read", &path, &e)),
    }
    let (id, secret) = secret::generate()?;
    let token = Token {
        id,
        name: format!("admin of {process}"),
        tenant: TenantId::new("default")?,
        role: Role::Admin,
        created_ms: now_ms(),
        expires_ms: None,
    };
    let created = tokens.register(token, secret).await?;
    let (text, to) = (created.secret.clone(), path.clone());
    // Registered before it is written, so that the file does not name a token that does not work.
    tokio::task::spawn_blocking(move || write(&to, &text))
        .await
        .map_err(|e| Error::new(Code::Internal, e.to_string()))?
        .map_err(|e| failed("write", &path, &e))?;
    Ok(created.secret)
}

/// Writes a file next to the target, with mode 0600 from its creation, then renames it to the target.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let beside: PathBuf = path.with_extension(format!("new-{:x}", crate::clock::draw()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}
