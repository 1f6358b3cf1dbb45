//! TLS with a certificate authority made for the test.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::config::{Ingress, TlsVersion};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Writes a pair for `localhost` that this authority vouches for.
    fn issue(&self, folder: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let own: &rcgen::Certificate = self.issuer.as_ref();
        roots.add(own.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn settings(folder: &Path) -> Ingress {
    let mut settings = fixture::settings();
    settings.tls_certificate = folder.join("certificate.pem");
    settings.tls_key = folder.join("key.pem");
    settings
}

async fn encrypted(settings: &Ingress) -> (Server, Arc<Tls>) {
    let tls = Tls::open(settings).unwrap().unwrap();
    let bounds = Bounds::new(settings, fixture::PATIENCE, Some(Arc::clone(&tls)));
    let server = server(Router::new().route("/", get(async || "hello")), bounds).await;
    (server, tls)
}

async fn shake(server: &Server, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = server.say("").await;
    let name = ServerName::try_from("localhost").unwrap();
    fixture::soon(client.connect(name, stream)).await
}

async fn ask(stream: &mut TlsStream<TcpStream>, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut piece = [0; 1024];
        let read = fixture::soon(stream.read(&mut piece)).await.unwrap();
        assert!(read > 0, "closed early: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(answer).unwrap()
}

fn certificate_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue(folder.path());
    let (server, _) = encrypted(&settings(folder.path())).await;
    for version in [&TLS12, &TLS13] {
        let client = authority.client(&[version], &[b"http/1.1"]);
        let mut stream = shake(&server, &client).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        let answer = ask(&mut stream, GET).await;
        assert!(
            answer.contains("strict-transport-security: max-age=31536000"),
            "{answer}"
        );
        // The kept connection goes on after it was silent.
        assert!(ask(&mut stream, GET).await.starts_with("HTTP/1.1 200 "));
    }
    let client = authority.client(&[&TLS13], &[b"h2", b"http/1.1"]);
    let stream = shake(&server, &client).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("https://localhost/")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = fixture::soon(client.send_request(request)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, http::Version::HTTP_2)
    );
    drop(client);
    connection.await.unwrap().unwrap();
    server.stopped().await;
}

/// The first message of a client that speaks TLS 1.1 and nothing newer.
fn hello_of_tls_1_1() -> Vec<u8> {
    let body: Vec<u8> = [
        &[3, 2][..],                     // TLS 1.1
        &[7; 32],                        // random
        &[0],                            // no session
        &[0, 4, 0xc0, 0x14, 0x00, 0x2f], // two cipher suites
        &[1, 0],                         // no compression
    ]
    .concat();
    let length = u8::try_from(body.len()).unwrap();
    let handshake = [&[1, 0, 0, length][..], &body].concat();
    [&[22, 3, 1, 0, length + 4][..], &handshake].concat()
}

#[tokio::test]
async fn older_versions_and_no_tls_at_all_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue(folder.path());
    let mut only_13 = settings(folder.path());
    only_13.tls_min_version = TlsVersion::V13;
    let (server, _) = encrypted(&only_13).await;
    assert!(shake(&server, &authority.client(&[&TLS12], &[])).await.is_err());
    assert!(shake(&server, &authority.client(&[&TLS13], &[])).await.is_ok());
    assert!(
        shake(&server, &Authority::new().client(&[&TLS13], &[]))
            .await
            .is_err(),
        "the test would trust anybody"
    );
    server.stopped().await;

    let (server, _) = encrypted(&settings(folder.path())).await;
    for first in [hello_of_tls_1_1(), GET.as_bytes().to_vec()] {
        let mut stream = server.say("").await;
        stream.write_all(&first).await.unwrap();
        let mut answer = Vec::new();
        fixture::soon(stream.read_to_end(&mut answer))
            .await
            .unwrap_or_default();
        // An alert (21) that is fatal (2), or nothing; never an answer.
        assert!(
            answer.is_empty() || answer[0] == 21 && answer[5] == 2,
            "{answer:?}"
        );
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    Authority::new().issue(folder.path());
    let mut hasty = settings(folder.path());
    hasty.handshake_timeout_ms = fixture::millis(50);
    let (server, _) = encrypted(&hasty).await;
    for first in [&[][..], &[22, 3, 1, 0, 200, 1, 0]] {
        let mut stream = server.say("").await;
        stream.write_all(first).await.unwrap();
        let mut answer = Vec::new();
        fixture::soon(stream.read_to_end(&mut answer))
            .await
            .unwrap_or_default();
        assert!(answer.is_empty(), "{answer:?}");
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue(folder.path());
    let (server, tls) = encrypted(&settings(folder.path())).await;
    let watching = tokio::spawn(Arc::clone(&tls).watch(Duration::from_millis(1)));
    let client = authority.client(&[&TLS13], &[b"http/1.1"]);
    let mut kept = shake(&server, &client).await.unwrap();
    let first = certificate_of(&kept);

    // A half-written pair: the key of the certificate before.
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    authority.issue(folder.path());
    let good = std::fs::read(folder.path().join("key.pem")).unwrap();
    std::fs::write(folder.path().join("key.pem"), [key.as_slice(), b"\n"].concat()).unwrap();
    let tried = (tls.look((None, None)), tls.look((None, None)));
    assert_eq!(tried.0, tried.1);
    let still = shake(&server, &client).await.unwrap();
    assert_eq!(certificate_of(&still), first, "the old pair stays in use");

    std::fs::write(folder.path().join("key.pem"), good).unwrap();
    let renewed = async {
        loop {
            let stream = shake(&server, &client).await.unwrap();
            if certificate_of(&stream) != first {
                return;
            }
        }
    };
    fixture::soon(renewed).await;
    assert!(
        ask(&mut kept, GET).await.ends_with("hello"),
        "an open connection goes on"
    );
    watching.abort();
    server.stopped().await;
}

#[test]
fn files_that_cannot_be_used_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let told = || Tls::open(&settings).err().unwrap().to_string();
    assert!(told().contains("certificate.pem"), "{}", told());
    Authority::new().issue(folder.path());
    std::fs::write(folder.path().join("key.pem"), "nothing").unwrap();
    assert!(told().contains("key.pem"), "{}", told());
    std::fs::write(folder.path().join("certificate.pem"), "nothing").unwrap();
    assert!(told().contains("no certificate"), "{}", told());
}
