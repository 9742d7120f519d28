//! What a crew is built of, and which orders are refused.

use haversack_agent::crew::{Crew, OrderError, Task};

fn task(name: &str) -> Task {
    Task::new(name, |_| async { Ok(String::new()) })
}

fn build(tasks: impl IntoIterator<Item = Task>) -> Result<Crew, OrderError> {
    tasks.into_iter().fold(Crew::builder("c"), haversack_agent::crew::CrewBuilder::task).build()
}

#[test]
fn impossible_orders_are_refused_when_the_crew_is_built() {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let reads = |name: &str, list: &[&str]| task(name).with_context(list.iter().copied());
    let table: Vec<(Vec<Task>, OrderError)> = vec![
        (vec![], OrderError::Empty),
        (vec![task("a"), task("b"), task("a")], OrderError::DuplicateName(a.clone())),
        (
            vec![task("a"), reads("b", &["x"])],
            OrderError::Unknown { task: b.clone(), wants: "x".to_owned(), known: "a, b".to_owned() },
        ),
        (vec![reads("a", &["a"])], OrderError::Cycle(vec![a.clone()])),
        (
            vec![reads("a", &["c"]), reads("b", &["a"]), reads("c", &["b"])],
            OrderError::Cycle(vec![a.clone(), "c".to_owned(), b.clone()]),
        ),
        (vec![reads("a", &["b"]), task("b")], OrderError::Later { task: a.clone(), wants: b.clone() }),
        (
            vec![task("a").in_background(), reads("b", &["a"]).in_background()],
            OrderError::Running { task: b.clone(), wants: a.clone() },
        ),
        (
            vec![task("a").in_background(), task("x").in_background(), reads("b", &["a"]).in_background()],
            OrderError::Running { task: b, wants: a },
        ),
    ];
    for (tasks, expected) in table {
        let refused = build(tasks).unwrap_err();
        assert_eq!(refused, expected);
        assert!(!refused.to_string().is_empty());
    }
}

#[test]
fn what_has_ended_may_be_read() {
    let reads = |name: &str, list: &[&str]| task(name).with_context(list.iter().copied());
    let background = |name: &str| task(name).in_background();
    let possible = [
        vec![background("a"), reads("b", &["a"])],
        vec![background("a"), task("s"), reads("b", &["a", "s"]).in_background()],
        // A condition waits for what runs, so the background begins anew behind it.
        vec![background("a"), reads("b", &["a"]).in_background().only_if(|_| true)],
        vec![background("a"), task("s").only_if(|_| false), reads("b", &["a"]).in_background()],
    ];
    for tasks in possible {
        assert!(build(tasks.clone()).is_ok(), "{tasks:?}");
    }
}
