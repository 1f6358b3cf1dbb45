//! What Redis says of itself: commands and bytes so far.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Totals since Redis started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Commands executed, those inside scripts included.
    pub(super) commands: u64,
    /// Bytes read from clients.
    pub(super) bytes_in: u64,
    /// Bytes written to clients.
    pub(super) bytes_out: u64,
}

/// Whether it answers.
pub(super) async fn ping(address: SocketAddr) -> io::Result<()> {
    tokio::time::timeout(PATIENCE, async {
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        stream.write_all(b"PING\r\n").await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.starts_with("+PONG") {
            Ok(())
        } else {
            Err(io::Error::other(line))
        }
    })
    .await?
}

/// Its totals now.
pub(super) async fn totals(address: SocketAddr) -> io::Result<Totals> {
    let text = tokio::time::timeout(PATIENCE, async {
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        stream.write_all(b"INFO stats\r\n").await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let length: u64 = line
            .strip_prefix('$')
            .and_then(|length| length.trim_end().parse().ok())
            .ok_or_else(|| io::Error::other(line.clone()))?;
        let mut text = String::new();
        stream.take(length.min(LONGEST)).read_to_string(&mut text).await?;
        Ok::<_, io::Error>(text)
    })
    .await??;
    let figure = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key));
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or_default()
    };
    Ok(Totals {
        commands: figure("total_commands_processed:"),
        bytes_in: figure("total_net_input_bytes:"),
        bytes_out: figure("total_net_output_bytes:"),
    })
}
