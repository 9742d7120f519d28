//! The listener: accepts connections and serves the router on each. Connections are infrastructure and start
//! detached; a slow head is cut off by a timer, and more connections than the limit wait unaccepted.
//! [`crate::Server`] makes one and stops it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use crate::code::Code;
use crate::config::Limits;
use crate::problem::Fault;

/// How long open connections get to end after the last turn has.
const LINGER: Duration = Duration::from_secs(5);

/// How long to wait after an error of `accept`, as when file descriptors run out.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// The place of a connection among those that may be open. Each of its requests has it among its extensions; it is free when
/// nobody holds it any more.
#[derive(Clone, Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "it is held, and dropped")] Arc<OwnedSemaphorePermit>);

/// An address that is bound and not served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// A listener that is served.
#[derive(Debug)]
pub(crate) struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, Fault> {
        let refused = |error: std::io::Error| {
            let detail = match error.kind() {
                std::io::ErrorKind::AddrInUse => format!("Another program listens on {address}."),
                _ => format!("The server cannot listen on {address}."),
            };
            Fault::caused(Code::AddressInUse, detail, error)
        };
        let socket = TcpListener::bind(address).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Self { socket, address })
    }

    /// The bound address, with its real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until [`Serving::stop`].
    pub(crate) fn serve(self, router: Router, limits: &Limits) -> Serving {
        let (stop, stopped) = oneshot::channel();
        let head_timeout = Duration::from_secs(limits.body_timeout_s);
        let accepting = accept(self.socket, router, limits.connections, head_timeout, stopped);
        Serving { stop, task: haversack::spawn_detached(accepting) }
    }
}

impl Serving {
    /// Accepts no more, lets requests that are being answered end, and returns when all connections are
    /// closed.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn accept(
    socket: TcpListener,
    router: Router,
    connections: usize,
    head_timeout: Duration,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let stopping = watch::Sender::new(false);
    let room = Arc::new(Semaphore::new(connections));
    let mut open = haversack::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            Some(_) = open.join_next() => continue,
            accepted = next(&socket, &room) => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        let (service, place) = (TowerToHyperService::new(router.clone()), Place(Arc::new(permit)));
        let placed = place.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(placed.clone());
            service.call(request)
        });
        // A socket of the gateway begins as a request; from its upgrade on it is the gateway's, with its place.
        let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut stops = stopping.subscribe();
        open.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            // The guard of what was seen does not outlive this block.
            let stop = async { drop(stops.wait_for(|stop| *stop).await) };
            // How a connection ends is the client's business; what it asked for was answered or cancelled on
            // its own.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = stop => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            drop(place);
        });
    }
    drop(socket);
    stopping.send_replace(true);
    let _ = tokio::time::timeout(LINGER, async { while open.join_next().await.is_some() {} }).await;
}

async fn next(socket: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(AFTER_ERROR).await;
            None
        }
    }
}
