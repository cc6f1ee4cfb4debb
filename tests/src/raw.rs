//! Raw HTTP requests. A client normalizes the target of a request; these tests need it unchanged.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Head and body as received.
    pub text: String,
}

impl Answer {
    /// Returns the code of a problem document.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        let (_, body) = self.text.split_once("\r\n\r\n")?;
        // The body is either plain or a single chunk.
        let body = body.get(body.find('{')?..=body.rfind('}')?)?;
        Some(serde_json::from_str::<serde_json::Value>(body).ok()?.get("code")?.as_str()?.to_owned())
    }
}

/// Sends one request with exactly these bytes as its target.
pub(crate) async fn send(url: &str, method: &str, target: &[u8], token: Option<&str>, body: &str) -> Answer {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let mut request = format!("{method} ").into_bytes();
    request.extend_from_slice(target);
    let authorization = token.map(|t| format!("authorization: Bearer {t}\r\n")).unwrap_or_default();
    let kind = if body.starts_with('{') { "content-type: application/json\r\n" } else { "" };
    let length = body.len();
    request.extend_from_slice(
        format!(
            " HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{authorization}{kind}content-length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    );
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    Answer { status, text }
}
