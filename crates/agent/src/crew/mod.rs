//! Crews: tasks in an order, some of them at the same time, each in its own context.
//!
//! A [`Task`] is work with a name; a [`Crew`] is tasks in the order of their definition, checked when it is
//! built and run by [`Crew::execute`]. Consecutive background tasks run together, the next task of the line
//! waits for them and reads what they gave. The configuration makes crews, [`tool`] gives one to specialists,
//! and programs may build and run their own.
//!
//! ```
//! use haversack_agent::crew::{Crew, Task};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let crew = Crew::builder("report")
//!     .task(Task::new("prices", |_| async { Ok("9 to 12".to_owned()) }).in_background())
//!     .task(Task::new("stock", |_| async { Ok("40 left".to_owned()) }).in_background())
//!     .task(Task::new("letter", |input| async move {
//!         let read: Vec<_> = input.context.iter().map(|output| output.text.as_str()).collect();
//!         Ok(read.join("; "))
//!     }))
//!     .build()?;
//! let report = crew.execute("How do we stand?").await?;
//! assert_eq!(report.text(), "9 to 12; 40 left");
//! # Ok(()) }
//! ```
//!
//! # What a task sees
//! It runs in the context of the call that started it, in a frame of its own: what was bound before is there,
//! what is bound later is not, and what the task sets reaches nobody. [`TASK_ID`] names it, `CANCEL` is a child
//! of the caller's, and `DEADLINE` is the nearer of the caller's and its own time limit. Its span `task` hangs
//! below the caller's.

mod build;
mod error;
mod guardrail;
mod handle;
mod id;
mod member;
mod order;
mod output;
mod run;
mod task;
mod tool;
mod worker;

pub use build::{Crew, CrewBuilder};
pub use error::{CrewError, Failure, OrderError, TaskError};
pub use guardrail::Rules;
pub use handle::TaskHandle;
pub use id::{TASK_ID, TaskId};
pub(crate) use member::{Members, crews};
pub(crate) use order::{Step, check as check_order};
pub use output::{CrewOutput, TaskInput, TaskOutput};
pub use task::Task;
pub use tool::{CrewTool, tool};
