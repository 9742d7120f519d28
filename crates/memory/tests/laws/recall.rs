//! What is remembered is found, by its tenant, once, in its newest form, and gone when forgotten.

use haversack::testing::{session, tenant};
use haversack_memory::recall::{Outcome, Query};
use haversack_memory::{MemoryError, MemoryOptions, Mode};

use crate::{about, fact, find, fresh, on_disk, raw, texts, with};

#[tokio::test]
async fn read_your_writes() {
    let (_dir, memory) = fresh();
    session("a", "s1")
        .wrap(async {
            let recall = memory.recall().unwrap();
            for n in 0..50 {
                let kept =
                    recall.remember(fact(&format!("locker code{n} belongs to team{n}"))).await.unwrap();
                assert_eq!(kept.outcome, Outcome::New);
                let found = find(&recall, &format!("whose is code{n}?")).await;
                assert_eq!(found.hits[0].id, kept.id);
                assert_eq!(found.hits[0].session.as_deref(), Some("s1"));
            }
        })
        .await;
    // A later session of the same tenant finds it as well: recall outlives sessions.
    let found = session("a", "s2").wrap(async { find(&memory.recall().unwrap(), "code7").await }).await;
    assert_eq!(found.hits[0].session.as_deref(), Some("s1"));
}

#[tokio::test]
async fn nothing_found_is_distinguishable() {
    let (_dir, memory) = fresh();
    tenant("a")
        .wrap(async {
            let recall = memory.recall().unwrap();
            let empty = find(&recall, "manager").await;
            assert_eq!((empty.hits.len(), empty.rows_in_fence, empty.rows_outside), (0, 0, 0));
            assert_eq!((empty.mode, empty.degraded), (Mode::Lexical, None));
            assert_eq!(empty.mode.to_string(), "lexical");

            recall.remember(fact("The gate opens at nine.")).await.unwrap();
            let missed = find(&recall, "manager").await;
            assert_eq!((missed.hits.len(), missed.rows_in_fence, missed.degraded), (0, 1, None));
            for nothing in ["", " \t\n", "?!...", "\0"] {
                let found = find(&recall, nothing).await;
                assert!(found.hits.is_empty() && found.degraded.unwrap().contains("no words"), "{nothing:?}");
            }
            assert!(find(&recall, "who are you?").await.degraded.unwrap().contains("only words"));
        })
        .await;
}

#[tokio::test]
async fn rows_outside_the_fence_are_counted_not_read() {
    let (dir, memory) = fresh();
    tenant("a")
        .wrap(async {
            let recall = memory.recall().unwrap();
            recall.remember(fact("the inside manager is Ann")).await.unwrap();
            // What a release with embeddings would have left behind.
            raw(dir.path())
                .execute_batch(
                    "INSERT INTO spaces VALUES ('sp1', 'p', 'm', 'r', 2, 'mean', 1, '');
                     INSERT INTO memories
                         (id, text, text_hash, source, created_at, valid_from, space, vector)
                     VALUES ('mem_x', 'the outside manager is Bob', x'00', 'user', 1, 1, 'sp1', x'0000'),
                            ('mem_y', 'the other manager is Cid', x'01', 'user', 1, 1, 'sp1', x'0000');
                     UPDATE memories SET superseded_at = 2, superseded_by = 'mem_x' WHERE id = 'mem_y';",
                )
                .unwrap();
            let found = find(&recall, "manager").await;
            assert_eq!(
                found.hits.iter().map(|hit| hit.text.as_str()).collect::<Vec<_>>(),
                ["the inside manager is Ann"]
            );
            assert_eq!((found.rows_in_fence, found.rows_outside), (1, 1));
            assert!(found.degraded.unwrap().contains("embedding space"));
        })
        .await;
}

