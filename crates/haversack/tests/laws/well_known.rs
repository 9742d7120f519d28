//! The well-known variables: what their values accept, and that an id is an opaque key.

use std::time::{Duration, Instant};

use haversack::well_known::{
    DEADLINE, Deadline, MAX_ID_BYTES, PRINCIPAL, REQUEST_ID, RequestId, SESSION_ID, TENANT_ID, TRACE_CONTEXT,
    TenantId, TraceContext,
};
use haversack::{Crossing, Variable};

#[test]
fn an_id_is_any_text_that_is_not_empty_and_not_too_long() {
    for good in ["a", "../x", "Zürich 🏔", " ", "a\nb", &"x".repeat(MAX_ID_BYTES)] {
        let id = TenantId::new(good).unwrap();
        assert_eq!((id.as_str(), id.to_string().as_str()), (good, good));
        assert_eq!(good.parse::<TenantId>().unwrap(), id);
    }
    let empty = TenantId::new("").unwrap_err().to_string();
    assert_eq!(empty, "a tenant id cannot be empty");
    let secret = "s".repeat(MAX_ID_BYTES + 1);
    let long = TenantId::new(secret.as_str()).unwrap_err().to_string();
    assert_eq!(long, "a tenant id has at most 4096 bytes, this one has 4097");
}

#[test]
fn ids_are_equal_or_not_and_nothing_in_between() {
    let id = |text: &str| TenantId::new(text).unwrap();
    assert_eq!(id("acme"), id("acme"));
    for other in ["Acme", "acme ", "acm", "acme\0", "a\u{301}cme"] {
        assert_ne!(id("acme"), id(other));
    }
}

#[test]
fn an_id_is_checked_when_it_is_read_back_too() {
    let id = RequestId::new("r-1").unwrap();
    let text = serde_json::to_string(&id).unwrap();
    assert_eq!(text, "\"r-1\"");
    assert_eq!(serde_json::from_str::<RequestId>(&text).unwrap(), id);
    assert!(serde_json::from_str::<RequestId>("\"\"").is_err());
    assert!(serde_json::from_str::<TraceContext>("\"00-0-0-00\"").is_err());
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_trace_context_is_a_traceparent_of_version_00_and_nothing_else() {
    let trace = TraceContext::parse(TRACE).unwrap();
    assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(trace.parent_id(), "00f067aa0ba902b7");
    assert_eq!(trace.to_string(), TRACE);
    let bad = [
        "",
        "00",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "00-4bf92f3577b34da6a3ce929d0e0e473ü-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
    ];
    for bad in bad {
        assert!(TraceContext::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_deadline_runs_out_and_never_overflows() {
    let past = Deadline::at(Instant::now());
    assert_eq!((past.remaining(), past.expired()), (Duration::ZERO, true));
    let far = Deadline::after(Duration::MAX);
    assert!(!far.expired() && far > past);
    assert!(far.remaining() > Duration::from_secs(3600));
    DEADLINE.sync_scope(far, || assert_eq!(DEADLINE.get().unwrap().instant(), far.instant()));
}

#[test]
#[cfg(feature = "tokio")]
fn cancelling_reaches_everything_below_and_nothing_above() {
    use haversack::well_known::{CANCEL, Cancel};
    crate::runtimes::on_both(|| async {
        let request = Cancel::new();
        CANCEL
            .scope(request.clone(), async {
                let tool = CANCEL.get().unwrap().child();
                tool.cancel();
                assert!(tool.is_cancelled() && !CANCEL.get().unwrap().is_cancelled());
                let waits = haversack::spawn(async { CANCEL.get().unwrap().child().cancelled().await });
                request.cancel();
                waits.await.unwrap();
                assert!(CANCEL.get().unwrap().is_cancelled());
            })
            .await;
    });
}

#[test]
fn identity_is_bound_at_doors_and_travels_into_jobs_but_not_into_headers() {
    let identity: [&dyn Variable; 3] = [&TENANT_ID, &PRINCIPAL, &SESSION_ID];
    for variable in identity {
        let policy = variable.policy();
        assert!(policy.is_at_door(), "{}", variable.name());
        assert!(policy.allows(Crossing::Job) && !policy.allows(Crossing::Outbound), "{}", variable.name());
    }
    assert_eq!(TRACE_CONTEXT.policy().header(), Some("traceparent"));
    assert!(!REQUEST_ID.policy().is_at_door());
}
