//! What one replay will say and expect: the files with their slots filled from the seed. Values of different tenants
//! never equal or contain each other, so a value of one tenant in a reply to another is a crossing and nothing else.
//! `drive` runs a plan; nothing in it changes while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::file::File;
use super::slots::Generator;

/// A filled replay.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the values were made from.
    pub seed: u64,
    /// The tenants, one a file.
    pub tenants: Vec<Tenant>,
    /// The conversations of all tenants in turn, so that tenants overlap however few run at a time.
    pub conversations: Vec<Conversation>,
}

/// One tenant with its fresh values.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// Everybody who speaks.
    pub principals: BTreeSet<String>,
    /// The value of each slot.
    pub values: BTreeMap<String, String>,
    /// Its knowledge: path below the tenant's folder, and filled text.
    pub knowledge: Vec<(PathBuf, String)>,
}

/// One filled conversation.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Position in [`Plan::tenants`].
    pub tenant: usize,
    /// The file it stands in.
    pub file: PathBuf,
    /// Its name in the file.
    pub name: String,
    /// Its name on the server, fresh in each run.
    pub session: String,
    /// Who speaks.
    pub principal: String,
    /// Positions in [`Plan::conversations`] that must be complete first.
    pub after: Vec<usize>,
    /// What is said and expected.
    pub turns: Vec<Turn>,
}

/// One filled turn.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Line in the file.
    pub line: usize,
    /// The message.
    pub say: String,
    /// Each must be in the reply.
    pub contains: Vec<String>,
    /// None may be in the reply.
    pub excludes: Vec<String>,
}

impl Plan {
    /// Fills `files` from `seed`; `run` goes into the sessions' names, so that a second replay against one server talks
    /// in sessions of its own.
    pub fn new(files: &[File], seed: u64, run: &str) -> Self {
        let mut generator = Generator::new(seed);
        let tenants: Vec<Tenant> = files.iter().map(|file| Tenant::new(file, &mut generator)).collect();
        // The first conversation of each file, then the second of each, ..
        let longest = files.iter().map(|file| file.conversations.len()).max().unwrap_or(0);
        let order: Vec<(usize, usize)> = (0..longest)
            .flat_map(|row| (0..files.len()).map(move |file| (file, row)))
            .filter(|(file, row)| *row < files[*file].conversations.len())
            .collect();
        let place: BTreeMap<(usize, usize), usize> = order.iter().copied().zip(0..).collect();
        let conversations = order
            .iter()
            .map(|(at, row)| {
                let (file, values) = (&files[*at], &tenants[*at].values);
                let recorded = &file.conversations[*row];
                let fill = |templates: &[super::template::Template]| -> Vec<String> {
                    templates.iter().map(|template| template.fill(values)).collect()
                };
                let turns = recorded.turns.iter().map(|turn| Turn {
                    line: turn.line,
                    say: turn.say.fill(values),
                    contains: fill(&turn.contains),
                    excludes: fill(&turn.excludes),
                });
                Conversation {
                    tenant: *at,
                    file: file.path.clone(),
                    name: recorded.session.clone(),
                    session: format!("{}.{run}", recorded.session),
                    principal: recorded.principal.clone(),
                    after: recorded.after.iter().filter_map(|row| place.get(&(*at, *row)).copied()).collect(),
                    turns: turns.collect(),
                }
            })
            .collect();
        Self { seed, tenants, conversations }
    }

    /// Values of other tenants that stand in `text`, each as its tenant and slot.
    pub fn crossings(&self, tenant: usize, text: &str) -> Vec<String> {
        let folded = fold(text);
        let others = self.tenants.iter().enumerate().filter(|(at, _)| *at != tenant);
        others
            .flat_map(|(_, other)| {
                let found = other.values.iter().filter(|(_, value)| stands_in(&folded, &fold(value)));
                found.map(|(slot, _)| format!("{}.{slot}", other.name))
            })
            .collect()
    }

    /// How many turns there are.
    pub fn turns(&self) -> usize {
        self.conversations.iter().map(|conversation| conversation.turns.len()).sum()
    }

    /// Writes the knowledge of every tenant below `root`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_knowledge(&self, root: &Path) -> std::io::Result<()> {
        for tenant in &self.tenants {
            let folder = root.join(&tenant.name);
            std::fs::create_dir_all(&folder)?;
            for (below, text) in &tenant.knowledge {
                let page = folder.join(below);
                if let Some(parent) = page.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(page, text)?;
            }
        }
        Ok(())
    }
}

impl Tenant {
    fn new(file: &File, generator: &mut Generator) -> Self {
        let values: BTreeMap<String, String> =
            file.slots.iter().map(|(name, kind)| (name.clone(), generator.value(*kind))).collect();
        Self {
            name: file.tenant.clone(),
            principals: file
                .conversations
                .iter()
                .map(|conversation| conversation.principal.clone())
                .collect(),
            knowledge: file
                .knowledge
                .iter()
                .map(|(below, page)| (below.clone(), page.fill(&values)))
                .collect(),
            values,
        }
    }
}

/// Whether an expected text is in a reply: letters without case, any run of white space as one.
pub(super) fn holds(reply: &str, expected: &str) -> bool {
    fold(reply).contains(&fold(expected))
}

fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether `value` stands in `text` as a whole, not as a part of a longer word or number.
fn stands_in(text: &str, value: &str) -> bool {
    text.match_indices(value).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_inside_an_id_is_no_crossing() {
        assert!(stands_in("the code is 48213.", "48213"));
        assert!(!stands_in("turn_9482130aa", "48213"));
        assert!(stands_in("48213", "48213"));
    }

    #[test]
    fn expectations_ignore_case_and_line_breaks() {
        assert!(holds("Your manager is Maro\n  Telvin.", "maro telvin"));
        assert!(!holds("Your manager is Maro.", "maro telvin"));
    }
}