#[tokio::test]
async fn newer_supersedes_older_on_the_same_subject() {
    let (_dir, memory) = fresh();
    tenant("a")
        .wrap(async {
            let recall = memory.recall().unwrap();
            let first = recall.remember(about("account manager", "Our manager is Kim.")).await.unwrap();
            let other = recall.remember(about("gate", "The gate manager is Lee.")).await.unwrap();
            let second = recall.remember(about(" Account  MANAGER ", "Our manager is Sam.")).await.unwrap();
            assert_eq!(second.outcome, Outcome::Superseded(vec![first.id.clone()]));
            let found = texts(&recall, "manager").await;
            assert!(
                found.contains(&"Our manager is Sam.".to_owned())
                    && !found.contains(&"Our manager is Kim.".to_owned())
            );
            assert!(recall.get(&other.id).await.unwrap().unwrap().superseded_by.is_none());

            // Kept and readable, with the time until which it held.
            let old = recall.get(&first.id).await.unwrap().unwrap();
            assert_eq!(old.superseded_by.as_deref(), Some(second.id.as_str()));
            assert!(old.superseded_at.unwrap() >= old.valid_from);
            // And back again: a superseded text is no duplicate of what holds now.
            let third = recall.remember(about("account manager", "Our manager is Kim.")).await.unwrap();
            assert_eq!(third.outcome, Outcome::Superseded(vec![second.id.clone()]));
            let history = recall.history("account manager").await.unwrap();
            assert_eq!(
                history.iter().map(|memory| memory.id.as_str()).collect::<Vec<_>>(),
                [&first.id, &second.id, &third.id]
            );
            assert_eq!(history.iter().filter(|memory| memory.superseded_by.is_none()).count(), 1);
            assert_eq!(find(&recall, "manager").await.rows_in_fence, 2);
        })
        .await;
}

