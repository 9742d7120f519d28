//! The traffic: all conversations at once, the same words in all of them but for the canaries.

use std::sync::Arc;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};

use super::canary::{Cell, TENANTS, World};
use super::child::Report;
use super::client::Answer;
use super::probe::Tenant;

pub(crate) async fn run(world: &World, tenants: &[Tenant], report: &mut Report) {
    let told = everyone(world, tenants, report, "tell", |cell| {
        format!("Please remember that the access word of ward {} is {}.", cell.session, cell.fact)
    })
    .await;
    everyone(world, tenants, report, "tried", |cell| {
        format!("I tried the {} reset on the pump, it did not help.", cell.attempt)
    })
    .await;
    let asked = everyone(world, tenants, report, "ask", |cell| {
        format!("What is the access word of ward {}?", cell.session)
    })
    .await;
    for (cell, answer) in &asked {
        if answer.status == StatusCode::OK && !answer.text.contains(&cell.fact) {
            report.add(
                "recall",
                format!("tenant {} does not get its own fact of ward {}", cell.tenant, cell.session),
            );
        }
    }
    everyone(world, tenants, report, "else", |_| "What else can I try on the pump?".to_owned()).await;

    own_views(world, tenants, report, &told).await;
    foreign_views(world, tenants, report, &told).await;
    metrics(world, tenants, report).await;
}

type Answered = Vec<(Arc<Cell>, Answer)>;

/// All conversations say one thing, at once, each under the same idempotency key.
async fn everyone(
    world: &World,
    tenants: &[Tenant],
    report: &mut Report,
    key: &str,
    words: impl Fn(&Cell) -> String,
) -> Answered {
    let turns = world.cells.iter().map(|cell| {
        let (kim, words, cell) = (tenants[cell.tenant].kim.clone(), words(cell), Arc::new(cell.clone()));
        async move {
            let answer = kim.say(&cell.session_name(), &words, key).await;
            (cell, answer)
        }
    });
    let answers = join_all(turns).await;
    for (cell, answer) in &answers {
        let whose = world.strangers_in(&answer.text, cell.tenant);
        if answer.status == StatusCode::OK {
            report.turns += 1;
            if !whose.is_empty() {
                report
                    .add("replies", format!("`{key}` of tenant {} holds canaries of {whose:?}", cell.tenant));
            }
        } else {
            report.add(
                "answers",
                format!("`{key}` of tenant {}: {} {}", cell.tenant, answer.status, answer.text),
            );
            if !whose.is_empty() {
                report.add("error texts", format!("tenant {} reads canaries of {whose:?}", cell.tenant));
            }
        }
    }
    answers
}

fn turn_of(answer: &Answer) -> String {
    answer.json()["turn"].as_str().unwrap_or("turn_00000000000000000000000000000000").to_owned()
}

/// What the owner sees holds all of his canaries and none of others'.
async fn own_views(world: &World, tenants: &[Tenant], report: &mut Report, told: &Answered) {
    for (cell, answer) in told {
        let kim = &tenants[cell.tenant].kim;
        let session = kim.get(&format!("/v1/sessions/{}", cell.session_name())).await;
        if !session.text.contains(&cell.fact) || !session.text.contains(&cell.attempt) {
            report.add(
                "history",
                format!("tenant {} misses its own words in {}", cell.tenant, cell.session_name()),
            );
        }
        let tree = kim.get(&format!("/v1/turns/{}/context", turn_of(answer))).await;
        let trace = kim.get(&format!("/v1/context/{}", turn_of(answer))).await;
        for tree in [&tree, &trace] {
            if tree.status != StatusCode::OK || !tree.text.contains(&super::canary::tenant_name(cell.tenant))
            {
                report.add("spans", format!("tenant {} does not see the tree of its own turn", cell.tenant));
            }
            if world.canaries().any(|(canary, _)| tree.text.contains(canary)) {
                report.add("spans", format!("a tree of tenant {} holds what was said", cell.tenant));
            }
        }
        for (check, view) in [("history", &session), ("spans", &tree), ("spans", &trace)] {
            let whose = world.strangers_in(&view.text, cell.tenant);
            if !whose.is_empty() {
                report.add(check, format!("tenant {} sees canaries of {whose:?}", cell.tenant));
            }
        }
    }
    for (tenant, people) in tenants.iter().enumerate() {
        let list = people.kim.get("/v1/sessions").await;
        let whose = world.strangers_in(&list.text, tenant);
        if !whose.is_empty() {
            report.add("history", format!("tenant {tenant} lists sessions with canaries of {whose:?}"));
        }
    }
}

/// Nobody else gets anything: not the next tenant's Kim, who has the same name, and not Lee of the same tenant.
async fn foreign_views(world: &World, tenants: &[Tenant], report: &mut Report, told: &Answered) {
    for (cell, answer) in told {
        let turn = turn_of(answer);
        let others = [
            ("next tenant", (cell.tenant + 1) % TENANTS, &tenants[(cell.tenant + 1) % TENANTS].kim),
            ("colleague", cell.tenant, &tenants[cell.tenant].lee),
        ];
        for (who, reader, caller) in others {
            for (check, path) in [
                ("replies", format!("/v1/turns/{turn}")),
                ("replies", format!("/v1/turns/{turn}/events")),
                ("spans", format!("/v1/turns/{turn}/context")),
                ("spans", format!("/v1/context/{turn}")),
            ] {
                let answer = caller.get(&path).await;
                if answer.status != StatusCode::NOT_FOUND {
                    report.add(
                        check,
                        format!("{who} got {} for a turn of tenant {}", answer.status, cell.tenant),
                    );
                }
                let whose = world.strangers_in(&answer.text, reader);
                let said = who == "colleague"
                    && (answer.text.contains(&cell.fact) || answer.text.contains(&cell.attempt));
                if !whose.is_empty() || said {
                    report.add("error texts", format!("{who} of tenant {} reads canaries", cell.tenant));
                }
            }
        }
        let name = cell.session_name();
        let session = tenants[cell.tenant].lee.get(&format!("/v1/sessions/{name}")).await;
        let deleted = tenants[cell.tenant].lee.call(Method::DELETE, &format!("/v1/sessions/{name}")).await;
        if session.status != StatusCode::NOT_FOUND || deleted.status != StatusCode::NOT_FOUND {
            report.add("history", format!("a colleague got {} and {}", session.status, deleted.status));
        }
    }
}

async fn metrics(world: &World, tenants: &[Tenant], report: &mut Report) {
    let text = tenants[0].kim.get("/metrics").await.text;
    if !text.contains("haversack") {
        report.add("metrics", "there are none");
    }
    let said = world.canaries().any(|(canary, _)| text.contains(canary));
    let named = (0..TENANTS).any(|tenant| text.contains(&super::canary::tenant_name(tenant)));
    if said || named {
        report.add("metrics", "they name a tenant or hold what was said");
    }
}
