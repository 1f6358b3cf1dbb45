use crate::directory::migrated;

/// What an order needs besides whom it is about.
const ORDER: [&str; 6] = [
    "--minutes",
    "5",
    "--owner",
    "J. Cruz",
    "--reason",
    "posts in a loop",
];

#[test]
fn an_order_is_about_one_subject() {
    let shell = migrated();
    for verb in ["block", "allow"] {
        let order = |who: &[&str]| shell.tsms(&[&["limits", verb], who, &ORDER].concat());
        let given = order(&["--address", "203.0.113.9"]);
        assert_eq!(given.code, 0, "{}", given.err);
        assert_eq!(order(&[]).code, 2, "about nobody");
        assert_eq!(
            order(&["--address", "203.0.113.9", "--terminal", "7"]).code,
            2,
            "about two"
        );
    }
    let listed = shell.tsms(&["limits", "list", "--json"]);
    assert_eq!(listed.out.lines().count(), 2, "{}", listed.out);
}
