//! The listener: accepts connections and serves the router on each. Connections are infrastructure and start
//! detached; a slow head is cut off by a timer, and the [room](super::room) says who has a place.
//! [`crate::Server`] makes one and stops it.

use std::net::{IpAddr, SocketAddr};
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
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::metered::{self, Answer, Counted, Head, Metered, Upload};
use super::room::{Admission, Bounds, Line, Room};
use crate::code::Code;
use crate::config::Limits;
use crate::problem::Fault;

/// How long open connections get to end after the last turn has.
const LINGER: Duration = Duration::from_secs(5);

/// How long to wait after an error of `accept`, as when file descriptors run out.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Bytes of one head at most; hyper answers a longer one with 431.
const HEAD: usize = 64 * 1024;

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

    /// Serves `router` until [`Serving::stop`], to as many connections as `bounds` says. Of a request's body at most `body`
    /// bytes are kept.
    pub(crate) fn serve(self, router: Router, limits: &Limits, bounds: Bounds, body: usize) -> Serving {
        let (stop, stopped) = oneshot::channel();
        let mut server = http1::Builder::new();
        let head_timeout = Duration::from_secs(limits.body_timeout_s);
        server.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(HEAD);
        let doors =
            Doors { server, router, room: Room::new(bounds), body, stopping: watch::Sender::new(false) };
        Serving { stop, task: haversack::spawn_detached(accept(self.socket, doors, stopped)) }
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

/// The parts that serve each connection.
struct Doors {
    server: http1::Builder,
    router: Router,
    room: Room,
    body: usize,
    stopping: watch::Sender<bool>,
}

async fn accept(socket: TcpListener, doors: Doors, mut stopped: oneshot::Receiver<()>) {
    let mut open = haversack::JoinSet::new();
    // It was accepted when no connection could make way for it.
    let mut waiting = None;
    loop {
        let (stream, address) = tokio::select! {
            _ = &mut stopped => break,
            Some(_) = open.join_next() => continue,
            next = next(&socket, &doors.room, &mut waiting) => next,
        };
        match doors.room.admit(address) {
            Admission::Open(line) => drop(open.spawn(doors.connection(stream, line))),
            Admission::Refused => {}
            Admission::Full => waiting = Some((stream, address)),
        }
    }
    drop(socket);
    doors.stopping.send_replace(true);
    let _ = tokio::time::timeout(LINGER, async { while open.join_next().await.is_some() {} }).await;
}

impl Doors {
    fn connection(&self, stream: TcpStream, line: Line) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (service, most) = (TowerToHyperService::new(self.router.clone()), self.body);
        let head = Head::new(line.bytes());
        let line = Arc::new(line);
        let (of, reading, over) = (Arc::clone(&line), head.clone(), head.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (upload, no_room) = Upload::new(of.bytes());
            let held = metered::Request::new(reading.clone(), of.begin(), upload.clone());
            reading.complete();
            let mut request = request.map(|body| Counted::new(body, upload, most));
            request.extensions_mut().insert(of.place().clone());
            request.extensions_mut().insert(no_room);
            let answer = service.call(request);
            async move { answer.await.map(|answer| answer.map(|body| Answer::new(body, held))) }
        });
        // A socket of the gateway begins as a request; from its upgrade on it is the gateway's, with its place.
        let io = TokioIo::new(Metered::new(stream, head));
        let connection = self.server.serve_connection(io, service).with_upgrades();
        let mut stops = self.stopping.subscribe();
        async move {
            let mut connection = std::pin::pin!(connection);
            // The guard of what was seen does not outlive this block.
            let stop = async { drop(stops.wait_for(|stop| *stop).await) };
            // How a connection ends is the client's business; what it asked for was answered or cancelled on
            // its own.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = line.closed() => {}
                () = stop => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            over.over();
        }
    }
}

/// The connection that waits, once a place may be free, or else the next one.
///
/// # Cancellation
/// Dropping it loses no connection.
async fn next(
    socket: &TcpListener,
    room: &Room,
    waiting: &mut Option<(TcpStream, IpAddr)>,
) -> (TcpStream, IpAddr) {
    if waiting.is_some() {
        room.changed().await;
    }
    if let Some(waited) = waiting.take() {
        return waited;
    }
    loop {
        match socket.accept().await {
            Ok((stream, address)) => {
                let _ = stream.set_nodelay(true);
                return (stream, address.ip());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}
