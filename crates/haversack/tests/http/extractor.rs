//! The extractor: the context of the request by value, and a loud answer where a route is behind no door.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use haversack::{ContextLayer, CurrentContext, MissingContext};

use crate::runtimes::on_both;
use crate::server::{Client, arrive, ask, door, serve, tenant, text};

#[test]
fn a_handler_hands_its_context_on_by_value() {
    on_both(|| async {
        let handler = |CurrentContext(context): CurrentContext| async move {
            // To a thread that knows nothing of the library.
            let there = std::thread::spawn(move || (tenant(), context.run(tenant))).join().unwrap();
            format!("{there:?}")
        };
        let server = serve(Router::new().route("/", get(handler)).layer(ContextLayer::new(door))).await;
        assert_eq!(ask(server, "/", "acme").await, "(None, Some(\"acme\"))");
    });
}

#[test]
fn a_route_behind_no_door_is_noticed_at_its_first_request() {
    on_both(|| async {
        let ran = Arc::new(AtomicBool::new(false));
        let notes = ran.clone();
        let handler = move |CurrentContext(_): CurrentContext| async move {
            notes.store(true, Ordering::Relaxed);
        };
        let server = serve(Router::new().route("/", get(handler))).await;
        let mut client = Client::connect(server).await;
        let response = client.get("/", Some("acme")).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(text(response).await, "", "no detail leaves the house");
        assert!(!ran.load(Ordering::Relaxed));
    });
}

#[test]
fn the_rejection_says_what_was_missing() {
    on_both(|| async {
        let (mut parts, ()) = Request::new(()).into_parts();
        let rejected = CurrentContext::from_request_parts(&mut parts, &()).await.unwrap_err();
        assert!(rejected.to_string().contains("no boundary"), "{rejected}");
        assert!(rejected.source().unwrap().is::<MissingContext>());
        let visit = arrive("acme");
        let entry = visit.entry();
        let extracted =
            visit.wrap(async { CurrentContext::from_request_parts(&mut parts, &()).await.unwrap() });
        assert_eq!(extracted.await.0.entry(), Some(entry));
    });
}
