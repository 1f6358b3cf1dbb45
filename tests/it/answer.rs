//! An answer of the ingress.

use reqwest::StatusCode;
use serde_json::Value;

use crate::contract;

/// What the ingress answered; an answer that the contract does not know fails the test.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let asked = contract::operation(request.method(), request.url().path());
        let answer = client.execute(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let answer = Self {
            status,
            headers,
            text: answer.text().await.unwrap(),
        };
        if let Some(asked) = asked {
            asked.check(&answer);
        }
        answer
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The `code` of a problem document.
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        self.json()["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no code in {self:?}"))
            .to_owned()
    }
}
