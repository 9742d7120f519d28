//! The check: every mistake is found before anything runs, with its step and what to do.

use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, function, python, runner, shell, stub};
use haversack_pipeline::check::{Finding, Problem};
use haversack_pipeline::{Parameters, Pipeline, PipelineError};

use crate::{House, branch, chain, id, none};

fn findings(text: &str) -> Vec<Finding> {
    match Pipeline::from_yaml("x", text) {
        Err(PipelineError::Invalid(findings)) => findings,
        Ok(_) => Vec::new(),
        Err(other) => panic!("{text}: {other}"),
    }
}

fn steps(body: &str) -> String {
    format!("dag:\n  start_at: a\n  steps:\n{body}")
}

#[test]
fn a_wrong_path_is_found() {
    use Problem::{BadValue, Cycle, MissingTerminal, UnknownStep, Unreachable};
    let end = "    success: {type: success}\n    fail: {type: fail}\n";
    let cases = [
        ("    a: {type: stub, next: b}\n", "a", UnknownStep, "`next` names `b`, which is no step here"),
        ("    a: {type: stub, next: success, on_failure: b}\n", "a", UnknownStep, "`on_failure` names `b`"),
        ("    b: {type: stub, next: success}\n", "", UnknownStep, "`start_at` names `a`"),
        (
            "    a: {type: stub, next: success}\n    b: {type: stub, next: success}\n",
            "b",
            Unreachable,
            "no path leads here",
        ),
        (
            "    a: {type: stub, next: b}\n    b: {type: stub, next: a, on_failure: success}\n",
            "a",
            Cycle,
            "through a, b; use a loop step",
        ),
        ("    a: {type: stub, next: a}\n", "a", Cycle, "leads back to itself"),
        ("    a: {type: stub}\n", "a", MissingTerminal, "it leads nowhere"),
        (
            "    a: {type: stub, next: fail}\n",
            "",
            MissingTerminal,
            "no path from `start_at` ends at a success",
        ),
        ("    a: {type: success, next: success}\n", "a", BadValue, "the graph ends here"),
    ];
    for (body, step, problem, words) in cases {
        let found = findings(&steps(&format!("{body}{end}")));
        let hit = found.iter().any(|f| f.step == step && f.problem == problem && f.text.contains(words));
        assert!(hit, "{body}: {found:#?}");
    }
    let found = findings(&steps("    a: {type: stub, next: fail}\n    fail: {type: fail}\n"));
    assert!(
        found.iter().any(|f| f.problem == MissingTerminal && f.text.contains("`type: success`")),
        "{found:#?}"
    );
}

#[test]
fn a_finding_names_the_branch_and_the_line() {
    let text = r"dag:
  start_at: a
  steps:
    a:
      type: parallel
      next: success
      branches:
        left:
          start_at: x
          steps:
            x:
              type: stub
              next: nowhere
            success: {type: success}
    success: {type: success}
";
    let found = findings(text);
    let unknown = found.iter().find(|f| f.problem == Problem::UnknownStep).unwrap();
    assert_eq!(unknown.step, "a/left/x");
    assert_eq!(unknown.line, Some(12), "{found:#?}");
    assert!(unknown.to_string().starts_with("line 12: a/left/x: `next` names `nowhere`"));
}

#[test]
fn names_that_would_steer_a_child_are_refused_everywhere() {
    for name in
        ["PATH", "LD_PRELOAD", "LD_AUDIT", "PYTHONPATH", "BASH_ENV", "ENV", "IFS", "HAVERSACK_RUN_ID", "a-b"]
    {
        let returned = PipelineBuilder::new("x", branch([("a", shell("true").returns([name]))])).build();
        let secret = PipelineBuilder::new("x", branch([("a", shell("true").secrets([name]))])).build();
        let default =
            PipelineBuilder::new("x", branch([("a", stub())])).parameters(none().with(name, 1)).build();
        for refused in [returned, secret, default] {
            let Err(PipelineError::Invalid(found)) = refused else { panic!("{name} was let through") };
            assert_eq!(found[0].problem, Problem::BadName, "{name}");
            assert!(found[0].text.contains("rename it"), "{}", found[0]);
        }
    }
}

#[tokio::test]
async fn a_start_refuses_such_names_too() {
    let house = House::new();
    let pipeline = chain([("a", stub())]);
    let refused = haversack::testing::tenant("a").wrap(house.pipelines.start(
        &pipeline,
        Parameters::new().with("LD_PRELOAD", "/tmp/x.so"),
        id("r"),
    ));
    // The call was made outside of the door, so it is refused for that first.
    assert!(matches!(refused.await, Err(PipelineError::Unbound(_))));
    haversack::testing::tenant("a")
        .wrap(async {
            let refused =
                house.pipelines.start(&pipeline, none().with("LD_PRELOAD", "/tmp/x.so"), id("r")).await;
            assert!(matches!(refused, Err(PipelineError::BadParameter { .. })), "{refused:?}");
            assert!(matches!(house.pipelines.get(&id("r")).await, Err(PipelineError::UnknownRun)));
        })
        .await;
}

#[test]
fn two_steps_of_one_name_are_found() {
    let dag = DagBuilder::new().then("a", stub()).then("b", stub()).aside("a", stub());
    let Err(PipelineError::Invalid(found)) = PipelineBuilder::new("x", dag).build() else {
        panic!("let through")
    };
    assert!(found.iter().any(|f| f.problem == Problem::DuplicateName && f.step == "a"), "{found:#?}");
}

#[test]
fn patterns_cannot_leave() {
    for pattern in ["../x", "/etc/passwd", "a/../../x", "", "."] {
        for step in [shell("true").get([pattern]), shell("true").put([pattern])] {
            let Err(PipelineError::Invalid(found)) = PipelineBuilder::new("x", branch([("a", step)])).build()
            else {
                panic!("{pattern} was let through")
            };
            assert_eq!(found[0].problem, Problem::BadPattern, "{pattern}");
        }
    }
}

#[test]
fn what_is_not_registered_is_found_before_the_start() {
    let house = House::new();
    let pipeline = chain([("a", function("f")), ("b", runner("agent", "x")), ("c", python("a.b"))]);
    let found = house.pipelines.check(&pipeline);
    let steps: Vec<_> = found.iter().map(|f| (f.step.as_str(), f.problem)).collect();
    assert_eq!(steps, [("a", Problem::NotRegistered), ("b", Problem::NotRegistered)]);
    assert!(found[1].text.contains("there are shell, python, function"), "{}", found[1]);
}
