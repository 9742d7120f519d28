//! The layer: each request enters a boundary, and its call and its future run under that entry.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Waking, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use haversack::strict::{self, Report};
use haversack::{Context, ContextLayer, ContextVar, Entry};
use tokio::sync::{Barrier, mpsc};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::runtimes::on_both;
use crate::server::{Client, Probe, arrive, ask, door, serve, tenant, text};

static NOTE: ContextVar<u32> = ContextVar::new("note");

fn request(tenant: &str) -> Request<Body> {
    Request::builder().header("x-tenant", tenant).body(Body::empty()).unwrap()
}

#[test]
fn requests_of_twenty_tenants_at_once_see_their_own() {
    const TENANTS: usize = 20;
    on_both(|| async {
        let meeting = Arc::new(Barrier::new(TENANTS));
        let handler = move || async move {
            let before = tenant().unwrap();
            drop(NOTE.set(before.len() as u32).unwrap());
            meeting.wait().await;
            let child = haversack::spawn(async { tenant().unwrap() }).await.unwrap();
            let pool = haversack::spawn_blocking(|| tenant().unwrap()).await.unwrap();
            format!("{before} {} {child} {pool} {}", tenant().unwrap(), NOTE.get().unwrap())
        };
        let server = serve(Router::new().route("/", get(handler)).layer(ContextLayer::new(door))).await;
        let asked: Vec<_> = (0..TENANTS)
            .map(|number| {
                let name = format!("tenant-{number}");
                tokio::spawn(async move { (ask(server, "/", &name).await, name) })
            })
            .collect();
        for asked in asked {
            let (answer, name) = asked.await.unwrap();
            assert_eq!(answer, format!("{name} {name} {name} {name} {}", name.len()));
        }
    });
}

#[test]
fn a_request_without_a_tenant_is_refused_at_the_door_and_no_handler_runs() {
    on_both(|| async {
        let calls = Arc::new(AtomicUsize::new(0));
        let counts = calls.clone();
        let handler = move || async move { counts.fetch_add(1, Ordering::Relaxed).to_string() };
        let server = serve(Router::new().route("/", get(handler)).layer(ContextLayer::new(door))).await;
        let mut client = Client::connect(server).await;
        let refused = client.get("/", None).await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        let text = text(refused).await;
        assert!(text.contains("`http`") && text.contains("`tenant`"), "{text}");
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        assert_eq!(client.get("/", Some("acme")).await.unwrap().status(), StatusCode::OK);
    });
}

#[test]
fn a_second_request_on_a_connection_sees_nothing_of_the_first() {
    on_both(|| async {
        let handler = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
            let before = NOTE.get().ok();
            drop(NOTE.set(1).unwrap());
            tokio::task::yield_now().await;
            format!("{} {before:?} {} {}", tenant().unwrap(), Entry::current().unwrap().number(), peer.port())
        };
        let server = serve(Router::new().route("/", get(handler)).layer(ContextLayer::new(door))).await;
        let mut client = Client::connect(server).await;
        let mut answers = Vec::new();
        for name in ["first", "second"] {
            answers.push(text(client.get("/", Some(name)).await.unwrap()).await);
        }
        let words: Vec<Vec<&str>> = answers.iter().map(|answer| answer.split(' ').collect()).collect();
        assert_eq!(words[0][3], words[1][3], "one connection");
        assert_eq!((words[0][0], words[1][0]), ("first", "second"));
        assert_eq!((words[0][1], words[1][1]), ("None", "None"));
        assert_ne!(words[0][2], words[1][2], "each request is an entry of its own");
    });
}

#[test]
fn a_handler_whose_client_has_gone_is_dropped_inside_its_context() {
    on_both(|| async {
        let (dropped, mut seen) = mpsc::unbounded_channel();
        let (started, mut has_started) = mpsc::unbounded_channel();
        let handler = move || async move {
            let _probe = Probe(dropped);
            started.send(()).unwrap();
            pending::<&str>().await
        };
        let server = serve(Router::new().route("/", get(handler)).layer(ContextLayer::new(door))).await;
        let asked = tokio::spawn(async move { ask(server, "/", "acme").await });
        has_started.recv().await.unwrap();
        asked.abort();
        assert_eq!(seen.recv().await.unwrap().as_deref(), Some("acme"));
    });
}

