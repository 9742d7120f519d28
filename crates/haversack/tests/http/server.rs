//! The server and the client of these tests. The door takes the tenant from a header, as no product would.

use std::net::SocketAddr;
use std::sync::Once;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use haversack::well_known::{TENANT_ID, TenantId};
use haversack::{Boundary, Visit};
use tokio::net::TcpListener;

static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID]);

/// The door: a request without a tenant is answered 401 and no handler runs.
pub(crate) fn door(request: &Request<Body>) -> Result<Visit, Response> {
    let tenant = request.headers().get("x-tenant").and_then(|value| TenantId::new(value.to_str().ok()?).ok());
    HTTP.enter(|bindings| bindings.bind_some(&TENANT_ID, tenant))
        .map_err(|refused| (StatusCode::UNAUTHORIZED, refused.to_string()).into_response())
}

/// A visit of the same boundary, for tests that are the server.
pub(crate) fn arrive(tenant: &str) -> Visit {
    HTTP.enter(|bindings| bindings.bind(&TENANT_ID, TenantId::new(tenant).unwrap())).unwrap()
}

/// The tenant of the current context.
pub(crate) fn tenant() -> Option<String> {
    TENANT_ID.get().ok().map(|tenant| tenant.to_string())
}

/// Starts a server on a free port; it ends with the runtime.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    format!("http://{address}")
}

/// A client with a connection pool of its own.
pub(crate) fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Asks as a tenant.
pub(crate) fn ask(client: &reqwest::Client, url: &str, tenant: &str) -> reqwest::RequestBuilder {
    client.get(url).header("x-tenant", tenant)
}

/// Tells the tenant of the context in which it is dropped.
pub(crate) struct Probe(pub(crate) tokio::sync::mpsc::UnboundedSender<Option<String>>);

impl Drop for Probe {
    fn drop(&mut self) {
        // A test that ended early does not listen any more.
        let _ = self.0.send(tenant());
    }
}
