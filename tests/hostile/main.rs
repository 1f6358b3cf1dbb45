//! What an attacker sends to a running server, over HTTP/1.1 and HTTP/2: a documented refusal each time,
//! memory that stays flat, and logs that stay lines of JSON.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a failed expectation is a failed test; the peak memory belongs in the report"
)]

mod raw;
mod slow;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use reqwest::Client;
use serde_json::{Value, json};
use tsms::{
    config::{Config, Secret},
    credentials::{Credentials, Wish},
    domain::{
        checksum::{self, Version},
        json::{self as strict, Duplicates, Limits},
        keyring::Keyring,
        time::Timestamp,
    },
    standin::sim::{self, SimTerminal, make_sale},
    store::{self, NewTerminal},
};

const PEPPER: &str = "the pepper of the tests of hostile requests";
const LIMIT: usize = 2 * 1024 * 1024;
const ROUTE: &str = "/api/v1/transactions/official";
/// The list is longer than a till may send in a minute; the rate limits are not what is tested here.
const UNREACHED: &str = "1000000";
/// Times the whole list is sent; memory is compared after the first and after the last.
const ROUNDS: usize = 6;
/// What the peak may grow by from the first round to the last: the memory for bodies in flight and
/// what the allocator keeps of it. One round holds several times as much.
const MOST_GROWTH_KIB: u64 = 64 * 1024;

struct Server {
    child: Child,
    address: String,
    log: PathBuf,
    till: SimTerminal,
    /// Kept open: what cannot be printed ends `tsms up`.
    _printed: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let budget = (8 * LIMIT).to_string();
        // A busy machine may take long over the largest bodies; what they are refused for is tested here.
        Self::start_with(&[
            ("TSMS__INGRESS__BODY_BUDGET_BYTES", &budget),
            ("TSMS__INGRESS__LINGER_MS", "30000"),
        ])
        .await
    }

    /// Starts with further settings.
    async fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("tsms.db").display());
        let till = register(&database).await;
        let log = folder.path().join("log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tsms"))
            .arg("up")
            .current_dir(folder.path())
            .env_clear()
            .env("TSMS__DATABASE__URL", &database)
            .env("TSMS__INGRESS__LISTEN", "127.0.0.1:0")
            .env("TSMS__LOG__FORMAT", "json")
            .env("TSMS__AUTH__PEPPER", PEPPER)
            .env("TSMS__LIMITS__TERMINAL__QUOTA", UNREACHED)
            .env("TSMS__LIMITS__TENANT__QUOTA", UNREACHED)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        printed.read_line(&mut line).unwrap();
        let address = line
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        Self {
            address: address.unwrap_or_else(|| panic!("{line}")).to_owned(),
            child,
            log,
            till,
            _printed: printed,
            _folder: folder,
        }
    }

    /// Most memory the server ever held, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let figure = line.and_then(|line| line.split_whitespace().next());
        figure.unwrap().parse().unwrap()
    }

    fn request(&self, client: &Client) -> reqwest::RequestBuilder {
        client
            .post(format!("http://{}{ROUTE}", self.address))
            .bearer_auth(&self.till.token)
            .header("content-type", "application/json")
    }

    /// A good submission, changed by `change` and signed again.
    fn signed(&self, seed: u64, change: impl FnOnce(&mut Value)) -> Value {
        let kind = sim::Kind {
            version: Version::V21,
            items: 1,
            flawed: false,
        };
        let sale = make_sale(&self.till, kind, seed, Timestamp::now()).unwrap();
        let mut body: Value = serde_json::from_slice(&sale.body).unwrap();
        change(&mut body);
        if let Some(transaction) = body.get_mut("transaction") {
            sign(transaction);
        }
        sign(&mut body);
        body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn sign(level: &mut Value) {
    let limits = Limits {
        depth: 64,
        nodes: 100_000,
        duplicates: Duplicates::Refuse,
    };
    let text = level.to_string();
    let node = strict::parse(text.as_bytes(), &limits).unwrap();
    let digest = checksum::digest(&node, Version::V21);
    level["payload_checksum"] = data_encoding::HEXLOWER.encode(&digest).into();
}

async fn register(database: &str) -> SimTerminal {
    let mut settings = Config::load(None).unwrap().database;
    settings.url = Secret::new(database);
    let store = store::open(&settings).await.unwrap();
    store.migrate().await.unwrap();
    let company = store.ensure_company("C-1", "A company").await.unwrap();
    let tenant = store
        .create_tenant(company, "C-T1", "A shop", "Asia/Manila")
        .await
        .unwrap();
    let terminal = store
        .create_terminal(&NewTerminal {
            tenant_id: tenant.id,
            serial_number: "SN-1".to_owned(),
            callback_url: None,
            expires_at: None,
        })
        .await
        .unwrap();
    let wish = Wish {
        terminal_id: Some(terminal.id),
        ..Wish::default()
    };
    let (_, token) = Credentials::new(store, Keyring::new([PEPPER]).unwrap(), "live")
        .issue(wish)
        .await
        .unwrap();
    SimTerminal {
        terminal_id: terminal.id,
        tenant_id: tenant.id,
        serial_number: "SN-1".to_owned(),
        customer_code: "C-T1".to_owned(),
        token,
    }
}

/// What is sent, and what must come back: status and code.
struct Case {
    name: String,
    body: Vec<u8>,
    encoding: Option<&'static str>,
    status: u16,
    code: &'static str,
}

impl Case {
    fn new(name: impl Into<String>, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Self {
        Self {
            name: name.into(),
            body: body.into(),
            encoding: None,
            status,
            code,
        }
    }
}

fn corpus(name: &str) -> Vec<u8> {
    fs::read(Path::new("tests/fixtures/corpus/body").join(name)).unwrap()
}

fn cases(server: &Server) -> Vec<Case> {
    let padded = |length: usize| {
        let mut body = server.signed(1, |_| {}).to_string().into_bytes();
        body.resize(length, b' ');
        body
    };
    let keys = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"{n:x}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let mut cases = vec![
        Case::new("0 bytes", "", 400, "malformed_json"),
        Case::new("the limit", padded(LIMIT), 202, ""),
        Case::new("the limit and one byte", padded(LIMIT + 1), 413, "body_too_large"),
        Case::new("depth 10,000", corpus("deep-arrays.json"), 400, "json_too_deep"),
        Case::new("a million keys", keys(1_000_000), 413, "body_too_large"),
        Case::new("the keys that fit", keys(150_000), 400, "json_too_many_values"),
        Case::new(
            "compressed and not said so",
            corpus("bomb.gz"),
            400,
            "malformed_json",
        ),
    ];
    for name in [
        "nan.json",
        "infinity.json",
        "lone-high-surrogate.json",
        "lone-low-surrogate.json",
        "swapped-surrogates.json",
        "invalid-utf-8.json",
        "overlong-utf-8.json",
        "surrogate-in-utf-8.json",
        "byte-order-mark.json",
        "utf-16.json",
    ] {
        cases.push(Case::new(name, corpus(name), 400, "malformed_json"));
    }
    cases.push(Case::new("1e400", corpus("1e400.json"), 422, "invalid_fields"));
    for encoding in ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let mut bomb = Case::new(encoding, corpus("bomb.gz"), 415, "unsupported_content_encoding");
        bomb.encoding = Some(encoding);
        cases.push(bomb);
    }
    cases.extend(line_breaks(server));
    cases
}

