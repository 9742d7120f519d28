//! Answers on a terminal: text, line by line, without what would steer it.

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Prints one answer. Control characters are left out, so that no answer moves the cursor or sets a title.
pub(super) async fn print(writer: &mut (impl AsyncWrite + Unpin), text: &str) -> std::io::Result<()> {
    let plain: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    writer.write_all(plain.as_bytes()).await?;
    writer.write_all(b"\n").await?;
    writer.flush().await
}
