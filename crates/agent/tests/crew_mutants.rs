//! The laws of crews can go red: each planted fault of a hand-over is seen by a crew that checks its context. A
//! process of its own for each fault, because one is switched on for the whole process.

#![forbid(unsafe_code)]
// `#[tokio::test]` writes a bare `block_on`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::process::Command;

use haversack::mutants::{Mutant, enable};
use haversack::well_known::TENANT_ID;
use haversack_agent::crew::{Crew, Failure, TASK_ID, Task, TaskInput};

/// The environment name that tells the probe which fault to plant.
const MUTANT: &str = "HAVERSACK_TEST_MUTANT";

/// Runs the probe and gives the task that went red, if one did.
fn red(mutant: Option<Mutant>) -> Option<String> {
    let mut probe = Command::new(std::env::current_exe().unwrap());
    probe.args(["probe", "--exact", "--ignored", "--nocapture"]);
    match mutant {
        Some(mutant) => probe.env(MUTANT, mutant.name()),
        None => probe.env_remove(MUTANT),
    };
    let output = probe.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "the probe itself failed:\n{said}");
    said.lines().find_map(|line| Some(line.split_once("red: ")?.1.to_owned()))
}

#[test]
fn a_crew_sees_when_a_hand_over_loses_its_context() {
    assert_eq!(red(None), None, "without a fault nothing is red");
    assert_eq!(red(Some(Mutant::SpawnWrapper)).as_deref(), Some("task"));
    assert_eq!(red(Some(Mutant::ThreadCarriage)).as_deref(), Some("thread"));
}

#[tokio::test]
#[ignore = "the process that the other test starts"]
async fn probe() {
    if let Some(mutant) = std::env::var(MUTANT).ok().and_then(|name| Mutant::named(&name)) {
        enable(mutant);
    }
    let visit = haversack::testing::tenant("acme");
    let check = |_: TaskInput| -> Result<String, Failure> {
        Ok(format!("{} for {}", TASK_ID.get()?.name(), TENANT_ID.get()?))
    };
    let tasks = [
        Task::new("task", move |input| async move { check(input) }),
        Task::blocking("pool", check),
        Task::threaded("thread", check),
    ];
    for task in tasks {
        let name = task.name().to_owned();
        let crew = Crew::builder("probe").task(task).build().unwrap();
        let given = visit.run(|| crew.execute("go")).await;
        if given.is_ok_and(|output| output.text() == format!("{name} for acme")) {
            continue;
        }
        println!("red: {name}");
    }
}
