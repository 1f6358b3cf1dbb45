//! `tsms capacity` says what docs/capacity.md shows.

use serde_json::Value;

use crate::run::Shell;

const LOAD: [&str; 6] = ["--tills", "5000", "--tenants", "500", "--sales-a-day", "1000000"];

fn capacity(more: &[&str]) -> String {
    let words = [&["capacity"], &LOAD[..], more].concat();
    let ended = Shell::new().tsms(&words);
    assert_eq!(ended.code, 0, "{}", ended.err);
    ended.out
}

#[test]
fn the_page_shows_what_it_says() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/capacity.md")).unwrap();
    let said = capacity(&[]);
    assert!(
        page.contains(&format!("$ tsms capacity {}\n{said}```", LOAD.join(" "))),
        "docs/capacity.md does not show what it says now:\n{said}"
    );
}

#[test]
fn the_page_names_every_budget() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/capacity.md")).unwrap();
    let said: Value = serde_json::from_str(&capacity(&["--json"])).unwrap();
    let budget = said["budget"].as_object().unwrap();
    for (name, value) in budget {
        if let Some(figure) = value.as_u64() {
            let (thousands, rest) = (figure / 1000, figure % 1000);
            let text = match thousands {
                0 => format!("| {rest} "),
                _ => format!("| {thousands},{rest:03}"),
            };
            assert!(page.contains(&text), "{name} of {figure} is not on the page");
        }
    }
    for process in budget["cpu_us"].as_array().unwrap() {
        let text = format!("{} µs |", process[1]);
        assert!(page.contains(&text), "{process} is not on the page");
    }
}
