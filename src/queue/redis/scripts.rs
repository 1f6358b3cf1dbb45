//! The Lua scripts, each with its contract at its top. They take lengths of time, never a time: all
//! due times and leases are by the server's clock.

use std::sync::LazyLock;

use ::redis::Script;

/// All scripts, by name of the file.
pub(super) struct Scripts {
    pub(super) claim: Script,
    pub(super) delay: Script,
    pub(super) depth: Script,
    pub(super) hand_back: Script,
    pub(super) park: Script,
    pub(super) progress: Script,
    pub(super) promote: Script,
    pub(super) renew: Script,
    pub(super) retry: Script,
    pub(super) tidy: Script,
}

pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    claim: Script::new(include_str!("../scripts/claim.lua")),
    delay: Script::new(include_str!("../scripts/delay.lua")),
    depth: Script::new(include_str!("../scripts/depth.lua")),
    hand_back: Script::new(include_str!("../scripts/hand_back.lua")),
    park: Script::new(include_str!("../scripts/park.lua")),
    progress: Script::new(include_str!("../scripts/progress.lua")),
    promote: Script::new(include_str!("../scripts/promote.lua")),
    renew: Script::new(include_str!("../scripts/renew.lua")),
    retry: Script::new(include_str!("../scripts/retry.lua")),
    tidy: Script::new(include_str!("../scripts/tidy.lua")),
});
