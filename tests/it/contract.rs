//! `docs/openapi.json` as the tests use it: which operation a request is, who may ask for it, and what
//! it may answer. Every answer that a test gets is held against it.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

use crate::world::Answer;

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(|(method, about)| Operation {
            method: method.to_uppercase().parse().unwrap(),
            path: path.clone(),
            about: about.clone(),
            headers: document["components"]["headers"].clone(),
        })
    });
    operations.collect()
});

/// One method of one path.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// With its parameters in braces.
    pub(crate) path: String,
    about: Value,
    headers: Value,
}

/// Every operation of the document.
pub(crate) fn operations() -> &'static [Operation] {
    &OPERATIONS
}

/// The operation that a request asks for. A method of its own for HEAD is not documented: it is GET
/// without a body.
pub(crate) fn operation(method: &Method, path: &str) -> Option<&'static Operation> {
    operations()
        .iter()
        .find(|operation| operation.method == *method && fits(&operation.path, path))
}

/// Whether a path is one of a template.
fn fits(template: &str, path: &str) -> bool {
    let (wanted, given) = (template.split('/'), path.split('/'));
    wanted.clone().count() == given.clone().count()
        && wanted
            .zip(given)
            .all(|(wanted, given)| wanted == given || wanted.starts_with('{'))
}

impl Operation {
    pub(crate) fn id(&self) -> &str {
        self.about["operationId"].as_str().unwrap()
    }

    /// The abilities that a token needs; `None` where no token is asked for.
    pub(crate) fn abilities(&self) -> Option<Vec<&str>> {
        let ways = self.about["security"].as_array()?;
        let [way] = ways.as_slice() else {
            panic!("{self:?} has more than one way to authenticate");
        };
        let abilities = way["bearer"].as_array().unwrap().iter();
        Some(abilities.map(|ability| ability.as_str().unwrap()).collect())
    }

    /// Whether one of its answers has this code.
    pub(crate) fn documents(&self, code: &str) -> bool {
        let answers = self.about["responses"].as_object().unwrap().values();
        let mut codes = answers.flat_map(|answer| {
            let schema = &answer["content"]["application/problem+json"]["schema"];
            schema["allOf"][1]["properties"]["code"]["enum"]
                .as_array()
                .into_iter()
                .flatten()
        });
        codes.any(|listed| listed == code)
    }

    pub(crate) fn takes_a_body(&self) -> bool {
        self.about.get("requestBody").is_some()
    }

    /// Fails when the answer is one that the document does not know.
    pub(crate) fn check(&self, answer: &Answer) {
        let name = format!("{} {}", self.method, self.path);
        let status = answer.status.as_str();
        let known = self.about["responses"].get(status);
        let known = known.unwrap_or_else(|| panic!("{name} does not document {answer:?}"));
        for (header, about) in known["headers"].as_object().unwrap() {
            let shared = about["$ref"].as_str().and_then(|name| name.rsplit('/').next());
            let about = shared.map_or(about, |name| &self.headers[name]);
            let sent = answer.headers.contains_key(header);
            assert!(
                sent || about["required"] != true,
                "{name} owes {header} in {answer:?}"
            );
        }
        let Some(content) = known["content"].as_object() else {
            assert_eq!(answer.text, "", "{name} documents no content of {status}");
            return;
        };
        let sent = answer.headers["content-type"].to_str().unwrap();
        let schema = content
            .get(sent)
            .unwrap_or_else(|| panic!("{name} does not document {sent} in {answer:?}"));
        if sent == "application/problem+json" {
            let codes = &schema["schema"]["allOf"][1]["properties"]["code"]["enum"];
            let code = &answer.json()["code"];
            assert!(
                codes.as_array().unwrap().contains(code),
                "{name} does not document {code} of {status}"
            );
        }
    }
}
