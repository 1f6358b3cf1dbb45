//! `/openapi.json`, the page `/docs` that shows it, and `/errors/{code}`. Nothing is loaded from
//! another host: the viewer is Swagger UI, compiled in.

use std::sync::{Arc, LazyLock};

use axum::{
    extract::{Path, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::errors;
use crate::ingress::error::{Code, Error};

/// The page may run and load what this server sends, and nothing else; nobody may frame it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const PAGE: &str = include_str!("docs.html");
const START: &str = include_str!("docs.js");

/// The files of Swagger UI that the page needs.
const VIEWER: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(super::openapi()));

/// The routes of this file.
pub(in crate::ingress) fn api<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::default()
        .routes(routes!(openapi))
        .routes(routes!(docs))
        .routes(routes!(docs_file))
        .routes(routes!(error))
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "contract",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json")),
)]
async fn openapi() -> Response {
    let form = [(header::CONTENT_TYPE, "application/json")];
    (form, OPENAPI.clone()).into_response()
}

/// The page that shows this document.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "contract",
    responses((status = 200, description = "A page that loads nothing from another host.", body = String, content_type = "text/html; charset=utf-8")),
)]
async fn docs() -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, PAGE).into_response()
}

/// A script or style of the page.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    tag = "contract",
    params(("file" = String, Path, description = "As the page names it.", pattern = r"^(swagger-ui\.css|swagger-ui-bundle\.js|start\.js)$")),
    responses((status = 200, description = "The file; the larger ones are compressed by gzip.", content(
        (String = "text/css"),
        (String = "text/javascript"),
    ))),
)]
async fn docs_file(file: Result<Path<String>, PathRejection>) -> Result<Response, Error> {
    let Path(file) = file.map_err(|_| Error::NotFound)?;
    if file == "start.js" {
        let form = [(header::CONTENT_TYPE, "text/javascript")];
        return Ok((form, START).into_response());
    }
    if !VIEWER.contains(&file.as_str()) {
        return Err(Error::NotFound);
    }
    let found = utoipa_swagger_ui::serve(&file, Arc::new(utoipa_swagger_ui::Config::from("/openapi.json")));
    let found = found.map_err(|_| Error::Internal)?.ok_or(Error::NotFound)?;
    let mut response = found.bytes.into_owned().into_response();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &found.content_type);
    if found.gzpipped {
        set(header::CONTENT_ENCODING, "gzip");
    }
    Ok(response)
}

/// What an error code means. The `type` of every problem document is such an address.
#[utoipa::path(
    get,
    path = "/errors/{code}",
    tag = "contract",
    params(("code" = String, Path, description = "The code.", example = "not_found")),
    responses((status = 200, description = "The row of the code in `docs/errors.md`.", body = String, content_type = "text/markdown; charset=utf-8")),
)]
async fn error(code: Result<Path<String>, PathRejection>) -> Result<Response, Error> {
    let Path(word) = code.map_err(|_| Error::NotFound)?;
    let code = Code::of(&word).ok_or(Error::NotFound)?;
    let form = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Ok((form, errors::entry(code)).into_response())
}
