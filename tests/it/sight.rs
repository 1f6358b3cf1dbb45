//! What operators and Prometheus see.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use tsms::{domain::checksum::Version, stage::Stage};

use crate::{bodies::batch, control::until, on_both_tiers, world::World};

on_both_tiers!(metrics_are_true_and_well_formed);

async fn metrics_are_true_and_well_formed(world: World) {
    let till = world.till();
    assert_eq!(
        world
            .post(till, batch(till, Version::V21, 7, 1).body)
            .await
            .status,
        202
    );
    world.drain().await;
    for path in ["/livez", "/readyz"] {
        let answer = world
            .http
            .get(format!("{}{path}", world.base))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let mut scrape = String::new();
    until("the scheduler tells of the queues", async || {
        let request = world.http.get(format!("{}/metrics", world.base));
        scrape = request.send().await.unwrap().text().await.unwrap();
        scrape.contains("tsms_queue_jobs{")
    })
    .await;
    for stage in Stage::ALL {
        let label = format!("queue=\"{stage}\"");
        let depth = scrape.lines().find(|line| {
            line.starts_with("tsms_queue_jobs{") && line.contains(&label) && line.contains("state=\"ready\"")
        });
        assert!(depth.is_some(), "no depth of {stage} in\n{scrape}");
    }
    assert!(scrape.contains("tsms_http_requests_total{"), "{scrape}");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("promtool comes with Debian's package prometheus");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(scrape.as_bytes())
        .unwrap();
    let verdict = promtool.wait_with_output().unwrap();
    assert!(
        verdict.status.success(),
        "{}",
        String::from_utf8_lossy(&verdict.stderr)
    );
    world.stop().await;
}
