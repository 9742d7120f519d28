//! An expired access token is an error unless a handler declares otherwise, and credentials are no headers.

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack::{ContextVar, Manifest, manifest};
use haversack_jobs::carried::{ACCESS_TOKEN, AccessToken, HEADERS, Headers};
use haversack_jobs::{
    ExpiredToken, Failure, FailureKind, HandlerOptions, Handlers, JobOptions, Jobs, NewJob, Outcome,
};
use haversack_store::now_millis;

use crate::{Notes, Place, caller, submit_and_wait, succeeded};

fn with(expired_token: ExpiredToken) -> HandlerOptions {
    HandlerOptions { expired_token }
}

async fn bearer(token: Option<AccessToken>) -> Result<Option<String>, Failure> {
    Ok(token.map(|token| token.reveal().map(str::to_owned)).transpose()?)
}

#[tokio::test]
async fn an_expired_token_is_never_a_silent_anonymous_run() {
    let place = Place::fresh();
    let mint = |_old: AccessToken| async {
        // Whose it is, is known here as anywhere in the job.
        let principal = haversack::well_known::PRINCIPAL.get()?;
        Ok(AccessToken::new(format!("fresh for {principal}"), None))
    };
    let refuse = |_old: AccessToken| async { Err::<AccessToken, _>(Failure::permanent("revoked")) };
    let handlers = Handlers::new()
        .on("default", bearer)
        .on("unaware", || async { Ok(()) })
        .on_with("mint", with(ExpiredToken::mint(mint)), bearer)
        .on_with("refused", with(ExpiredToken::mint(refuse)), bearer)
        .on_with("anonymous", with(ExpiredToken::Anonymous), bearer);
    let worker = place.work(handlers);
    let jobs = place.jobs.clone();
    let run =
        |handler: &'static str, expires_at| {
            let jobs = jobs.clone();
            let token = AccessToken::new("given", expires_at);
            caller("acme", "ada").wrap(ACCESS_TOKEN.scope(token, async move {
                submit_and_wait(&jobs, NewJob::new(handler, &()).unwrap()).await
            }))
        };
    let past = Some(now_millis() - 1);
    for handler in ["default", "mint", "anonymous"] {
        assert_eq!(run(handler, None).await, succeeded("given"), "{handler}");
    }
    for handler in ["default", "unaware", "refused"] {
        let outcome = run(handler, past).await;
        assert!(
            matches!(outcome, Outcome::Failed { kind: FailureKind::TokenExpired, .. }),
            "{handler}: {outcome:?}"
        );
    }
    assert_eq!(run("mint", past).await, succeeded("fresh for ada"));
    assert_eq!(run("anonymous", past).await, succeeded(None::<String>));
    worker.stop().await;
}

#[tokio::test]
async fn headers_are_carried_facts_without_credentials() {
    let place = Place::fresh();
    let read = |headers: Headers| async move {
        Ok(headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>())
    };
    let worker = place.work(Handlers::new().on("read", read));
    let jobs = place.jobs.clone();
    let request = [("Authorization", "Bearer x"), ("Cookie", "c"), ("X-Tracking", "7"), ("Accept", "*/*")];
    let headers = Headers::allowed(&["authorization", "cookie", "x-tracking"], request);
    let run = async { submit_and_wait(&jobs, NewJob::new("read", &()).unwrap()).await };
    let outcome = caller("acme", "ada").wrap(HEADERS.scope(headers, run)).await;
    assert_eq!(outcome, succeeded(["x-tracking: 7"]));
    let outcome = caller("acme", "ada").wrap(submit_and_wait(&jobs, NewJob::new("read", &()).unwrap())).await;
    assert_eq!(outcome, succeeded([""; 0]), "none where none were carried");
    worker.stop().await;
}

/// The same two variables as a newer program declares them.
static NEWER_TOKEN: ContextVar<u8> = ContextVar::new("access_token").portable(2);
static NEWER_HEADERS: ContextVar<u8> = ContextVar::new("headers").portable(2);
static NEWER: Manifest = manifest![TENANT_ID, PRINCIPAL; NEWER_TOKEN, NEWER_HEADERS];

#[tokio::test]
async fn a_token_that_cannot_be_read_is_never_a_silent_anonymous_run() {
    let place = Place::fresh();
    let (notes, _heard) = Notes::new();
    let (bare, named) = (notes.clone(), notes.clone());
    let token = move |_: Option<AccessToken>| {
        bare.add("token");
        async { Ok(()) }
    };
    let headers = move |_: Headers| {
        named.add("headers");
        async { Ok(()) }
    };
    let worker = place.work(Handlers::new().on("token", token).on("headers", headers));
    let newer = Jobs::new(place.store.clone(), place.keys.clone(), &NEWER, JobOptions::default());
    for handler in ["token", "headers"] {
        let jobs = newer.clone();
        let job = async move { submit_and_wait(&jobs, NewJob::new(handler, &()).unwrap()).await };
        let outcome = caller("acme", "ada").wrap(NEWER_TOKEN.scope(1, NEWER_HEADERS.scope(1, job))).await;
        assert!(
            matches!(outcome, Outcome::Failed { kind: FailureKind::Context, .. }),
            "{handler}: {outcome:?}"
        );
    }
    assert!(notes.all().is_empty(), "{:?}", notes.all());
    worker.stop().await;
}