/// A line break in every text of the envelope, the sale and its rows, one at a time.
fn line_breaks(server: &Server) -> Vec<Case> {
    const BREAK: &str = "x\r\nX-Injected: 1\r\n{\"level\":\"ERROR\",\"injected\":true}\u{1b}[2J";
    let good = server.signed(2, |_| {});
    let mut pointers = Vec::new();
    for place in [
        "",
        "/transaction",
        "/transaction/adjustments/0",
        "/transaction/taxes/0",
    ] {
        for (name, value) in good.pointer(place).and_then(Value::as_object).unwrap() {
            // The checksum of a level is signed anew below.
            if value.is_string() && name != "payload_checksum" {
                pointers.push(format!("{place}/{name}"));
            }
        }
    }
    assert!(pointers.len() >= 8, "the sale has lost its texts: {pointers:?}");
    let case = |pointer: &String| {
        let body = server.signed(2, |body| *body.pointer_mut(pointer).unwrap() = json!(BREAK));
        Case::new(
            format!("CR/LF in {pointer}"),
            body.to_string(),
            422,
            "invalid_fields",
        )
    };
    pointers.iter().map(case).collect()
}

async fn send(server: &Server, client: &Client, case: &Case) -> Result<(), String> {
    let mut request = server.request(client).body(case.body.clone());
    if let Some(encoding) = case.encoding {
        request = request.header("content-encoding", encoding);
    }
    let answer = request
        .send()
        .await
        .map_err(|error| format!("{}: {error:?}", case.name))?;
    let status = answer.status().as_u16();
    let text = answer
        .text()
        .await
        .map_err(|error| format!("{}: {error:?}", case.name))?;
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    let code = document["code"].as_str().unwrap_or_default();
    if (status, code) == (case.status, case.code) {
        return Ok(());
    }
    Err(format!("{}: {status} {text}", case.name))
}

/// Whether the list of codes has it.
fn documented(code: &str) -> bool {
    let list = fs::read_to_string("docs/errors.md").unwrap();
    code.is_empty() || list.contains(&format!("\n## {code}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_body_is_refused_as_documented_and_nothing_grows() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let server = Server::start().await;
    let cases = cases(&server);
    let undocumented: Vec<&str> = cases
        .iter()
        .map(|case| case.code)
        .filter(|code| !documented(code))
        .collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
    let clients = [
        Client::builder().http1_only().build().unwrap(),
        Client::builder().http2_prior_knowledge().build().unwrap(),
    ];
    let mut peaks = Vec::new();
    for _ in 0..ROUNDS {
        let mut wrong = Vec::new();
        for client in &clients {
            for case in &cases {
                wrong.extend(send(&server, client, case).await.err());
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        peaks.push(server.peak());
    }
    eprintln!(
        "peak memory after each round of {} requests, in KiB: {peaks:?}",
        2 * cases.len()
    );
    assert!(peaks[ROUNDS - 1] - peaks[0] <= MOST_GROWTH_KIB, "{peaks:?}");

    let log = fs::read_to_string(&server.log).unwrap();
    assert!(log.lines().count() > ROUNDS * cases.len(), "a line a request");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no line of ours: {line}"));
        assert!(
            line.get("injected").is_none() && line["level"] != "ERROR",
            "{line}"
        );
    }
    assert!(
        !log.contains('\u{1b}') && !log.contains("X-Injected"),
        "texts of tills are not logged"
    );
}