#[test]
fn a_handler_that_panics_leaves_nothing_for_the_next_request() {
    on_both(|| async {
        async fn panics() -> &'static str {
            drop(NOTE.set(1).unwrap());
            std::panic::resume_unwind(Box::new("thrown"))
        }
        let router = Router::new()
            .route("/panics", get(panics))
            .route("/reads", get(|| async { format!("{:?} {:?}", tenant(), NOTE.get().ok()) }))
            .layer(ContextLayer::new(door));
        let outside = Router::new().route("/outside", get(|| async { format!("{:?}", tenant()) }));
        let server = serve(router.merge(outside)).await;
        for _ in 0..4 {
            let mut victim = Client::connect(server).await;
            assert!(victim.get("/panics", Some("victim")).await.is_err());
            assert_eq!(ask(server, "/reads", "next").await, "Some(\"next\") None");
            assert_eq!(ask(server, "/outside", "nobody").await, "None");
        }
    });
}

#[test]
fn the_call_of_a_service_runs_in_the_context_and_its_future_in_a_frame_of_its_own() {
    let service = service_fn(|_: Request<Body>| {
        let at_call = tenant();
        drop(NOTE.set(1).unwrap());
        async move {
            let text = format!("{at_call:?} {:?} {:?}", tenant(), NOTE.get().ok());
            Ok::<_, Infallible>(Response::new(Body::from(text)))
        }
    });
    on_both(|| async {
        let response = ContextLayer::new(door).layer(service).oneshot(request("acme")).await.unwrap();
        assert_eq!(text(response).await, "Some(\"acme\") Some(\"acme\") None");
        assert_eq!(tenant(), None);
    });
}

#[test]
fn a_response_future_polled_by_a_foreign_driver_runs_in_its_own_context() {
    on_both(|| async {
        let service = service_fn(|_: Request<Body>| async {
            let before = tenant();
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Response::new(Body::from(format!("{before:?} {:?}", tenant()))))
        });
        let ours = ContextLayer::new(door).layer(service).oneshot(request("ours"));
        let read = arrive("theirs")
            .wrap(async {
                let response = ours.await.unwrap();
                assert_eq!(tenant().as_deref(), Some("theirs"));
                text(response).await
            })
            .await;
        assert_eq!(read, "Some(\"ours\") Some(\"ours\")");
    });
}

#[test]
fn readiness_is_that_of_the_service_inside() {
    struct Busy(u32);
    impl Service<Request<Body>> for Busy {
        type Response = Response<Body>;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Response<Body>, &'static str>>;

        fn poll_ready(&mut self, _: &mut Waking<'_>) -> Poll<Result<(), &'static str>> {
            self.0 += 1;
            match self.0 {
                1 => Poll::Pending,
                2 => Poll::Ready(Ok(())),
                _ => Poll::Ready(Err("closed")),
            }
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            ready(Ok(Response::new(Body::empty())))
        }
    }
    let mut service = ContextLayer::new(door).layer(Busy(0));
    let mut waking = Waking::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut waking).is_pending());
    assert!(matches!(service.poll_ready(&mut waking), Poll::Ready(Ok(()))));
    assert!(matches!(service.poll_ready(&mut waking), Poll::Ready(Err("closed"))));
}

#[test]
fn the_entry_is_open_until_the_response_or_its_failure_has_been_dropped() {
    static OUTLIVED: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
    static MINTED: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
    strict::on_report(|report| {
        if let Report::OutlivedEntry { entry, .. } = report {
            OUTLIVED.lock().unwrap().push(*entry);
        }
    });
    /// Enters its own context once more while it is dropped.
    struct Works;
    impl Drop for Works {
        fn drop(&mut self) {
            Context::current().run(|| MINTED.lock().unwrap().push(Entry::current().unwrap()));
        }
    }
    on_both(|| async {
        let failing = service_fn(|_: Request<Body>| async {
            let _works = Works;
            Err::<Response<Body>, _>("failed")
        });
        let failed = ContextLayer::new(door).layer(failing).oneshot(request("acme")).await;
        assert_eq!(failed.unwrap_err(), "failed");
        let answering = service_fn(|_: Request<Body>| async {
            let works = Works;
            let chunks = futures_util::stream::once(async move {
                let _works = works;
                Ok::<_, Infallible>("done")
            });
            Ok::<_, Infallible>(Response::new(Body::from_stream(chunks)))
        });
        let response = ContextLayer::new(door).layer(answering).oneshot(request("acme")).await.unwrap();
        text(response).await;
        let unread = ContextLayer::new(door).layer(answering).oneshot(request("acme")).await.unwrap();
        drop(unread);
    });
    let minted = MINTED.lock().unwrap();
    assert_eq!(minted.len(), 6);
    for entry in minted.iter() {
        assert!(!OUTLIVED.lock().unwrap().contains(entry), "{entry} ended too early");
    }
}
