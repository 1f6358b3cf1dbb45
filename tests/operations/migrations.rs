//! Expand, then contract: a new version's schema must serve the version before it too, for both run side
//! by side while a fleet is restarted one process at a time.

use crate::{names, read};

/// The last migration that was written before the rule.
const BEFORE_THE_RULE: &str = "0012_redrives";

/// What a file says that takes away what the version before needs. It goes in the release after the one
/// that no longer needs it.
const CONTRACTS: &str = "-- contract:";

/// What is wrong with a file for the version before it, each with its statement.
fn breaks(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default().to_uppercase() + "\n")
        .collect();
    let mut found = Vec::new();
    for statement in code.split(';') {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let plain = words.join(" ");
        let takes = ["DROP", "RENAME", "MODIFY", "CHANGE", "TRUNCATE"];
        let taken = words.iter().find(|word| takes.contains(word));
        // A new column that the version before does not fill in.
        let unfilled = plain.starts_with("ALTER TABLE")
            && plain
                .split(" ADD ")
                .skip(1)
                .any(|column| column.contains("NOT NULL") && !column.contains(" DEFAULT "));
        // A rule over rows that the version before may break.
        let narrower = plain.starts_with("CREATE UNIQUE INDEX")
            || (plain.starts_with("ALTER TABLE") && plain.contains(" UNIQUE"));
        if taken.is_some() || unfilled || narrower {
            found.push(plain);
        }
    }
    found
}

#[test]
fn a_schema_serves_the_version_before_it_too() {
    for dialect in ["mysql", "sqlite"] {
        let folder = format!("migrations/{dialect}");
        let mut held = 0;
        for name in names(&folder, ".sql") {
            if name.as_str() <= BEFORE_THE_RULE {
                continue;
            }
            held += 1;
            let text = read(&format!("{folder}/{name}.sql"));
            let broken = breaks(&text);
            assert!(
                broken.is_empty() || text.contains(CONTRACTS),
                "{dialect}/{name}: {broken:?}; say {CONTRACTS:?} and which release needs it no more"
            );
        }
        assert!(held > 0, "no {dialect} migration is held to the rule");
    }
}

#[test]
fn what_breaks_the_version_before_is_seen() {
    for bad in [
        "ALTER TABLE sales DROP COLUMN total;",
        "DROP TABLE sales;",
        "alter table sales rename to old_sales;",
        "ALTER TABLE sales ADD COLUMN total BIGINT NOT NULL;",
        "ALTER TABLE sales ADD COLUMN a INT NOT NULL DEFAULT 0, ADD COLUMN b INT NOT NULL;",
        "ALTER TABLE sales MODIFY total INT NULL;",
        "CREATE UNIQUE INDEX sales_total ON sales (total);",
    ] {
        assert_eq!(breaks(bad).len(), 1, "{bad}");
    }
    for good in [
        "-- drops nothing\nALTER TABLE sales ADD COLUMN total BIGINT NOT NULL DEFAULT 0;",
        "ALTER TABLE sales ADD COLUMN note VARCHAR(20) NULL;",
        "CREATE TABLE tills (id BIGINT NOT NULL PRIMARY KEY, code VARCHAR(9) NOT NULL UNIQUE);",
        "CREATE INDEX sales_total ON sales (total);",
    ] {
        assert_eq!(breaks(good), Vec::<String>::new(), "{good}");
    }
}
