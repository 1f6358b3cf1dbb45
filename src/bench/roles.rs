//! The roles of a tier: started, ended, and replaced while the others run.

use std::net::SocketAddr;

use super::{
    BenchError,
    process::Process,
    servers::spare_address,
    tier::{Kind, Tier},
};
use crate::stage::Stage;

/// The one process of the embedded tier.
pub(super) const ALL: &str = "tsms up";

/// What a successor is called until it has taken over.
const SUCCESSOR: &str = "successor";

impl Tier {
    /// Starts every role and waits until all are ready.
    pub(super) async fn start_roles(&mut self) -> Result<(), BenchError> {
        match self.kind {
            Kind::Embedded => self.start(ALL, ALL, self.ingress).await,
            Kind::Fleet => {
                self.start("ingress", "ingress", self.ingress).await?;
                self.start("scheduler", "scheduler", spare_address()?).await?;
                self.start_workers().await
            }
        }
    }

    /// One process for each stage.
    pub(super) async fn start_workers(&mut self) -> Result<(), BenchError> {
        for stage in Stage::ALL {
            self.start(stage.name(), stage.name(), spare_address()?).await?;
        }
        Ok(())
    }

    /// Starts a process of `role` that listens at `listen`, under `name`.
    pub(super) async fn start(
        &mut self,
        role: &str,
        name: &str,
        listen: SocketAddr,
    ) -> Result<(), BenchError> {
        let at = listen.to_string();
        match role {
            ALL => self.start_role(name, &["up"], listen).await,
            "ingress" => self.start_role(name, &["ingress", "--listen", &at], listen).await,
            "scheduler" => {
                self.start_role(name, &["scheduler", "--ops-listen", &at], listen)
                    .await
            }
            stage => {
                self.start_role(name, &["worker", stage, "--ops-listen", &at], listen)
                    .await
            }
        }
    }

    /// Calls a process by another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(process) = self.processes.iter_mut().find(|process| process.name == from) {
            to.clone_into(&mut process.name);
        }
        if let Some(ops) = self.ops.remove(from) {
            self.ops.insert(to.to_owned(), ops);
        }
    }

    /// Ends the processes with these names, as a supervisor does.
    pub(super) async fn stop(&mut self, names: &[&str]) -> Result<(), BenchError> {
        let all = std::mem::take(&mut self.processes);
        let (ending, staying): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|process| names.contains(&process.name.as_str()));
        self.processes = staying;
        for ended in futures::future::join_all(ending.into_iter().map(Process::stop)).await {
            ended?;
        }
        Ok(())
    }

    /// Ends every role, then the servers.
    pub(super) async fn stop_all(&mut self) -> Result<(), BenchError> {
        let roles: Vec<String> = self.ops.keys().cloned().collect();
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        self.stop(&roles).await?;
        self.stop(&["sink", "mariadbd", "redis"]).await
    }

    /// Starts a successor of `role` and, when that is ready, ends the one that was there, as a rolling
    /// update does. An ingress listens at another address afterwards, which `ready` is told.
    pub(super) async fn roll(&mut self, role: &str, ready: impl Fn(SocketAddr)) -> Result<(), BenchError> {
        let listen = spare_address()?;
        self.start(role, SUCCESSOR, listen).await?;
        ready(listen);
        self.stop(&[role]).await?;
        self.rename(SUCCESSOR, role);
        if role == "ingress" {
            self.ingress = listen;
        }
        Ok(())
    }

    /// Ends `role`, and starts it again where it was, as a supervisor on one machine does.
    pub(super) async fn restart(&mut self, role: &str) -> Result<(), BenchError> {
        let listen = match self.ops.get(role) {
            Some(listen) => *listen,
            None => spare_address()?,
        };
        self.stop(&[role]).await?;
        self.start(role, role, listen).await
    }
}
