//! A lean HTTP/1.1 client: whole requests as bytes, one keep-alive connection, no more parsing than
//! a measurement needs. A general client would cost more than the server it measures.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long one answer may take; longer than the ingress takes to give up.
const PATIENCE: Duration = Duration::from_secs(40);

/// Longest answer, in bytes: a page of the sink's ledger fits.
const LONGEST: usize = 16 * 1024 * 1024;

/// A connection to a server.
pub(super) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
pub(super) struct Answer<'a> {
    /// Its status code.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: &'a [u8],
}

/// Where the head ends, and what it says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body_from: usize,
    body_to: usize,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            stream,
            buffer: Vec::new(),
        })
    }

    /// Where it goes.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends `request` and reads the answer. After an error the connection is of no more use.
    pub(super) async fn call(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let head = tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Answer {
            status: head.status,
            body: self.buffer.get(head.body_from..head.body_to).unwrap_or_default(),
        })
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Head> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut head = None;
        while self.buffer.len() < LONGEST {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head.is_none() {
                head = read_head(&self.buffer)?;
            }
            match head {
                Some(head) if head.body_to <= self.buffer.len() => return Ok(head),
                _ => {}
            }
        }
        Err(invalid("the answer is too long"))
    }
}

/// A request without a body.
pub(crate) fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token.map_or(String::new(), |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{authorization}\r\n").into_bytes()
}

/// A request with a JSON body.
pub(super) fn post(path: &str, token: Option<&str>, body: &[u8]) -> Vec<u8> {
    with_body("POST", path, token, body)
}

/// The same that puts.
pub(super) fn put(path: &str, body: &[u8]) -> Vec<u8> {
    with_body("PUT", path, None, body)
}

fn with_body(method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Vec<u8> {
    let authorization = token.map_or(String::new(), |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\n{authorization}content-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// One request over a connection of its own.
pub(crate) async fn once(address: SocketAddr, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut connection = Connection::open(address).await?;
    let answer = connection.call(request).await?;
    Ok((answer.status, answer.body.to_vec()))
}

/// `None` while the head is not all there.
fn read_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = bytes.get(..end).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| invalid("the head is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| invalid("not HTTP/1.1"))?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map(|(_, value)| value.trim().parse::<usize>());
    let length = match length {
        Some(Ok(length)) if length <= LONGEST => length,
        None if status == 204 => 0,
        _ => return Err(invalid("no usable content-length")),
    };
    let body_from = end + 4;
    Ok(Some(Head {
        status,
        body_from,
        body_to: body_from + length,
    }))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_out_of_the_stream() {
        let bytes = b"HTTP/1.1 202 Accepted\r\nA: b\r\nContent-Length: 5\r\n\r\nhello and more";
        for cut in 0..=bytes.len() {
            let head = read_head(&bytes[..cut]).unwrap();
            let whole = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            match head {
                None => assert!(cut < whole),
                Some(head) => {
                    assert_eq!(head.status, 202);
                    assert_eq!(&bytes[head.body_from..head.body_to], b"hello");
                }
            }
        }
        let empty = read_head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!((empty.status, empty.body_to - empty.body_from), (204, 0));
    }

    #[test]
    fn what_cannot_be_measured_is_an_error() {
        for text in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        ] {
            assert!(read_head(text.as_bytes()).is_err(), "{text}");
        }
    }
}
