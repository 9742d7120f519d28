//! Tasks out of the configuration: a tool, a specialist, or the model alone.
//!
//! A specialist works in a crew as in a turn, with the same model, limits and tools, but for the crews: a crew
//! starts no crew. Only [`crate::Agents`] makes them, once, at start.

use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::{CANCEL, SESSION_ID, TENANT_ID};
use haversack::{Entry, Variable};
use haversack_memory::Memory;
use tracing::Instrument;

use super::error::{Failure, GRACE};
use super::{Crew, CrewTool, Task, TaskInput, worker};
use crate::agent::{AgentConfig, ConfigError, CrewConfig, TaskConfig};
use crate::event::EventSink;
use crate::prompt::Material;
use crate::specialist::{Desk, Specialist};
use crate::tool::{Tool, ToolError, Toolbox, arguments_for};

/// What a task without a tool and without a specialist is told.
const WRITER: &str =
    "Answer from what the earlier tasks gave, and from nothing else. Keep where it comes from.";

/// Who the members of crews are.
pub(crate) struct Members<'m> {
    pub(crate) desk: &'m Desk,
    pub(crate) memory: &'m Memory,
    /// The tools that are no crews.
    pub(crate) tools: &'m Toolbox,
    /// The specialists, with the tools that are no crews.
    pub(crate) specialists: &'m [Specialist],
}

/// The configured crews as tools.
pub(crate) fn crews(config: &AgentConfig, members: &Members<'_>) -> Result<Vec<CrewTool>, ConfigError> {
    config.crews.iter().map(|crew| members.crew(crew)).collect()
}

impl Members<'_> {
    fn crew(&self, config: &CrewConfig) -> Result<CrewTool, ConfigError> {
        let mut builder = Crew::builder(&config.name);
        let mut needs: Vec<&'static dyn Variable> = Vec::new();
        for task in &config.tasks {
            let Some(member) = self.member(task) else {
                return Err(ConfigError::CrewTask {
                    crew: config.name.clone(),
                    task: task.name.clone(),
                    what: "its tool needs more than one text; give the task to a specialist".to_owned(),
                });
            };
            needs.extend(member.needs());
            builder = builder.task(task_of(task, member));
        }
        let crew =
            builder.build().map_err(|why| ConfigError::CrewOrder { crew: config.name.clone(), why })?;
        let tool = super::tool(crew, config.description.trim())
            .needing(&needs)
            .within(Duration::from_secs(config.timeout_s));
        Ok(if config.background { tool.in_background() } else { tool })
    }

    fn member(&self, task: &TaskConfig) -> Option<Member> {
        if let Some(name) = &task.tool {
            let tool = self.tools.get(name)?;
            arguments_for(tool.spec(), "")?;
            return Some(Member::Tool(Arc::clone(tool)));
        }
        let named = |name: &String| self.specialists.iter().find(|known| known.name == *name).cloned();
        let specialist = match &task.specialist {
            Some(name) => named(name)?,
            None => Specialist {
                name: task.name.clone(),
                description: String::new(),
                prompt: WRITER.to_owned(),
                tools: Toolbox::default(),
            },
        };
        Some(Member::Specialist(specialist, self.desk.clone(), self.memory.clone()))
    }
}

fn task_of(config: &TaskConfig, member: Member) -> Task {
    let name = config.name.as_str();
    let member = Arc::new(member);
    let mut task = if config.blocking {
        Task::threaded(name, move |input| futures_executor::block_on(in_time(member.work(input))))
    } else {
        Task::new(name, move |input| {
            let member = Arc::clone(&member);
            async move { member.work(input).await }
        })
    };
    task = task
        .describe(config.description.trim())
        .expect(config.expected_output.trim())
        .retries(config.retries);
    if config.background {
        task = task.in_background();
    }
    if let Some(context) = &config.context {
        task = task.with_context(context);
    }
    if let Some(seconds) = config.timeout_s {
        task = task.time_limit(Duration::from_secs(seconds));
    }
    if let Some(rules) = config.guardrail.clone() {
        task = task.guardrail(move |text| rules.check(text));
    }
    task
}

/// Gives up on a thread what the worker itself gives up in a task: the thread waits for nothing else.
async fn in_time(work: impl Future<Output = Result<String, Failure>>) -> Result<String, Failure> {
    let cancel = CANCEL.get()?;
    tokio::select! {
        biased;
        done = work => done,
        error = worker::given_up(cancel, GRACE) => Err(error.into()),
    }
}

/// Who does a task.
enum Member {
    Tool(Arc<dyn Tool>),
    Specialist(Specialist, Desk, Memory),
}

impl Member {
    fn needs(&self) -> Vec<&'static dyn Variable> {
        match self {
            Self::Tool(tool) => tool.needs().to_vec(),
            // A tool that its specialist needs and that is not here makes their list shorter.
            Self::Specialist(..) => vec![&TENANT_ID, &SESSION_ID],
        }
    }

    async fn work(&self, input: TaskInput) -> Result<String, Failure> {
        match self {
            Self::Tool(tool) => {
                let spec = tool.spec();
                if !tool.is_offered() {
                    return Err(ToolError::Refused("the tool cannot be used in this conversation").into());
                }
                let arguments = arguments_for(spec, &input.message).ok_or(ToolError::Unknown)?;
                let span = tracing::info_span!("tool", name = %spec.name, ok = tracing::field::Empty);
                let output = tool.call(arguments).instrument(span.clone()).await;
                span.record("ok", output.is_ok());
                Ok(output?.into_text())
            }
            Self::Specialist(specialist, desk, memory) => {
                let entry = Entry::current()?;
                let attempts = memory.session()?.attempts().await?;
                let told =
                    Specialist { prompt: instructions(&specialist.prompt, &input), ..specialist.clone() };
                let TaskInput { message, context: results, .. } = input;
                let material = Arc::new(Material { attempts, results, message, ..Material::default() });
                let span = tracing::info_span!("specialist", name = %told.name);
                let worked =
                    desk.work(entry, &told, &material, &EventSink::none(), None).instrument(span).await?;
                Ok(worked.text)
            }
        }
    }
}

fn instructions(prompt: &str, input: &TaskInput) -> String {
    let wanted = [
        ("Your task", input.description.as_str()),
        ("What is expected", input.expected_output.as_str()),
        ("Your last output was not accepted", input.feedback.as_deref().unwrap_or_default()),
    ];
    let mut text = prompt.trim().to_owned();
    for (title, what) in wanted.iter().filter(|(_, what)| !what.is_empty()) {
        text.push_str(&format!("\n\n{title}: {what}"));
    }
    text
}
