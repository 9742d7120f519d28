//! The command `context show`: the tree of a turn, each unit of work with the bindings it ran under, redacted, and
//! where each was bound. It asks a running server with a key, so it shows what that key may see and nothing else.

use std::fmt::Write;
use std::process::ExitCode;

use super::client::{Client, ServerArgs};
use super::output::{Output, plain};
use crate::code::Code;
use crate::problem::Fault;
use crate::telemetry::TurnTree;
use crate::telemetry::tree::{Binding, Unit};

/// Arguments of `context`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the tree of one turn.
    Show {
        /// The turn's id, as in the reply.
        turn: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Runs `context`.
///
/// # Errors
/// [`Code::TurnNotFound`] also for a turn of somebody else; [`Code::ServerUnreachable`].
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let Action::Show { turn, server } = args.action;
    if !turn.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let detail = "That is not a turn's id; a reply names its turn as `turn_` and 32 hexadecimal digits.";
        return Err(Fault::new(Code::TurnNotFound, detail).into());
    }
    let client = server.client()?;
    let tree = haversack::block_on(&super::runtime()?, fetch(&client, &turn))?;
    out.value(&tree);
    out.line(plain(render(&tree).trim_end()).as_ref());
    Ok(ExitCode::SUCCESS)
}

async fn fetch(client: &Client, turn: &str) -> Result<TurnTree, Fault> {
    Ok(client.get(&format!("/v1/turns/{turn}/context")).await?)
}

/// The tree as text.
pub fn render(tree: &TurnTree) -> String {
    let mut text = String::new();
    let roots: Vec<&Unit> = tree.units.iter().filter(|unit| unit.parent.is_none()).collect();
    for root in roots {
        unit(&mut text, tree, root, "", "");
    }
    if !tree.complete {
        text.push_str("still running\n");
    }
    if tree.dropped > 0 {
        let _ = writeln!(text, "{} more units of work were not recorded", tree.dropped);
    }
    text
}

/// One unit and those below it. `lead` stands before its first line, `rest` before the others.
fn unit(text: &mut String, tree: &TurnTree, unit_here: &Unit, lead: &str, rest: &str) {
    let below: Vec<&Unit> = tree.units.iter().filter(|unit| unit.parent == Some(unit_here.id)).collect();
    let _ = writeln!(text, "{lead}{}", headline(unit_here));
    let bar = if below.is_empty() { "    " } else { "│   " };
    let context = &unit_here.context;
    if context.foreign {
        let _ = writeln!(text, "{rest}{bar}context of somebody else; withheld");
    } else {
        let entry = context.entry.map_or_else(|| "none".to_owned(), |entry| entry.to_string());
        let door = context.boundary.as_deref().unwrap_or("none");
        let _ = writeln!(text, "{rest}{bar}entry {entry} by door {door}");
        let name = context.variables.iter().map(|variable| variable.name.chars().count()).max().unwrap_or(0);
        let value =
            context.variables.iter().map(|variable| variable.value.chars().count()).max().unwrap_or(0);
        for variable in &context.variables {
            let _ = writeln!(text, "{rest}{bar}{}", binding(variable, name, value.min(40)));
        }
    }
    let last = below.len().saturating_sub(1);
    for (position, child) in below.into_iter().enumerate() {
        let (turn, on) = if position == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        unit(text, tree, child, &format!("{rest}{turn}"), &format!("{rest}{on}"));
    }
}

fn headline(unit: &Unit) -> String {
    let mut text = unit.name.clone();
    for (name, value) in &unit.fields {
        let _ = write!(text, " {name}={value}");
    }
    let _ = match unit.elapsed_us {
        Some(us) => write!(text, "  {}.{:03} ms", us / 1_000, us % 1_000),
        None => write!(text, "  running"),
    };
    if let Some(at) = &unit.at {
        let _ = write!(text, "  {at}");
    }
    text
}

fn binding(variable: &Binding, name: usize, value: usize) -> String {
    let whose = if variable.own { "own" } else { "inherited" };
    let door = variable.boundary.as_deref().map(|door| format!(" by door {door}")).unwrap_or_default();
    format!(
        "{:<name$} = {:<value$}  bound at {}{door}, {whose}",
        variable.name, variable.value, variable.bound_at
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::telemetry::tree::Bindings;

    fn one(id: u32, parent: Option<u32>, name: &str) -> Unit {
        let variables = vec![Binding {
            name: "tenant".into(),
            value: "northwind".into(),
            shown: true,
            bound_at: "access.rs:44".into(),
            boundary: Some("http".into()),
            own: id == 0,
        }];
        Unit {
            id,
            parent,
            name: name.into(),
            target: "t".into(),
            at: Some("turn.rs:7".into()),
            fields: BTreeMap::new(),
            start_us: 0,
            elapsed_us: (id != 3).then_some(1_234),
            context: Bindings { entry: Some(9), boundary: Some("turn".into()), foreign: false, variables },
        }
    }

    #[test]
    fn the_tree_shows_each_binding_and_where_it_was_made() {
        let units = vec![
            one(0, None, "turn"),
            one(1, Some(0), "supervisor"),
            one(2, Some(1), "model"),
            one(3, Some(0), "tool"),
        ];
        let tree = TurnTree { turn: "turn_1".into(), started_at: 0, complete: false, dropped: 2, units };
        let expected = "\
turn  1.234 ms  turn.rs:7
│   entry 9 by door turn
│   tenant = northwind  bound at access.rs:44 by door http, own
├─ supervisor  1.234 ms  turn.rs:7
│  │   entry 9 by door turn
│  │   tenant = northwind  bound at access.rs:44 by door http, inherited
│  └─ model  1.234 ms  turn.rs:7
│         entry 9 by door turn
│         tenant = northwind  bound at access.rs:44 by door http, inherited
└─ tool  running  turn.rs:7
       entry 9 by door turn
       tenant = northwind  bound at access.rs:44 by door http, inherited
still running
2 more units of work were not recorded
";
        assert_eq!(render(&tree), expected);
    }
}
