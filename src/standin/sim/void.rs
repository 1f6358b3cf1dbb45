//! How a simulated till voids a sale.

use data_encoding::HEXLOWER;
use uuid::Uuid;

use super::{
    Counters, MadeReversal, Outcome, Sim, SimTerminal,
    till::{Answer, Till},
};
use crate::domain::payload::void_checksum;

/// Why simulated tills void.
const VOID_REASON: &str = "Simulated void";

impl Sim {
    /// Voids a sale of `terminal`.
    pub(super) async fn void(&self, terminal: &SimTerminal, transaction_id: Uuid) -> MadeReversal {
        let checksum = HEXLOWER.encode(&void_checksum(transaction_id, VOID_REASON));
        let body = format!(
            r#"{{"transaction_id":"{transaction_id}","void_reason":"{VOID_REASON}","payload_checksum":"{checksum}"}}"#
        );
        let url = format!(
            "{}/api/v1/transactions/{transaction_id}/void",
            self.options.ingress.trim_end_matches('/')
        );
        let till = Till {
            client: &self.client,
            url: &url,
            retry: self.options.retry,
            counters: &self.counters,
            request_time: &self.counters.void_time,
            stop: &self.stop,
        };
        let (answer, _) = till.post(&terminal.token, &body.into()).await;
        let outcome = answer.as_ref().map_or(Outcome::Unknown, Answer::outcome);
        match &outcome {
            Outcome::Accepted { .. } => Counters::add(&self.counters.voids),
            Outcome::Refused { status, code } => self.refusal(*status, code),
            Outcome::Unknown => Counters::add(&self.counters.unknown),
        }
        MadeReversal {
            transaction_id,
            refund: None,
            outcome,
        }
    }
}