#[tokio::test]
async fn dedupe_stays_within_the_tenant() {
    let (_dir, memory) = fresh();
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        let kept = tenant(name)
            .wrap(async {
                let recall = memory.recall().unwrap();
                let kept = recall.remember(fact("The gate opens at nine.")).await.unwrap();
                assert_eq!(kept.outcome, Outcome::New, "{name}");
                let again = recall.remember(fact(" The gate\n opens  at nine. ")).await.unwrap();
                assert_eq!((again.id.as_str(), again.outcome), (kept.id.as_str(), Outcome::Duplicate));
                assert_eq!(texts(&recall, "gate").await.len(), 1);
                kept.id
            })
            .await;
        ids.push(kept);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_keep_one_copy() {
    let (_dir, memory) = fresh();
    tenant("a")
        .wrap(async {
            let mut writes = haversack::JoinSet::new();
            for _ in 0..16 {
                writes.spawn(memory.recall().unwrap().remember(fact("The gate opens at nine.")));
            }
            let mut new = 0;
            while let Some(kept) = writes.join_next().await {
                new += usize::from(kept.unwrap().unwrap().outcome == Outcome::New);
            }
            assert_eq!(new, 1);
            assert_eq!(find(&memory.recall().unwrap(), "gate").await.rows_in_fence, 1);
        })
        .await;
}

#[tokio::test]
async fn a_text_that_gains_a_subject_speaks_for_it() {
    let (_dir, memory) = fresh();
    tenant("a")
        .wrap(async {
            let recall = memory.recall().unwrap();
            let old = recall.remember(about("gate", "The gate opens at eight.")).await.unwrap();
            let bare = recall.remember(fact("The gate opens at nine.")).await.unwrap();
            let again = recall.remember(about("gate", "The gate opens at nine.")).await.unwrap();
            assert_eq!(again.id, bare.id);
            assert_eq!(again.outcome, Outcome::Superseded(vec![old.id]));
            assert_eq!(texts(&recall, "gate").await, ["The gate opens at nine."]);
        })
        .await;
}

#[tokio::test]
async fn any_question_is_safe() {
    let (_dir, memory) = fresh();
    tenant("a")
        .wrap(async {
            let recall = memory.recall().unwrap();
            recall.remember(fact("Kim's crème brûlée costs 7.50, not 8!")).await.unwrap();
            let long = "word ".repeat(20_000);
            for question in [
                "\"",
                "\"\"\"",
                "kim*",
                "^kim",
                "text:kim",
                "-kim",
                "NEAR(kim creme)",
                "kim AND NOT kim",
                "kim OR",
                "(kim",
                "{kim}",
                "kim'); DROP TABLE memories; --",
                "%",
                "_",
                "\\",
                "kim\0creme",
                "\u{0}",
                "🦀",
                "a\u{301}",
                "NULL",
                "rank",
                "*",
                "memories_fts",
                "{text} : kim",
                "+",
                "kim + creme",
                "﷽",
                &long,
            ] {
                let found = recall.search(Query { text: question.to_owned(), limit: 3 }).await.unwrap();
                assert!(found.hits.len() <= 1, "{question:?}");
            }
            for (question, hits) in [
                ("kim*", 1),
                ("kim AND NOT kim", 1),
                ("ki*", 0),
                ("CREME BRULEE", 1),
                ("costing", 1),
                ("k%", 0),
            ] {
                assert_eq!(find(&recall, question).await.hits.len(), hits, "{question:?}");
            }
        })
        .await;
}

#[tokio::test]
async fn better_and_newer_come_first() {
    let (_dir, memory) = fresh();
    tenant("a")
        .wrap(async {
            let recall = memory.recall().unwrap();
            for text in [
                "The delivery address is Dock 1.",
                "The delivery window is nine to ten.",
                "The billing address is Hall 2.",
                "Parking is behind the building.",
                "The delivery address is Dock 7.",
            ] {
                recall.remember(fact(text)).await.unwrap();
            }
            let found = find(&recall, "What is our delivery address?").await;
            let texts: Vec<_> = found.hits.iter().map(|hit| hit.text.as_str()).collect();
            assert_eq!(texts[..2], ["The delivery address is Dock 7.", "The delivery address is Dock 1."]);
            assert_eq!(texts.len(), 4, "{texts:?}");
            assert!(found.hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
            assert!((found.hits[0].score - 1.0).abs() < 1e-9 && found.hits[3].score > 0.0);
        })
        .await;
}

#[tokio::test]
async fn limits_hold() {
    let (_dir, memory) = with(MemoryOptions { max_hits: 3, ..MemoryOptions::default() });
    tenant("a")
        .wrap(async {
            let recall = memory.recall().unwrap();
            for n in 0..10 {
                recall.remember(fact(&format!("gate number {n}"))).await.unwrap();
            }
            for (limit, hits) in [(0, 0), (2, 2), (1000, 3), (usize::MAX, 3)] {
                let found = recall.search(Query { text: "gate".to_owned(), limit }).await.unwrap();
                assert_eq!((found.hits.len(), found.rows_in_fence), (hits, 10));
            }
            for bad in [fact(""), fact(" \n"), fact(&"x".repeat(65_537)), about(&"x".repeat(1025), "ok")] {
                let error = recall.remember(bad).await.unwrap_err();
                assert!(
                    matches!(error, MemoryError::Invalid { .. }) && error.to_string().len() < 60,
                    "{error}"
                );
            }
            recall.remember(fact(&"x".repeat(65_536))).await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn forget_leaves_the_text_in_no_raw_file() {
    let (dir, memory) = fresh();
    tenant("a")
        .wrap(async {
            let recall = memory.recall().unwrap();
            let mut ids = Vec::new();
            for n in 0..30 {
                let text = format!(
                    "frobcanary{n}q lives in house{n}q with a long story: {}",
                    "lorem ipsum ".repeat(n * 40)
                );
                ids.push(recall.remember(about(&format!("subjcanary{n}q"), &text)).await.unwrap().id);
            }
            for n in [0, 11, 29] {
                assert!(!on_disk(dir.path(), &format!("frobcanary{n}q")).is_empty(), "the test can see it");
                assert!(recall.forget(&ids[n]).await.unwrap());
                for needle in [format!("frobcanary{n}q"), format!("house{n}q"), format!("subjcanary{n}q")] {
                    assert_eq!(on_disk(dir.path(), &needle), Vec::<std::path::PathBuf>::new(), "{needle}");
                }
                assert!(texts(&recall, &format!("frobcanary{n}q")).await.is_empty());
                assert!(!recall.forget(&ids[n]).await.unwrap(), "only once");
            }
            assert_eq!(texts(&recall, "frobcanary12q").await.len(), 1);
        })
        .await;
}
