//! `tsms limits`: who was refused most, and a person's orders about it.

use std::time::Duration;

use clap::{Args, Subcommand};
use tsms::{
    domain::{
        orders::{Order, OrderKind, Subject},
        time::Timestamp,
    },
    store::{NewOrder, Store},
};

use super::{
    Failure, Setup,
    directory::{Page, find_tenant, find_terminal},
    print,
};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// See who is refused by rate limits; keep somebody out or let him through for a while.
#[derive(Subcommand)]
pub(super) enum LimitsCommand {
    /// Who was refused most, within the last hours.
    Top {
        /// How many hours back, the present one included.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=24))]
        hours: u32,
        /// Most rows.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Refuse every request of a terminal, a tenant or an address until an end.
    #[command(
        after_help = "Every ingress knows it within limits.refresh_ms. The tills are told 429 and to come back: nothing\n\
        is lost.\n\nExample:\n  tsms limits block --terminal CC-012-01 --minutes 30 --owner 'J. Cruz' --reason 'posts in a loop'"
    )]
    Block(OrderArgs),
    /// Do not hold a terminal, a tenant or an address to its own limits until an end.
    #[command(after_help = "What is kept for everybody (limits.global) still counts.\n\n\
        Example:\n  tsms limits allow --tenant CC-012 --minutes 120 --owner 'J. Cruz' --reason 'sends three days of backlog'")]
    Allow(OrderArgs),
    /// End an order before its time.
    Lift {
        /// Its id.
        id: i64,
    },
    /// List orders in order of id, those that ended included.
    List {
        #[command(flatten)]
        page: Page,
    },
}

#[derive(Args)]
pub(super) struct OrderArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// When it ends; at most 30 days.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=43_200))]
    minutes: u32,
    /// Who answers for it.
    #[arg(long)]
    owner: String,
    /// Why, for whoever finds it.
    #[arg(long)]
    reason: String,
}

/// One of them, and no more. A group takes in every member of its struct, so it has one of its own.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct WhoArgs {
    /// Id or serial number of the terminal it is about.
    #[arg(long)]
    terminal: Option<String>,
    /// Id or code of the tenant it is about.
    #[arg(long)]
    tenant: Option<String>,
    /// Address it is about.
    #[arg(long)]
    address: Option<std::net::IpAddr>,
}

pub(super) async fn run(setup: &Setup, command: LimitsCommand) -> Result<(), Failure> {
    let store = setup.store().await?;
    match command {
        LimitsCommand::Top { hours, limit, json } => {
            let since = Timestamp::now().minus(HOUR.saturating_mul(hours.saturating_sub(1)));
            top(&store, since, limit.into(), json).await
        }
        LimitsCommand::Block(args) => give(&store, OrderKind::Block, args).await,
        LimitsCommand::Allow(args) => give(&store, OrderKind::Allow, args).await,
        LimitsCommand::Lift { id } => {
            store.lift_order(id, Timestamp::now()).await?;
            Ok(print::line(format_args!("order {id} is lifted"))?)
        }
        LimitsCommand::List { page } => {
            let orders = store.list_orders(page.after, page.limit.into()).await?;
            show(&orders, page.json)
        }
    }
}

async fn top(store: &Store, since: Timestamp, limit: usize, json: bool) -> Result<(), Failure> {
    let refused = store.top_refused(since, limit).await?;
    if json {
        return refused.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = refused
        .into_iter()
        .map(|one| {
            let tenant = if one.tenant_id == 0 {
                "-".to_owned()
            } else {
                one.tenant_id.to_string()
            };
            [one.class, tenant, one.identifier, one.refused.to_string()]
        })
        .collect();
    Ok(print::table(["limit", "tenant", "who", "refused"], &rows)?)
}

async fn give(store: &Store, kind: OrderKind, args: OrderArgs) -> Result<(), Failure> {
    let subject = match (args.who.terminal, args.who.tenant, args.who.address) {
        (Some(word), ..) => Subject::Terminal(find_terminal(store, &word).await?.id),
        (_, Some(word), _) => Subject::Tenant(find_tenant(store, &word).await?.id),
        (_, _, Some(address)) => Subject::Address(address.to_canonical()),
        _ => return Err(Failure::usage("name a --terminal, a --tenant or an --address")),
    };
    let ends_at = Timestamp::now().plus(MINUTE.saturating_mul(args.minutes));
    let order = NewOrder {
        kind,
        subject,
        owner: args.owner,
        reason: args.reason,
        ends_at,
    };
    let id = store.give_order(&order).await?;
    let (word, end) = (kind.word(), ends_at.to_rfc3339(0));
    Ok(print::line(format_args!(
        "order {id}: {word} {subject} until {end}"
    ))?)
}

fn show(orders: &[Order], json: bool) -> Result<(), Failure> {
    if json {
        return orders.iter().try_for_each(print::json);
    }
    let now = Timestamp::now();
    let rows: Vec<_> = orders
        .iter()
        .map(|order| {
            let state = match order.lifted_at {
                Some(at) => format!("lifted {}", at.to_rfc3339(0)),
                None if order.ends_at <= now => format!("ended {}", order.ends_at.to_rfc3339(0)),
                None => format!("until {}", order.ends_at.to_rfc3339(0)),
            };
            [
                order.id.to_string(),
                order.kind.word().to_owned(),
                order.subject.to_string(),
                state,
                order.owner.clone(),
                order.reason.clone(),
            ]
        })
        .collect();
    Ok(print::table(
        ["id", "order", "whom", "state", "owner", "reason"],
        &rows,
    )?)
}
