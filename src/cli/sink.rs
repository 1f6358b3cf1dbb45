//! `tsms sink`: the stand-in web application.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tsms::{
    fleet::stop_on_signal,
    standin::sink::{self, BULK_PATH, CheckKey, MOST_ENTRIES, SinkHandle, SinkOptions, mode::Mode},
};

use super::{Exit, Failure, Setup, print};

/// A stand-in web application with its own ledger that answers as it is told.
#[derive(clap::Args)]
#[command(
    after_help = "Modes: ok, status:503, busy:5 (429 with Retry-After), slow:2000 (milliseconds), hang, reset,\n\
    partial:3:retry, empty, html, redirect, drip:1000 (a byte at a time), huge:2000000 (bytes), garbled,\n\
    flap:2000 (well and 503 in turns), scramble, plain (knows no compression);\n    +apply keeps the sales all the same, *N ends after N requests.\n\n\
    While it runs: GET /_control/ledger, /_control/entries/AFTER_ID, /_control/clashes; GET or PUT /_control/mode;\n\
    POST /_control/reset.\n\n\
    Examples:\n  tsms sink\n  tsms sink --listen 127.0.0.1:8090 --mode 'status:503*10'\n  \
    curl -X PUT http://127.0.0.1:8090/_control/mode --data 'hang+apply*3'"
)]
pub(super) struct Args {
    /// Where to listen, instead of `fleet.demo_sink_listen`; loopback only, since whoever reaches it may change it.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// How it answers at first.
    #[arg(long, default_value = "ok")]
    mode: Mode,
    /// Bearer token that batches must carry; none is asked for unless given.
    #[arg(long, env = "TSMS_SINK_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// What a request must be signed with: whsec_… (the secret) or whpk_… (the public key); several with commas
    /// between, of which one must fit. None is asked for unless given.
    #[arg(
        long,
        value_name = "KEYS",
        env = "TSMS_SINK_SIGNING_KEYS",
        hide_env_values = true,
        value_delimiter = ','
    )]
    signing_keys: Vec<CheckKey>,
    /// Most sales it holds.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    max_entries: usize,
}

pub(super) async fn run(setup: &Setup, args: Args) -> Result<(), Failure> {
    let listen = match args.listen {
        Some(listen) => listen,
        None => setup.config()?.fleet.demo_sink_listen,
    };
    if !listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "{listen} is not a loopback address, and the sink obeys whoever reaches it"
        )));
    }
    if args.max_entries > MOST_ENTRIES {
        return Err(Failure::usage(format!("--max-entries is at most {MOST_ENTRIES}")));
    }
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let options = SinkOptions {
        token: args.token,
        keys: args.signing_keys,
        mode: args.mode,
        max_entries: args.max_entries,
        ..SinkOptions::default()
    };
    let (sink, address, serving) = start(listen, options, stop).await?;
    print::line(format_args!(
        "the sink takes batches at http://{address}{BULK_PATH} (mode {})",
        sink.mode()
    ))?;
    serving.await??;
    print::line(format_args!("{}", sink.summary()))?;
    Ok(())
}

/// A running sink: its handle, where it listens, and its task.
type Running = (
    SinkHandle,
    SocketAddr,
    tokio::task::JoinHandle<std::io::Result<()>>,
);

/// Most time requests under way may take to end after `stop`.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// Starts a sink that runs until `stop`, and then drops what still hangs.
pub(super) async fn start(
    listen: SocketAddr,
    options: SinkOptions,
    stop: CancellationToken,
) -> Result<Running, Failure> {
    let cannot = |error| {
        Failure::new(
            Exit::Usage,
            format!("the sink cannot listen on {listen}: {error}"),
        )
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let address = listener.local_addr()?;
    let sink = SinkHandle::new(options);
    let server = sink::serve(listener, sink.clone(), stop.clone());
    let serving = tokio::spawn(async move {
        tokio::pin!(server);
        tokio::select! {
            ended = &mut server => return ended,
            () = stop.cancelled() => {}
        }
        tokio::time::timeout(LAST_REQUESTS, server)
            .await
            .unwrap_or(Ok(()))
    });
    Ok((sink, address, serving))
}
