//! Requests that no client library would send.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{LIMIT, ROUTE, Server};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_bytes_are_answered_too() {
    let server = Server::start().await;
    let body = server.signed(3, |_| {}).to_string();
    let head = format!(
        "POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nconnection: close\r\n",
        server.till.token
    );
    let chunk = |piece: &str| format!("{:x}\r\n{piece}\r\n", piece.len());
    let chunked = |pieces: &[&str]| {
        let chunks: String = pieces.iter().map(|piece| chunk(piece)).collect();
        format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    let (first, second) = body.split_at(body.len() / 2);
    let too_much = " ".repeat(LIMIT / 2);
    for (text, status, code) in [
        (chunked(&[first, second]), 202, "ACCEPTED"),
        (chunked(&[&too_much, &too_much, " "]), 413, "body_too_large"),
        (
            format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n"),
            400,
            "body_incomplete",
        ),
        // Two lengths, or both kinds of length: what one server reads as one request another reads as two.
        (
            format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\n{body}"),
            400,
            "malformed_request",
        ),
        (
            format!("{head}content-length: 99999999999999999999999\r\n\r\n"),
            400,
            "malformed_request",
        ),
        (
            format!("{head}x-request-id: a\nb: c\r\ncontent-length: 0\r\n\r\n"),
            400,
            "malformed_json",
        ),
        (
            format!("{head}x-request-id: a\r\n b\r\ncontent-length: 0\r\n\r\n"),
            400,
            "malformed_request",
        ),
    ] {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let shown = text.split_at(text.len().min(600)).0;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown}\n{answer}"
        );
        assert!(answer.contains(&format!("\"{code}\"")), "{shown}\n{answer}");
        assert!(!answer.contains("\r\nb: c"), "{answer}");
    }
}
