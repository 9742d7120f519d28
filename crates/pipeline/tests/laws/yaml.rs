//! The text and the builder: one graph, and mistakes with their place.

use std::time::Duration;

use haversack_pipeline::builder::{
    DagBuilder, PipelineBuilder, conditional, function, map, parallel, python, repeat, runner, shell, stub,
};
use haversack_pipeline::node::{Merge, Reducer};
use haversack_pipeline::{Parameters, Pipeline, PipelineError};
use serde_json::json;

use crate::branch;

const EVERYTHING: &str = r#"
name: everything
description: One of each.
parameters: {word: hello, list: [1, 2]}
dag:
  start_at: one
  steps:
    one:
      type: task
      command_type: shell
      command: echo $word
      returns: [a, {name: b, kind: metric}]
      catalog: {get: [in.txt], put: ["out/*"], store_copy: false}
      secrets: [KEY]
      parameters: [word]
      retry: {attempts: 3, backoff: 1.5s}
      timeout: 2m
      overrides: {shell: bash}
      next: two
      on_failure: handler
    handler: {type: stub, next: success}
    two: {type: task, command: module.function, next: three}
    three: {type: task, command_type: function, command: f, next: four}
    four: {type: task, command_type: agent, command: support, next: spread}
    spread:
      type: parallel
      merge: last
      next: each
      branches:
        left: {start_at: s, steps: {s: {type: stub, next: success}, success: {type: success}, fail: {type: fail}}}
        right: {start_at: s, steps: {s: {type: stub, next: success}, success: {type: success}, fail: {type: fail}}}
    each:
      type: map
      iterate_on: list
      iterate_as: item
      reducer: max
      next: choose
      branch: {start_at: s, steps: {s: {type: stub, next: success}, success: {type: success}, fail: {type: fail}}}
    choose:
      type: conditional
      parameter: word
      next: again
      branches:
        hello: {start_at: s, steps: {s: {type: stub, next: success}, success: {type: success}, fail: {type: fail}}}
      default: {start_at: t, steps: {t: {type: stub, next: success}, success: {type: success}, fail: {type: fail}}}
    again:
      type: loop
      max_iterations: 4
      break_on: done
      index_as: i
      next: success
      branch: {start_at: s, steps: {s: {type: stub, next: success}, success: {type: success}, fail: {type: fail}}}
    success: {type: success}
    fail: {type: fail}
"#;

#[test]
fn the_builder_and_the_text_give_the_same_graph() {
    let s = || branch([("s", stub())]);
    let one = shell("echo $word")
        .returns(["a"])
        .metric("b")
        .get(["in.txt"])
        .put(["out/*"])
        .no_copy()
        .secrets(["KEY"])
        .parameters(["word"])
        .retry(3, Duration::from_millis(1_500))
        .timeout(Duration::from_secs(120))
        .set("shell", "bash")
        .on_failure("handler");
    let dag = DagBuilder::new()
        .then("one", one)
        .aside("handler", stub())
        .then("two", python("module.function"))
        .then("three", function("f"))
        .then("four", runner("agent", "support"))
        .then("spread", parallel([("left", s()), ("right", s())]).merge(Merge::Last))
        .then("each", map("list", "item", s()).reducer(Reducer::Max))
        .then("choose", conditional("word", [("hello", s())]).otherwise(branch([("t", stub())])))
        .then("again", repeat(4, s()).break_on("done").index_as("i"));
    let built = PipelineBuilder::new("everything", dag)
        .description("One of each.")
        .parameters(Parameters::new().with("word", "hello").with("list", json!([1, 2])))
        .build()
        .unwrap();
    let read = Pipeline::from_yaml("other", EVERYTHING).unwrap();
    assert_eq!(built.dag(), read.dag());
    assert!(built == read);
    assert_eq!(built.identity(), read.identity(), "one graph, one identity");
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let step = |fields: &str| {
        format!("dag:\n  start_at: a\n  steps:\n    a: {{{fields}}}\n    success: {{type: success}}\n")
    };
    let cases = [
        ("dag: [", 1, ""),
        ("", 0, ""),
        ("dag:\n  start_at: a\n", 2, "steps"),
        ("dagg: {}\n", 1, "dagg"),
        (&step("type: tusk, next: success"), 4, "`tusk` is no type of step"),
        (&step("type: task, next: success"), 4, "a `task` needs `command`"),
        (&step("type: map, next: success, iterate_as: x"), 4, "a `map` needs `iterate_on`"),
        (&step("type: loop, next: success, branch: {start_at: x, steps: {}}"), 4, "needs `max_iterations`"),
        (&step("type: task, command: x.y, next: success, break_on: z"), 4, "a `task` has no `break_on`"),
        (&step("type: task, command: x.y, next: success, retrry: 1"), 4, "retrry"),
        (&step("type: task, command: x.y, timeout: soon, next: success"), 4, "a span of time"),
        (&step("type: task, command: x.y, timeout: -1, next: success"), 4, "a span of time"),
        (&step("type: task, command_type: notebook, command: x, next: success"), 4, "notebooks are not run"),
        (&step("type: task, command: x.y, next: success, returns: [{name: x, kind: object}]"), 4, "catalog"),
        ("dag:\n  start_at: a\n  steps:\n    a: {type: success}\n    a: {type: success}\n", 5, ""),
    ];
    for (text, expected, words) in cases {
        match Pipeline::from_yaml("x", text) {
            Err(PipelineError::Yaml { line, column, what }) => {
                if expected > 0 {
                    assert_eq!(line, expected, "{text}: {what}");
                    assert!(column > 0, "{text}");
                }
                assert!(what.contains(words), "{text}: {what}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

/// From the documentation of `runnable`, as it stands there.
#[test]
fn the_dialect_loads() {
    let text = r"
dag:
  description: |
    This pipeline demonstrates on_failure.
  start_at: terrible_step
  steps:
    terrible_step:
      type: task
      command_type: shell
      command: exit 1
      next: success
      on_failure: fixer
    fixer:
      type: task
      command_type: python
      command: examples.common.functions.hello
      next: success
      returns:
        - name: x
          kind: json
      catalog:
        put:
          - data.csv
    unwritten:
      type: stub
      command: what it will be
      anything_known: no
      next: success
    success:
      type: success
    fail:
      type: fail
";
    // A stub may hold the fields that it will need; words that no step has are refused there too.
    let text = text
        .replace("      anything_known: no\n", "")
        .replace("      on_failure: fixer", "      on_failure: unwritten");
    let text = text.replace(
        "      command: what it will be\n      next: success",
        "      command: what it will be\n      next: fixer",
    );
    let pipeline = Pipeline::from_yaml("x", &text).unwrap();
    assert_eq!(pipeline.description(), "This pipeline demonstrates on_failure.\n");
    assert_eq!(pipeline.dag().steps.len(), 5);
}
