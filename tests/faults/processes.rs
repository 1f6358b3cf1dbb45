//! Processes that are gone, were started anew, or have too much to do, and people who change something.

use std::time::Duration;

use tsms::standin::sink::mode::{Answer, Mode};

use crate::{scenarios, site::Site};

scenarios!(Site::start("", |text| text), {
    TsmsIngressDown => no_ingress,
    TsmsTargetDown => one_down,
    TsmsFleetUnseen => unseen,
    TsmsRestarted => restarted,
    TsmsConfigurationChanged => changed,
    TsmsCapacityShort => short_of_capacity,
});

async fn no_ingress(site: &mut Site) {
    site.kill("ingress.1");
    site.alert().await;
    site.look(&["onnect"]).await;
    site.cure().await;
    site.over().await;
    assert_eq!(site.sell(1).await, 202);
}

async fn one_down(site: &mut Site) {
    site.kill("notification.1");
    site.alert().await;
    site.look(&["tsms-notification"]).await;
    site.look(&["notification"]).await;
    site.cure().await;
    site.over().await;
}

async fn unseen(site: &mut Site) {
    site.kill("scheduler.1");
    site.alert().await;
    site.look(&["validation"]).await;
    site.cure().await;
    site.over().await;
}

async fn restarted(site: &mut Site) {
    site.kill("forwarding.1");
    site.somebody("systemctl restart tsms-worker@forwarding").await;
    site.alert().await;
    site.look(&["tsms-forwarding"]).await;
    site.look(&[env!("CARGO_PKG_VERSION")]).await;
    site.over().await;
}

async fn changed(site: &mut Site) {
    let made = site
        .somebody("tsms token create --admin --name 'not yours' --json")
        .await;
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    site.alert().await;
    site.look(&["token.", "not yours"]).await;
    site.set("TOKEN", &made["id"].to_string());
    site.cure().await;
    let request = reqwest::Client::new()
        .get(format!("{}/api/v1/admin/tenants", site.fleet.base()))
        .bearer_auth(made["token"].as_str().unwrap());
    assert_eq!(request.send().await.unwrap().status(), 401);
    site.over().await;
}

async fn short_of_capacity(site: &mut Site) {
    let slow = Answer::Slow(Duration::from_millis(800));
    site.fleet.sink.set_mode(Mode::always(slow));
    let traffic = site.traffic(4);
    site.alert().await;
    site.look(&["forwarding"]).await;
    site.cure().await;
    site.over().await;
    drop(traffic);
    site.fleet.sink.set_mode(Mode::OK);
    site.fleet.drain().await;
}
