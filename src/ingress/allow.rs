//! Routes that only some networks may use, whatever token comes with the request.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{client_addr::ClientAddr, error::Error};
use crate::domain::network::Networks;

/// The layer for a group of routes:
/// `routes.layer(middleware::from_fn_with_state(Arc::new(networks), allow::only))`.
pub(super) async fn only(
    State(networks): State<Arc<Networks>>,
    client: ClientAddr,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    if networks.hold(client.0) {
        Ok(next.run(request).await)
    } else {
        Err(Error::AddressNotAllowed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::{Router, body::Body, middleware, routing::get};
    use tower::ServiceExt;

    use super::*;
    use crate::ingress::{fixture, frame};

    #[tokio::test]
    async fn only_the_networks_named_get_through() {
        let networks: Networks = "10.0.0.0/8, fd00::/8".parse().unwrap();
        let inner = Router::new()
            .route("/inner", get(async || "inner"))
            .layer(middleware::from_fn_with_state(Arc::new(networks), only));
        let routes = frame(inner.route("/outer", get(async || "outer")), fixture::PATIENCE);
        for (client, path, status) in [
            ("10.1.2.3", "/inner", 200),
            ("fd00::1", "/inner", 200),
            ("11.1.2.3", "/inner", 403),
            ("::1", "/inner", 403),
            ("11.1.2.3", "/outer", 200),
        ] {
            let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let address: IpAddr = client.parse().unwrap();
            request.extensions_mut().insert(ClientAddr(address));
            let answer = routes.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{client} {path}");
        }
    }
}
