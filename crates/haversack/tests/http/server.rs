//! The server and the client of these tests. The door takes the tenant from a header, as no product would.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use haversack::well_known::{TENANT_ID, TenantId};
use haversack::{Boundary, Visit};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

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
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    address
}

/// One connection. Dropping it closes the socket, whatever is under way.
pub(crate) struct Client {
    requests: http1::SendRequest<Body>,
    connection: JoinHandle<()>,
}

impl Client {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let stream = TokioIo::new(TcpStream::connect(server).await.unwrap());
        let (requests, connection) = http1::handshake(stream).await.unwrap();
        // An error of the connection is the error of the request, too.
        Self { requests, connection: tokio::spawn(async move { drop(connection.await) }) }
    }

    /// Asks, as a tenant or as nobody.
    pub(crate) async fn get(&mut self, path: &str, tenant: Option<&str>) -> hyper::Result<Response> {
        let mut request = Request::get(path).header("host", "test");
        if let Some(tenant) = tenant {
            request = request.header("x-tenant", tenant);
        }
        self.requests.ready().await?;
        let response = self.requests.send_request(request.body(Body::empty()).unwrap()).await?;
        Ok(response.map(Body::new))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// One request on a connection of its own, read to its end.
pub(crate) async fn ask(server: SocketAddr, path: &str, tenant: &str) -> String {
    text(Client::connect(server).await.get(path, Some(tenant)).await.unwrap()).await
}

/// The body as text.
pub(crate) async fn text<B>(response: axum::http::Response<B>) -> String
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let bytes = axum::body::to_bytes(Body::new(response.into_body()), 10_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Tells the tenant of the context in which it is dropped.
pub(crate) struct Probe(pub(crate) tokio::sync::mpsc::UnboundedSender<Option<String>>);

impl Drop for Probe {
    fn drop(&mut self) {
        // A test that ended early does not listen any more.
        let _ = self.0.send(tenant());
    }
}
