//! Redis is away, empty, full, or kept busy by somebody else.

use std::{io::Write as _, net::TcpStream};

use crate::{scenarios, site::Site};

scenarios!(Site::start("", |text| text), {
    TsmsRedisDown => down,
    TsmsRateLimitsAlone => limits_alone,
    TsmsJobsSwept => forgot,
    TsmsRedisMemoryHigh => full,
    TsmsRedisSlow => slow,
});

async fn down(site: &mut Site) {
    site.fleet.redis.kill9();
    assert_eq!(site.sell(3).await, 202, "the record takes it");
    site.alert().await;
    site.look(&["onnect", "queue"]).await;
    site.cure().await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn limits_alone(site: &mut Site) {
    site.fleet.redis.kill9();
    assert_eq!(site.sell(1).await, 202);
    site.alert().await;
    site.look(&["tsms-ingress"]).await;
    site.look(&["onnect"]).await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn forgot(site: &mut Site) {
    site.kill("processing.1");
    assert_eq!(site.sell(300).await, 202);
    site.shows("sum(tsms_queue_jobs{queue=\"processing\", state=\"ready\"}) == 300")
        .await;
    site.fleet.redis.flush_all();
    site.alert().await;
    site.look(&["processing"]).await;
    site.look(&["uptime_in_seconds", "processing"]).await;
    site.cure().await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn full(site: &mut Site) {
    let info = site.somebody("redis-cli -u \"$REDIS\" INFO memory").await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().trim().parse().unwrap();
    let limit = used + used / 5;
    site.somebody(&format!("redis-cli -u \"$REDIS\" CONFIG SET maxmemory {limit}"))
        .await;
    site.alert().await;
    site.look(&["used_memory_human", "maxmemory_human", " streams with "])
        .await;
    site.cure().await;
    site.over().await;
}

/// A report that somebody runs on our Redis: each call keeps it busy for a while. Ends when it is cut off.
fn report(port: u16) -> std::thread::JoinHandle<u64> {
    const CALL: &str = "EVAL \"local till = redis.call('TIME') local a = till[1] * 1000000 + till[2] \
                        repeat local now = redis.call('TIME') until now[1] * 1000000 + now[2] > a + 150000 \
                        return 1\" 0\r\n";
    std::thread::spawn(move || {
        use std::io::Read as _;
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut calls = 0;
        let mut answer = [0; 64];
        let mut line = "CLIENT SETNAME report\r\n";
        while socket.write_all(line.as_bytes()).is_ok() && matches!(socket.read(&mut answer), Ok(1..)) {
            line = CALL;
            calls += 1;
        }
        calls
    })
}

async fn slow(site: &mut Site) {
    let report = report(site.fleet.redis.port());
    site.alert().await;
    site.look(&["EVAL", "name=report"]).await;
    let clients = site.somebody("redis-cli -u \"$REDIS\" CLIENT LIST").await;
    let line = clients.lines().find(|line| line.contains(" name=report "));
    let id = line.unwrap().split(' ').next().unwrap().strip_prefix("id=");
    site.set("CLIENT", id.unwrap());
    site.cure().await;
    assert!(report.join().unwrap() > 1);
    site.over().await;
}
