mod making;
mod playing;

use super::*;

fn terminal(number: i64) -> SimTerminal {
    SimTerminal {
        terminal_id: number,
        tenant_id: 125,
        serial_number: format!("SN-{number:04}"),
        customer_code: "C-T1001".to_owned(),
        token: format!("token-{number}"),
    }
}
