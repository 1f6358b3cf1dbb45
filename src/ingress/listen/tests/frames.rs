//! HTTP/2 spoken by hand: floods of frames that no client library would send. Each ends with the
//! connection, and leaves the server to the others.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frame, and flags of HEADERS.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET / HTTP/2` of the host `x`, over `http`, by the static table of HPACK.
const GET_BLOCK: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'x'];
/// The same with `POST`.
const POST_BLOCK: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'x'];

/// "I think that you flood me."
const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: u32 = 8;
const REFUSED_STREAM: u32 = 7;

/// Frames of one flood; the server must have had enough long before.
const FLOOD: u32 = 100_000;

fn frame_of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn opening() -> Vec<u8> {
    [PREFACE, &frame_of(SETTINGS, 0, 0, &[])].concat()
}

/// Sends `frames` for as long as the server takes them, and reads until it closes; the codes of the
/// GOAWAY frames that it sent, and what it answered in all.
async fn flood(
    server: &Server,
    frames: impl Iterator<Item = Vec<u8>> + Send + 'static,
) -> (Vec<u32>, Vec<u8>) {
    let stream = fixture::soon(TcpStream::connect(server.address)).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        writer.write_all(&opening()).await?;
        for frame in frames {
            writer.write_all(&frame).await?;
        }
        // Open until the server ends it.
        std::future::pending::<std::io::Result<()>>().await
    });
    let mut answer = Vec::new();
    // A reset is an end too.
    fixture::soon(reader.read_to_end(&mut answer))
        .await
        .unwrap_or_default();
    writing.abort();
    (codes_of_goaway(&answer), answer)
}

fn codes_of_goaway(mut bytes: &[u8]) -> Vec<u32> {
    let mut codes = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, next)) = rest.split_at_checked(length) else {
            break;
        };
        if head[3] == GOAWAY {
            codes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = next;
    }
    codes
}

/// A client that behaves is served as before.
async fn serves_others(server: &Server) {
    let answer = all(server.say(GET_AND_CLOSE).await).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello").post(async |body: String| body))
}

/// "Rapid reset": requests that are taken back as soon as they are made cost the client nothing.
#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    let server = server(hello(), ample()).await;
    let frames = (0..FLOOD).map(|number| {
        let stream = 2 * number + 1;
        let mut both = frame_of(HEADERS, END_HEADERS | END_STREAM, stream, GET_BLOCK);
        both.extend(frame_of(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
        both
    });
    let (codes, _) = flood(&server, frames).await;
    assert_eq!(codes.last(), Some(&ENHANCE_YOUR_CALM), "{codes:?}");
    serves_others(&server).await;
    server.stopped().await;
}

/// The bound on such requests is the setting, not a default of a library.
#[tokio::test]
async fn as_many_requests_may_be_taken_back_as_the_setting_says() {
    let most = 5;
    let mut bounds = ample();
    bounds.h2.pending_resets = most;
    let server = server(hello(), bounds).await;
    let resets = |count: usize| -> Vec<u8> {
        // In one piece, so that none is looked at before the next is there.
        let mut piece = Vec::new();
        for number in 0..u32::try_from(count).unwrap() {
            piece.extend(frame_of(
                HEADERS,
                END_HEADERS | END_STREAM,
                2 * number + 1,
                GET_BLOCK,
            ));
            piece.extend(frame_of(RST_STREAM, 0, 2 * number + 1, &CANCEL.to_be_bytes()));
        }
        let last = u32::try_from(2 * count + 1).unwrap();
        piece.extend(frame_of(HEADERS, END_HEADERS | END_STREAM, last, GET_BLOCK));
        piece
    };
    let (codes, _) = flood(&server, std::iter::once(resets(most * 10))).await;
    assert_eq!(codes.last(), Some(&ENHANCE_YOUR_CALM), "{codes:?}");

    let mut stream = server.say("").await;
    stream.write_all(&opening()).await.unwrap();
    stream.write_all(&resets(most)).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(5).any(|piece| piece == b"hello") {
        let read = fixture::soon(stream.read_buf(&mut answer)).await.unwrap();
        assert!(read > 0, "ended early: {:?}", codes_of_goaway(&answer));
    }
    drop(stream);
    server.stopped().await;
}

/// A head in endless pieces, each of them tiny or empty, never becomes a request.
#[tokio::test]
async fn a_head_in_endless_pieces_ends_the_connection() {
    let server = server(hello(), ample()).await;
    // An empty piece, and a piece of a header that says nothing.
    for piece in [&[][..], &[0x40, 1, b'a', 1, b'b']] {
        let first = frame_of(HEADERS, END_STREAM, 1, GET_BLOCK);
        let frames =
            std::iter::once(first).chain((0..FLOOD).map(move |_| frame_of(CONTINUATION, 0, 1, piece)));
        let (codes, answer) = flood(&server, frames).await;
        assert!(!codes.contains(&0), "{codes:?}");
        assert!(
            !answer.windows(5).any(|piece| piece == b"hello"),
            "it was no request"
        );
        serves_others(&server).await;
    }
    server.stopped().await;
}

/// More requests at a time than the setting says are refused one by one; the others go on.
#[tokio::test]
async fn requests_beyond_the_most_at_a_time_are_refused() {
    let mut bounds = ample();
    bounds.h2.streams = 3;
    let server = server(hello(), bounds).await;
    let mut stream = server.say("").await;
    stream.write_all(&opening()).await.unwrap();
    // Bodies that never come keep the first three under way.
    for number in [1, 3, 5, 7, 9] {
        let head = frame_of(HEADERS, END_HEADERS, number, POST_BLOCK);
        stream.write_all(&head).await.unwrap();
    }
    let refused = |number| frame_of(RST_STREAM, 0, number, &REFUSED_STREAM.to_be_bytes());
    let mut answer = Vec::new();
    let contains = |answer: &[u8], frame: &[u8]| answer.windows(frame.len()).any(|piece| piece == frame);
    while ![7, 9].iter().all(|number| contains(&answer, &refused(*number))) {
        let read = fixture::soon(stream.read_buf(&mut answer)).await.unwrap();
        assert!(read > 0, "ended early: {:?}", codes_of_goaway(&answer));
    }
    for number in [1, 3, 5] {
        assert!(!contains(&answer, &refused(number)));
    }
    // The first one goes on to its end.
    let body = frame_of(DATA, END_STREAM, 1, b"still here");
    stream.write_all(&body).await.unwrap();
    while !contains(&answer, b"still here") {
        let read = fixture::soon(stream.read_buf(&mut answer)).await.unwrap();
        assert!(read > 0, "ended early: {:?}", codes_of_goaway(&answer));
    }
    drop(stream);
    server.stopped().await;
}
