//! Replay files: recorded conversations of one tenant with what the replies must hold. A file is checked whole before
//! anything runs, and a mistake is named with file, line and column. `plan` fills what is loaded here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::slots::Kind;
use super::template::{self, Template};
use crate::auth::name::{check_name, session_name};

/// One file: one tenant, its slots, its conversations.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it was read from.
    pub path: PathBuf,
    /// The tenant that every conversation belongs to.
    pub tenant: String,
    /// Slots and what they stand for, sorted by name.
    pub slots: BTreeMap<String, Kind>,
    /// The conversations in the order of the file.
    pub conversations: Vec<Conversation>,
    /// Markdown of the tenant's knowledge folder: path below it, and text.
    pub knowledge: Vec<(PathBuf, Template)>,
}

/// One recorded conversation.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// The session's name, unique in the file.
    pub session: String,
    /// Who speaks.
    pub principal: String,
    /// Positions in [`File::conversations`] that must be complete before this one starts.
    pub after: Vec<usize>,
    /// What is said, in order.
    pub turns: Vec<Turn>,
}

/// One message and what its reply must hold.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Line in the file, from 1.
    pub line: usize,
    /// The message.
    pub say: Template,
    /// Each must be in the reply.
    pub contains: Vec<Template>,
    /// None may be in the reply.
    pub excludes: Vec<Template>,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {message}", path.display())]
pub struct Invalid {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Loads one file, or every `*.toml` of a folder in the order of their names, with the knowledge beside them.
///
/// # Errors
/// [`Invalid`] names the first mistake; a folder without files is one.
pub fn load(path: &Path) -> Result<Vec<File>, Invalid> {
    let whole = |message: String| Invalid { path: path.to_owned(), line: 1, column: 1, message };
    let mut paths = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|error| whole(format!("cannot be listed: {error}")))? {
            let entry = entry.map_err(|error| whole(format!("cannot be listed: {error}")))?.path();
            if entry.extension().is_some_and(|extension| extension == "toml") {
                paths.push(entry);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(whole("the folder holds no `*.toml` file to replay".to_owned()));
        }
    } else {
        paths.push(path.to_owned());
    }
    let mut files: Vec<File> = Vec::new();
    for path in paths {
        let file = read(&path)?;
        if let Some(other) = files.iter().find(|other| other.tenant == file.tenant) {
            let message = format!("tenant `{}` has a file already: {}", file.tenant, other.path.display());
            return Err(Invalid { path, line: 1, column: 1, message });
        }
        files.push(file);
    }
    Ok(files)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    tenant: Spanned<String>,
    #[serde(default)]
    slots: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    conversation: Vec<Spanned<RawConversation>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConversation {
    session: Spanned<String>,
    principal: Spanned<String>,
    #[serde(default)]
    after: Vec<Spanned<String>>,
    #[serde(default)]
    turn: Vec<Spanned<RawTurn>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTurn {
    say: Spanned<String>,
    #[serde(default)]
    expect: RawExpect,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawExpect {
    contains: Vec<Spanned<String>>,
    excludes: Vec<Spanned<String>>,
}

fn read(path: &Path) -> Result<File, Invalid> {
    let text = std::fs::read_to_string(path).map_err(|error| Invalid {
        path: path.to_owned(),
        line: 1,
        column: 1,
        message: format!("cannot be read: {error}"),
    })?;
    let source = Source { path, text: &text };
    let raw: Raw = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        source.invalid(at, error.message().replace('\n', "; "))
    })?;
    let tenant = raw.tenant.get_ref().clone();
    if check_name("tenant", &tenant).is_err() {
        return Err(source.invalid(
            raw.tenant.span().start,
            "a tenant is 1 to 64 of a-z, 0-9, `.`, `_`, `-` and starts with a letter or digit",
        ));
    }
    let mut slots = BTreeMap::new();
    for (name, kind) in &raw.slots {
        let at = kind.span().start;
        if !template::is_slot(name) {
            return Err(source
                .invalid(at, format!("`{name}`: a slot is named with a-z, 0-9 and `_`, a letter first")));
        }
        let Some(known) = Kind::find(kind.get_ref()) else {
            let known: Vec<&str> = Kind::ALL.iter().map(|(name, _)| *name).collect();
            return Err(source.invalid(at, format!("unknown kind of slot; there are {}", known.join(", "))));
        };
        slots.insert(name.clone(), known);
    }
    let conversations = conversations(&source, &raw.conversation, &slots)?;
    if conversations.is_empty() {
        return Err(source.invalid(0, "the file holds no [[conversation]]"));
    }
    let knowledge = knowledge(path, &tenant, &slots)?;
    Ok(File { path: path.to_owned(), tenant, slots, conversations, knowledge })
}

fn conversations(
    source: &Source<'_>,
    raw: &[Spanned<RawConversation>],
    slots: &BTreeMap<String, Kind>,
) -> Result<Vec<Conversation>, Invalid> {
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for (position, conversation) in raw.iter().enumerate() {
        let session = &conversation.get_ref().session;
        // Room for the name of the run, which is appended.
        if session.get_ref().len() > 100 || session_name(session.get_ref()).is_err() {
            let message =
                "a session is 1 to 100 of A-Z, a-z, 0-9, `.`, `_`, `:`, `-` and does not start with `.`";
            return Err(source.invalid(session.span().start, message));
        }
        if positions.insert(session.get_ref(), position).is_some() {
            return Err(source.invalid(session.span().start, "a session of this name stands above"));
        }
    }
    let mut conversations = Vec::new();
    for conversation in raw {
        let at = conversation.span().start;
        let conversation = conversation.get_ref();
        if check_name("principal", conversation.principal.get_ref()).is_err() {
            let message =
                "a principal is 1 to 64 of a-z, 0-9, `.`, `_`, `-` and starts with a letter or digit";
            return Err(source.invalid(conversation.principal.span().start, message));
        }
        let mut after = Vec::new();
        for name in &conversation.after {
            let Some(position) = positions.get(name.get_ref().as_str()) else {
                return Err(source.invalid(name.span().start, "no session of this name is in the file"));
            };
            after.push(*position);
        }
        if conversation.turn.is_empty() {
            return Err(source.invalid(at, "the conversation has no [[conversation.turn]]"));
        }
        let turns =
            conversation.turn.iter().map(|turn| source.turn(turn, slots)).collect::<Result<_, _>>()?;
        conversations.push(Conversation {
            session: conversation.session.get_ref().clone(),
            principal: conversation.principal.get_ref().clone(),
            after,
            turns,
        });
    }
    if let Some(position) = circle(&conversations) {
        let message = "`after` goes in a circle: this conversation waits for itself";
        return Err(source.invalid(raw[position].span().start, message));
    }
    Ok(conversations)
}

/// A conversation that can never start, if there is one.
fn circle(conversations: &[Conversation]) -> Option<usize> {
    let mut done: HashSet<usize> = HashSet::new();
    loop {
        let before = done.len();
        for (position, conversation) in conversations.iter().enumerate() {
            if conversation.after.iter().all(|needed| done.contains(needed)) {
                done.insert(position);
            }
        }
        if done.len() == conversations.len() {
            return None;
        }
        if done.len() == before {
            return (0..conversations.len()).find(|position| !done.contains(position));
        }
    }
}

/// The Markdown of `knowledge/<tenant>/` beside the file.
fn knowledge(
    path: &Path,
    tenant: &str,
    slots: &BTreeMap<String, Kind>,
) -> Result<Vec<(PathBuf, Template)>, Invalid> {
    let root = path.parent().unwrap_or(Path::new(".")).join("knowledge").join(tenant);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        // No folder: the tenant has no knowledge.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().map(|entry| entry.path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "md") {
                found.push(entry);
            }
        }
    }
    found.sort();
    let mut templates = Vec::new();
    for page in found {
        let invalid = |line, column, message| Invalid { path: page.clone(), line, column, message };
        let text = std::fs::read_to_string(&page)
            .map_err(|error| invalid(1, 1, format!("cannot be read: {error}")))?;
        let template = Template::parse(&text, |name| slots.contains_key(name)).map_err(|unknown| {
            Source { path: &page, text: &text }.invalid(unknown.at, unknown.to_string())
        })?;
        let below = page.strip_prefix(&root).unwrap_or(&page).to_owned();
        templates.push((below, template));
    }
    Ok(templates)
}

