//! `tsms up`: every role in one process, with nothing else installed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tsms::{
    config::{Config, Layers, Origin},
    credentials::{Credentials, Wish},
    fleet::{Fleet, Roles, stop_on_signal},
    queue,
    store::{self, Store},
    telemetry::logs,
};

use super::{Failure, Setup, demo::Demo, print, sim::private_folder, token};

/// Run everything in one process: ingress, workers, scheduler, with a database file and queues in memory.
#[derive(clap::Args)]
#[command(
    after_help = "The data folder (fleet.data_dir, ./data unless set) is made if needed. The first start prints an\n\
    administrator's token, once. Ctrl-C drains and ends; sales that were accepted go on at the next start.\n\n\
    Examples:\n  tsms up --demo\n  tsms up --demo --rate 200 --for 60\n  TSMS__INGRESS__LISTEN=0.0.0.0:8080 tsms up"
)]
pub(super) struct Args {
    /// Add simulated terminals that post signed sales, and a stand-in web application that takes them.
    #[arg(long)]
    demo: bool,
    /// Submissions of the simulated terminals in a second.
    #[arg(long, requires = "demo", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// End after this many seconds, once everything accepted is forwarded.
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: Option<u64>,
}

pub(super) async fn run(setup: &Setup, args: Args) -> Result<(), Failure> {
    let mut config = setup.config()?;
    for_people(&setup.layers()?, &mut config, args.demo);
    logs::start(&config.log);
    private_folder(&config.fleet.data_dir)?;
    let store = store::open(&config.database).await?;
    store.migrate().await?;
    let queue = queue::open(&config.queue).await?;
    let demo = if args.demo {
        Some(Demo::prepare(&mut config, &store).await?)
    } else {
        None
    };

    let config = Arc::new(config);
    let fleet = Fleet::start(config.clone(), store.clone(), queue.clone(), &Roles::all()).await?;
    stop_on_signal(fleet.stopper())?;
    if let Some(address) = fleet.ingress {
        greet(&config, &store, address).await?;
    }
    let limit = args.seconds.map(Duration::from_secs);
    match demo {
        Some(demo) => demo.play(fleet, store, queue, args.rate, limit).await,
        None => {
            let stop = fleet.stopper();
            if let Some(limit) = limit {
                tokio::spawn(async move {
                    tokio::time::sleep(limit).await;
                    stop.cancel();
                });
            }
            Ok(fleet.run().await?)
        }
    }
}

/// Logs are for a person here unless told otherwise, and silent beside the demo's live line.
fn for_people(layers: &Layers, config: &mut Config, demo: bool) {
    if layers.origin("log.format") == Some(&Origin::Default) {
        "text".clone_into(&mut config.log.format);
    }
    if demo && layers.origin("log.level") == Some(&Origin::Default) {
        "warn".clone_into(&mut config.log.level);
    }
}

/// Tells where it listens, and at the first start the administrator's token.
async fn greet(config: &Config, store: &Store, address: SocketAddr) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let data = config.fleet.data_dir.display();
    print::line(format_args!(
        "TSMS {version} listens on http://{address} (/metrics, /readyz); its data is in {data}/"
    ))?;
    if !token::has_admin(store).await? {
        let wish = Wish {
            name: "first start".to_owned(),
            ..Wish::default()
        };
        let (_, plain) = Credentials::of(config, store.clone())?.issue(wish).await?;
        print::line(format_args!("Administrator's token, shown this once: {plain}"))?;
    }
    Ok(())
}
