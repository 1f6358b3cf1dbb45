//! A record in a temporary file, terminals, the stand-in web application, and jobs by hand.

use std::{collections::BTreeSet, sync::Arc};

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tsms::{
    config::{Config, Layers, Millis, Secret},
    domain::{
        checksum::Version,
        directory::Terminal,
        json::{Duplicates, Limits},
        payload::{self, Bounds},
        sale::Transaction,
        time::Timestamp,
        work::AcceptedSubmission,
    },
    outcome::Outcome,
    queue::Job,
    stage::Stage,
    standin::{
        sim::{Kind, SignedBody, SimTerminal, make_sale},
        sink::{self, BULK_PATH, SinkHandle, SinkOptions},
    },
    store::{self, Accepted, NewSubmission, NewTerminal, Redrive, RedriveKind, Sequence, Store},
    workers::{self, Ctx},
};
use uuid::Uuid;

pub(crate) const TOKEN: &str = "let-me-in";

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) config: Arc<Config>,
    pub(crate) ctx: Ctx,
    pub(crate) sink: SinkHandle,
    pub(crate) tills: Vec<SimTerminal>,
    pub(crate) stop: CancellationToken,
    _dir: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    /// Two tenants with two terminals each; `adjust` changes the settings.
    pub(crate) async fn new(adjust: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::new().unwrap();
        let stop = CancellationToken::new();
        let (sink, endpoint) = web_application(TOKEN, &stop).await;

        let mut config = Layers::read(None, Vec::new()).unwrap().config().unwrap();
        config.database.url = Secret::new(format!("sqlite:{}", dir.path().join("tsms.db").display()));
        config.secrets.key = Secret::new("the key of the systems under test");
        config.egress.allow = "127.0.0.0/8".parse().unwrap();
        config.forwarding.enabled = true;
        config.forwarding.sinks_refresh_ms = Millis::new(0);
        config.forwarding.endpoint = endpoint;
        config.forwarding.token = Secret::new(TOKEN);
        // None ends while a test runs, however slow the machine.
        config.forwarding.claim_ms = Millis::new(600_000);
        config.forwarding.retry_min_ms = Millis::new(1);
        config.forwarding.retry_max_ms = Millis::new(1);
        adjust(&mut config);
        let config = Arc::new(config);
        let store = store::open(&config.database).await.unwrap();
        store.migrate().await.unwrap();
        let tills = tills(&store).await;
        Self {
            ctx: Ctx::new(store.clone(), Arc::clone(&config)).unwrap(),
            store,
            config,
            sink,
            tills,
            stop,
            _dir: dir,
        }
    }

    /// The same record with other settings: another process.
    pub(crate) fn other(&self, adjust: impl FnOnce(&mut Config)) -> Ctx {
        let mut config = Config::clone(&self.config);
        adjust(&mut config);
        Ctx::new(self.store.clone(), Arc::new(config)).unwrap()
    }

    /// Signs and commits a body of `items` sales, as the ingress does.
    pub(crate) async fn accept(
        &self,
        till: usize,
        items: usize,
        flawed: bool,
        seed: u64,
    ) -> AcceptedSubmission {
        self.commit(till, &self.sign(till, items, flawed, seed)).await
    }

    /// A body of `items` sales.
    pub(crate) fn sign(&self, till: usize, items: usize, flawed: bool, seed: u64) -> SignedBody {
        let kind = Kind {
            version: Version::V21,
            items,
            flawed,
        };
        make_sale(&self.tills[till], kind, seed, Timestamp::now()).unwrap()
    }

    pub(crate) async fn commit(&self, till: usize, signed: &SignedBody) -> AcceptedSubmission {
        self.commit_at(till, signed, Timestamp::now()).await
    }

    /// The same as if it had been accepted then.
    pub(crate) async fn commit_at(
        &self,
        till: usize,
        signed: &SignedBody,
        accepted_at: Timestamp,
    ) -> AcceptedSubmission {
        let bounds = Bounds {
            json: Limits {
                depth: 16,
                nodes: 100_000,
                duplicates: Duplicates::Refuse,
            },
            batch: 500,
            max_errors: 5,
        };
        let read = payload::read(&signed.body, &bounds).unwrap();
        let till = &self.tills[till];
        let new = NewSubmission {
            id: self.store.next_ids(Sequence::Submission, 1).await.unwrap()[0],
            tenant_id: till.tenant_id,
            terminal_id: till.terminal_id,
            submission_uuid: read.submission_uuid,
            submission_timestamp: read.submission_timestamp,
            payload_checksum: read.payload_checksum,
            transaction_ids: read.sales.iter().map(|sale| sale.transaction_id).collect(),
            request_id: format!("request-{}", read.submission_uuid),
            accepted_at,
            body: signed.body.clone(),
        };
        let accepted = self.store.accept(std::slice::from_ref(&new)).await.unwrap();
        assert_eq!(accepted, [Accepted::New]);
        AcceptedSubmission {
            id: new.id,
            tenant_id: new.tenant_id,
            terminal_id: new.terminal_id,
            submission_uuid: new.submission_uuid,
            request_id: new.request_id,
            accepted_at: new.accepted_at,
            body: new.body,
        }
    }

    /// Commits bytes that no ingress would have let in, from the first terminal.
    pub(crate) async fn accept_raw(&self, id: i64, submission_uuid: Uuid, body: &[u8]) {
        let new = NewSubmission {
            id,
            tenant_id: self.tills[0].tenant_id,
            terminal_id: self.tills[0].terminal_id,
            submission_uuid,
            submission_timestamp: Timestamp::now(),
            payload_checksum: [0; 32],
            transaction_ids: Vec::new(),
            request_id: String::new(),
            accepted_at: Timestamp::now(),
            body: body.to_vec().into(),
        };
        self.store.accept(&[new]).await.unwrap();
    }

    pub(crate) async fn run(&self, stage: Stage, jobs: &[Job]) -> Outcome {
        let outcome = workers::run(stage, &self.ctx, jobs).await.unwrap();
        assert_eq!(outcome.verdicts.len(), jobs.len());
        outcome
    }

    pub(crate) async fn rows(&self, submissions: &[AcceptedSubmission]) -> Vec<Transaction> {
        let ids: Vec<i64> = submissions.iter().map(|submission| submission.id).collect();
        self.store.transactions_of(&ids).await.unwrap()
    }

    /// VALID sales that are due to be forwarded, with their jobs: decided while forwarding was switched off.
    pub(crate) async fn due_sales(&self, till: usize, items: usize, seed: u64) -> Vec<Job> {
        let off = self.other(|config| config.forwarding.enabled = false);
        self.decided_by(&off, till, items, seed).await
    }

    /// VALID sales that are claimed for their jobs.
    pub(crate) async fn claimed_sales(&self, till: usize, items: usize, seed: u64) -> Vec<Job> {
        self.decided_by(&self.ctx, till, items, seed).await
    }

    pub(crate) async fn decided_by(&self, ctx: &Ctx, till: usize, items: usize, seed: u64) -> Vec<Job> {
        let accepted = self.accept(till, items, false, seed).await;
        let validated = self.run(Stage::Validation, &[with_body(&accepted)]).await;
        let undecided = followers(&validated, Stage::Processing);
        let decided = workers::run(Stage::Processing, ctx, &undecided).await.unwrap();
        let jobs = followers(&decided, Stage::Forwarding);
        assert_eq!(jobs.len(), items);
        jobs
    }

    /// Brings back the letters that `which` means, in one step; how the order stands then.
    pub(crate) async fn bring_back(&self, which: &str, reason: &str) -> Redrive {
        let which = which.parse().unwrap();
        let order = self.store.start_redrive(RedriveKind::Retry, &which, reason, 100);
        let order = order.await.unwrap();
        self.store
            .redrive_step(order, 10, Timestamp::now())
            .await
            .unwrap()
    }

    /// Rows of all tenants' chains.
    pub(crate) async fn audited(&self) -> usize {
        let tenants: BTreeSet<i64> = self.tills.iter().map(|till| till.tenant_id).collect();
        let mut rows = 0;
        for tenant in tenants {
            rows += self.store.audit_page(tenant, 0, 10_000).await.unwrap().len();
        }
        rows
    }
}

