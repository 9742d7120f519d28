//! A connection pool: what one tenant's request starts does not work under that tenant for ever.
//!
//! The client is hyper-util's, with its pool, its timer for idle connections and its connection tasks; the server is
//! real. The connection tells the tenant of the context in which it is read and written, which is what a library below
//! it (a TLS session cache, a metric, a log line) would see.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Waking, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Uri};
use axum::routing::get;
use haversack::detached;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::runtimes::as_task_on_both;
use crate::server::{arrive, serve, tenant, text};

/// Who read and wrote each connection, in order, without repetitions.
type Seen = Arc<Mutex<Vec<(usize, Option<String>)>>>;

/// The executor of a pool: what it runs outlives every request, so it binds nothing.
#[derive(Clone)]
struct Infrastructure;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Infrastructure {
    fn execute(&self, future: F) {
        haversack::spawn_detached(future);
    }
}

/// The mistake: an executor that carries the context of whoever happens to need a connection first.
#[derive(Clone)]
struct Carries;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Carries {
    fn execute(&self, future: F) {
        haversack::spawn(future);
    }
}

/// Connects, and watches what it connected.
#[derive(Clone)]
struct Connector {
    server: SocketAddr,
    seen: Seen,
    made: Arc<Mutex<usize>>,
    closed: Arc<Notify>,
    detaches: bool,
}

impl tower::Service<Uri> for Connector {
    type Response = Watched;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Watched>> + Send>>;

    fn poll_ready(&mut self, _: &mut Waking<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (server, seen, made) = (self.server, self.seen.clone(), self.made.clone());
        let closed = self.closed.clone();
        let connect = async move {
            let stream = TcpStream::connect(server).await?;
            let number = {
                let mut made = made.lock().unwrap();
                *made += 1;
                *made
            };
            let watched = Watched { io: TokioIo::new(stream), number, seen, closed };
            watched.look();
            Ok(watched)
        };
        // Whoever asks first polls the connecting, and a losing race goes on in a task of the pool's.
        if self.detaches { Box::pin(detached(connect)) } else { Box::pin(connect) }
    }
}

struct Watched {
    io: TokioIo<TcpStream>,
    number: usize,
    seen: Seen,
    closed: Arc<Notify>,
}

impl Watched {
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap();
        let now = (self.number, tenant());
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.look();
        self.closed.notify_one();
    }
}

impl Connection for Watched {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        waking: &mut Waking<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.look();
        Pin::new(&mut self.io).poll_read(waking, into)
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        waking: &mut Waking<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look();
        Pin::new(&mut self.io).poll_write(waking, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(waking)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<io::Result<()>> {
        self.look();
        Pin::new(&mut self.io).poll_shutdown(waking)
    }
}

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(600);

/// Lets three tenants ask, one after another, over one pool; what the connections saw. Where they are closed by the pool's
/// timer after a while, it is waited for.
async fn ask<E>(executor: E, detaches: bool, idle: Duration) -> Vec<(usize, Option<String>)>
where
    E: Executor<Pin<Box<dyn Future<Output = ()> + Send>>> + Clone + Send + Sync + 'static,
{
    let server = serve(Router::new().route("/", get(|| async { "hello" }))).await;
    let seen = Seen::default();
    let closed = Arc::new(Notify::new());
    let connector =
        Connector { server, seen: seen.clone(), made: Arc::default(), closed: closed.clone(), detaches };
    // The pool is made, and its timer started, inside the first request.
    let client: Client<Connector, Body> = arrive("first").run(|| {
        Client::builder(Boxes(executor))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle)
            .build(connector)
    });
    for name in ["first", "second", "third"] {
        let client = client.clone();
        let asked = arrive(name).wrap(async move {
            let request = Request::get("http://server/").body(Body::empty()).unwrap();
            let answer = text(client.request(request).await.unwrap()).await;
            (answer, tenant())
        });
        let (answer, asker) = tokio::spawn(asked).await.unwrap();
        assert_eq!((answer.as_str(), asker.as_deref()), ("hello", Some(name)), "the asker keeps its own");
    }
    if idle < NEVER {
        closed.notified().await;
    }
    seen.lock().unwrap().clone()
}

/// One type of future for every executor.
#[derive(Clone)]
struct Boxes<E>(E);

impl<E, F> Executor<F> for Boxes<E>
where
    E: Executor<Pin<Box<dyn Future<Output = ()> + Send>>>,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.execute(Box::pin(future));
    }
}

/// Connections that were used by more than one request, and what those requests' work on them saw.
fn under_a_tenant(seen: &[(usize, Option<String>)]) -> Vec<&str> {
    seen.iter().filter_map(|(_, tenant)| tenant.as_deref()).collect()
}

#[test]
fn the_connections_of_a_detached_pool_work_for_nobody() {
    as_task_on_both(|| async {
        for idle in [NEVER, Duration::from_millis(200)] {
            let seen = ask(Infrastructure, true, idle).await;
            assert!(!seen.is_empty());
            assert_eq!(under_a_tenant(&seen), Vec::<&str>::new(), "{seen:?}");
        }
    });
}

#[test]
fn a_pool_that_spawns_bare_works_for_its_first_caller_only_while_that_one_connects() {
    as_task_on_both(|| async {
        let seen = ask(TokioExecutor::new(), false, NEVER).await;
        // The caller polls the connecting itself; from then on the connection's own task does.
        assert_eq!(seen[0], (1, Some("first".to_owned())));
        assert!(seen[1..].iter().all(|(_, tenant)| tenant.as_deref() != Some("first")), "{seen:?}");
    });
}

#[test]
fn a_pool_that_carries_works_under_its_first_caller_for_ever() {
    // The control: this is what the laws above would see.
    as_task_on_both(|| async {
        let seen = ask(Carries, false, NEVER).await;
        assert_eq!(under_a_tenant(&seen).into_iter().filter(|name| *name != "first").count(), 0, "{seen:?}");
        assert_eq!(seen, [(1, Some("first".to_owned()))], "three tenants, one connection, one name");
    });
}
