//! Response bodies: polled after the middleware returned, and still in the context of their request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waking, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::stream::{self, Stream};
use haversack::body::ContextBody;
use haversack::{ContextLayer, ContextVar, Entry};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Mutex, mpsc};
use tower::{Layer, ServiceExt, service_fn};

use crate::runtimes::on_both;
use crate::server::{Client, Probe, arrive, door, serve, tenant, text};

static LOCALE: ContextVar<String> = ContextVar::new("locale");

/// What the context says at one poll.
fn line() -> String {
    let entry = Entry::current().map(|entry| entry.number());
    format!("{:?} {:?} {:?}\n", tenant(), LOCALE.get().ok(), entry.ok())
}

/// One line a permit, each read when it is polled.
fn lines(
    permits: mpsc::UnboundedReceiver<()>,
    probe: Option<Probe>,
) -> impl Stream<Item = Result<String, Infallible>> {
    stream::unfold((permits, probe), |(mut permits, probe)| async {
        permits.recv().await?;
        Some((Ok(line()), (permits, probe)))
    })
}

/// A handler that sets, and answers with a body that waits for permits.
fn streaming(permits: mpsc::UnboundedReceiver<()>, probe: Option<Probe>) -> Router {
    let once = Arc::new(Mutex::new(Some((permits, probe))));
    let handler = move || async move {
        let (permits, probe) = once.lock().await.take().unwrap();
        drop(LOCALE.set("set by the handler".to_owned()).unwrap());
        (
            [("x-entry", Entry::current().unwrap().number().to_string())],
            Body::from_stream(lines(permits, probe)),
        )
    };
    Router::new().route("/", get(handler)).layer(ContextLayer::new(door))
}

fn expected(response: &Response<Body>, tenant: &str) -> String {
    let entry = response.headers()["x-entry"].to_str().unwrap();
    format!("Some({tenant:?}) Some(\"set by the handler\") Some({entry})\n")
}

/// The next chunk of the body, or `None` at its end.
async fn chunk(response: &mut Response<Body>) -> Option<Bytes> {
    let frame = response.body_mut().frame().await?;
    frame.unwrap().into_data().ok()
}

#[test]
fn a_streaming_body_sees_what_its_handler_set_after_the_middleware_returned() {
    on_both(|| async {
        let (permit, permits) = mpsc::unbounded_channel();
        let mut client = Client::connect(serve(streaming(permits, None)).await).await;
        // The head is here, so handler and middleware have returned; the body waits for its first permit.
        let mut response = client.get("/", Some("acme")).await.unwrap();
        let expected = expected(&response, "acme");
        for _ in 0..3 {
            permit.send(()).unwrap();
            assert_eq!(chunk(&mut response).await.unwrap(), expected);
        }
        drop(permit);
        assert_eq!(chunk(&mut response).await, None);
    });
}

#[test]
fn bodies_of_two_tenants_read_in_turns_keep_to_their_own() {
    on_both(|| async {
        let mut open = Vec::new();
        for name in ["a", "b"] {
            let (permit, permits) = mpsc::unbounded_channel();
            let mut client = Client::connect(serve(streaming(permits, None)).await).await;
            let response = client.get("/", Some(name)).await.unwrap();
            open.push((permit, expected(&response, name), response, client));
        }
        for _ in 0..5 {
            for (permit, expected, response, _client) in &mut open {
                permit.send(()).unwrap();
                assert_eq!(chunk(response).await.unwrap(), *expected);
            }
        }
    });
}

#[test]
fn a_half_read_body_is_dropped_inside_its_context() {
    on_both(|| async {
        let (dropped, mut seen) = mpsc::unbounded_channel();
        let (permit, permits) = mpsc::unbounded_channel();
        let mut client = Client::connect(serve(streaming(permits, Some(Probe(dropped)))).await).await;
        let mut response = client.get("/", Some("acme")).await.unwrap();
        permit.send(()).unwrap();
        chunk(&mut response).await.unwrap();
        drop((response, client));
        assert_eq!(seen.recv().await.unwrap().as_deref(), Some("acme"));
    });
}

#[test]
fn what_is_confined_does_not_come_along_with_a_body() {
    static OPEN: ContextVar<u32> = ContextVar::new("open beside a body").confined();
    on_both(|| async {
        let handler = async || {
            drop(OPEN.set(7).unwrap());
            drop(LOCALE.set("de".to_owned()).unwrap());
            let line = || Ok::<_, Infallible>(format!("{:?} {:?}\n", OPEN.get().is_ok(), LOCALE.get().ok()));
            let body = Body::from_stream(futures_util::StreamExt::take(stream::repeat_with(line), 2));
            assert_eq!(OPEN.get().unwrap(), 7);
            Ok::<_, Infallible>(Response::new(body))
        };
        let service = service_fn(move |_: Request<Body>| handler());
        let request = Request::builder().header("x-tenant", "acme").body(Body::empty()).unwrap();
        let response = ContextLayer::new(door).layer(service).oneshot(request).await.unwrap();
        assert_eq!(text(response).await, "false Some(\"de\")\n".repeat(2));
    });
}

