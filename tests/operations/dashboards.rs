use tsms::telemetry::dashboards;

use crate::{names, read};

#[test]
fn the_dashboards_in_config_are_those_that_are_made() {
    let mut made: Vec<String> = Vec::new();
    for dashboard in dashboards::all() {
        let written = read(&format!("config/grafana/{}.json", dashboard.name));
        assert!(
            written == format!("{:#}\n", dashboard.json),
            "config/grafana/{}.json is out of date: tsms metrics dashboards --out config/grafana",
            dashboard.name
        );
        made.push(dashboard.name.to_owned());
    }
    made.sort();
    assert_eq!(
        names("config/grafana", ".json"),
        made,
        "a file that nothing makes"
    );
}
