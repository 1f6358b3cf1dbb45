use tsms::domain::{checksum::*, json::*};
#[test]
fn fuzz() {
    let text = std::fs::read_to_string("/tmp/dom/docs.txt").unwrap();
    let limits = Limits {
        depth: 64,
        nodes: 100000,
        duplicates: Duplicates::LastWins,
    };
    let mut out = String::new();
    for line in text.lines() {
        let node = parse(line.as_bytes(), &limits).unwrap();
        for v in [Version::V1, Version::V20, Version::V21] {
            out.push_str(&canonical(&node, v));
            out.push('\n');
        }
    }
    std::fs::write("/tmp/dom/rust.txt", out).unwrap();
}