#[test]
fn a_body_polled_under_another_tenant_reads_its_own() {
    on_both(|| async {
        let service = service_fn(|_: Request<Body>| async {
            drop(LOCALE.set("ours".to_owned()).unwrap());
            let lines = stream::iter(0..3).then_line();
            Ok::<_, Infallible>(Response::new(Body::from_stream(lines)))
        });
        let request = Request::builder().header("x-tenant", "ours").body(Body::empty()).unwrap();
        let response = ContextLayer::new(door).layer(service).oneshot(request).await.unwrap();
        let read = arrive("theirs").wrap(async move {
            let read = text(response).await;
            assert_eq!(tenant().as_deref(), Some("theirs"));
            assert!(LOCALE.get().is_err());
            read
        });
        let read = read.await;
        assert_eq!(read.lines().count(), 3);
        for line in read.lines() {
            assert!(line.starts_with("Some(\"ours\") Some(\"ours\") Some("), "{line}");
        }
    });
}

/// A line at each element, read when it is polled.
trait ThenLine: Stream<Item = i32> + Sized {
    fn then_line(self) -> impl Stream<Item = Result<String, Infallible>> {
        futures_util::StreamExt::map(self, |_| Ok(line()))
    }
}

impl<S: Stream<Item = i32>> ThenLine for S {}

#[test]
fn the_size_of_a_body_is_kept() {
    on_both(|| async {
        let router = Router::new()
            .route("/full", get(|| async { "twelve bytes" }))
            .route("/empty", get(|| async { Body::empty() }))
            .layer(ContextLayer::new(door));
        let server = serve(router).await;
        for (path, length) in [("/full", "12"), ("/empty", "0")] {
            let mut client = Client::connect(server).await;
            let response = client.get(path, Some("acme")).await.unwrap();
            assert_eq!(response.headers()[header::CONTENT_LENGTH], length, "{path}");
            assert!(!response.headers().contains_key(header::TRANSFER_ENCODING), "{path}");
        }
    });
    let full = ContextBody::in_current_context(Body::from("twelve bytes"));
    assert_eq!((full.size_hint().exact(), full.is_end_stream()), (Some(12), false));
    let empty = ContextBody::in_current_context(Body::empty());
    assert_eq!((empty.size_hint().exact(), empty.is_end_stream()), (Some(0), true));
    let open =
        ContextBody::in_current_context(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
    assert_eq!((open.size_hint().exact(), open.is_end_stream()), (None, false));
}

/// A body that is as long as its tenant's name, and at its end where nobody asks who it is of.
struct Named;

impl HttpBody for Named {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Waking<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(tenant().map(|tenant| Ok(Frame::data(tenant.into()))))
    }

    fn is_end_stream(&self) -> bool {
        tenant().is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(tenant().map_or(0, |tenant| tenant.len() as u64))
    }
}

#[test]
fn the_size_of_a_body_is_asked_in_its_own_context() {
    let body = arrive("ours").run(|| ContextBody::in_current_context(Named));
    let asked = || (body.size_hint().exact(), body.is_end_stream());
    assert_eq!(arrive("somebody else's").run(asked), (Some(4), false));
    assert_eq!(asked(), (Some(4), false), "also outside of every frame");
}

#[test]
fn a_body_may_be_put_into_the_context_of_a_call_by_hand() {
    on_both(|| async {
        let body = arrive("ours")
            .run(|| ContextBody::in_current_context(Body::from_stream(stream::iter(0..1).then_line())));
        let read = arrive("theirs").wrap(text(Response::new(body))).await;
        assert!(read.starts_with("Some(\"ours\")"), "{read}");
    });
}

#[test]
fn the_body_of_a_refusal_belongs_to_nobody() {
    on_both(|| async {
        let refuses =
            |_: &Request<Body>| Err(Body::from_stream(stream::iter(0..1).then_line()).into_response());
        let service =
            service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
        let refused = ContextLayer::new(refuses).layer(service).oneshot(Request::new(Body::empty()));
        let read = arrive("theirs").wrap(async { text(refused.await.unwrap()).await }).await;
        assert_eq!(read, "None None None\n");
    });
}