/// A text and where it came from, for errors with a place.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn invalid(&self, offset: usize, message: impl Into<String>) -> Invalid {
        let (line, column) = self.place(offset);
        Invalid { path: self.path.to_owned(), line, column, message: message.into() }
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    fn turn(&self, turn: &Spanned<RawTurn>, slots: &BTreeMap<String, Kind>) -> Result<Turn, Invalid> {
        let raw = turn.get_ref();
        if raw.say.get_ref().trim().is_empty() {
            return Err(self.invalid(raw.say.span().start, "a turn says something"));
        }
        let all = |texts: &[Spanned<String>]| -> Result<Vec<Template>, Invalid> {
            texts.iter().map(|text| self.template(text, slots)).collect()
        };
        Ok(Turn {
            line: self.place(raw.say.span().start).0,
            say: self.template(&raw.say, slots)?,
            contains: all(&raw.expect.contains)?,
            excludes: all(&raw.expect.excludes)?,
        })
    }

    fn template(&self, text: &Spanned<String>, slots: &BTreeMap<String, Kind>) -> Result<Template, Invalid> {
        if text.get_ref().is_empty() {
            return Err(self.invalid(text.span().start, "an empty text can be neither said nor expected"));
        }
        Template::parse(text.get_ref(), |name| slots.contains_key(name))
            // Escapes in the text make it shorter than its source, so the start is the honest place.
            .map_err(|unknown| self.invalid(text.span().start, unknown.to_string()))
    }
}