/// A stand-in web application that wants `token`, and the address of its batches.
pub(crate) async fn web_application(token: &str, stop: &CancellationToken) -> (SinkHandle, String) {
    let sink = SinkHandle::new(SinkOptions {
        token: Some(token.to_owned()),
        ..SinkOptions::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}{BULK_PATH}", listener.local_addr().unwrap());
    tokio::spawn(sink::serve(listener, sink.clone(), stop.clone()));
    (sink, endpoint)
}

async fn tills(store: &Store) -> Vec<SimTerminal> {
    let company = store.ensure_company("C", "Company").await.unwrap();
    let mut tills = Vec::new();
    for shop in 0..2 {
        let code = format!("T-{shop}");
        let tenant = store
            .create_tenant(company, &code, "Shop", "Asia/Manila")
            .await
            .unwrap();
        for desk in 0..2 {
            let Terminal {
                id, serial_number, ..
            } = store
                .create_terminal(&NewTerminal {
                    tenant_id: tenant.id,
                    serial_number: format!("SN-{shop}-{desk}"),
                    callback_url: None,
                    expires_at: None,
                })
                .await
                .unwrap();
            tills.push(SimTerminal {
                terminal_id: id,
                tenant_id: tenant.id,
                serial_number,
                customer_code: code.clone(),
                token: String::new(),
            });
        }
    }
    tills
}

pub(crate) fn with_body(accepted: &AcceptedSubmission) -> Job {
    Job {
        body: accepted.encode(),
        ..bare(accepted.id, accepted.tenant_id)
    }
}

pub(crate) fn bare(key: i64, tenant_id: i64) -> Job {
    Job {
        key,
        tenant_id,
        attempt: 0,
        enqueued_at: Timestamp::now(),
        request_id: "request-of-a-test".to_owned(),
        body: bytes::Bytes::new(),
    }
}

/// The jobs without their copies of rows: what the sweeper makes.
pub(crate) fn stripped(jobs: &[Job]) -> Vec<Job> {
    jobs.iter().map(|job| bare(job.key, job.tenant_id)).collect()
}

pub(crate) fn followers(outcome: &Outcome, stage: Stage) -> Vec<Job> {
    (outcome.next.iter())
        .filter(|(next, _)| *next == stage)
        .map(|(_, job)| job.clone())
        .collect()
}

/// Keys of the jobs that follow, by stage, in order.
pub(crate) fn keys(outcome: &Outcome, stage: Stage) -> Vec<i64> {
    let mut keys: Vec<i64> = followers(outcome, stage).iter().map(|job| job.key).collect();
    keys.sort_unstable();
    keys
}
