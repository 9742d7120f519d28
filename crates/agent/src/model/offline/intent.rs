//! The requests in a message, sentence by sentence.
//!
//! The opening of a sentence is compared with the phrases below, word by word. The user's words are never changed: a fact
//! is the text behind its verb, a question is its whole sentence.

use super::overlap;
use crate::tool::ToolSpec;
use crate::words::{Token, first_chars, sentences, tokens};

/// Requests of one message that are answered.
const REQUESTS: usize = 12;
/// Characters at the beginning of a sentence that decide what it is.
const OPENING: usize = 400;

/// One thing that a message asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Intent<'t> {
    Greet,
    Thank,
    Help,
    Who,
    Human,
    List,
    Attempts,
    Forget(&'t str),
    Remember(&'t str),
    Tried(&'t str),
    Use(String, &'t str),
    Ask(&'t str),
    /// None of these: it may be a problem that the handbook knows.
    Other(&'t str),
}

// Words stand between spaces, phrases between bars. A longer phrase comes before its own beginning.
const POLITE: &str = "please can could would will you ok okay so and also well oh just btw hi hello hey yes no sorry \
    kindly actually correction update fyi but then one more thing";
const WANTING: &str =
    "i we can may could want need to like i'd let me us please would get give just now have rather";
const GREETING: &str = "hi hello hey morning afternoon evening greetings";
const THANKS: &str =
    "thanks thank thx cheers great perfect bye goodbye ok okay nice cool lovely appreciated wonderful";
const FILLING: &str = "good there dear all team everyone again day you so very much a lot that is that's it was for the your \
    help have today";
const HELP: &str = "help|what can you do|what else can you do|what do you do|how does this work|how do you work|\
    what can i ask|what are you able|how can you help|can you help|i need help|i need some help";
const WHO: &str = "who are you|what are you|are you a human|are you human|are you a person|are you a real|are you a robot|\
    are you a bot|are you real|are you an ai|are you a machine|who am i talking to|who am i speaking|what is your name|\
    what's your name|are you there|how are you|how's it going|how is it going|do you have feelings";
const HUMAN: &str = "talk to|speak to|speak with|talk with|connect me|put me through|transfer me|escalate";
const PERSON: &str = "human|person|a human|a person|an agent|a real human|a real person";
const LIST: &str = "what do you know|what do you remember|what have i told you|what did i tell you|what have you remembered|\
    list|show me|tell me what you know|what else do you know|what have you stored|what have you saved";
const LISTED: &str = "everything all facts notes you know remember stored saved so far what my";
const ATTEMPTS: &str = "what have i tried|what did i try|what have we tried|what did we try|what have i already tried|\
    what have we already tried|what did i already try|what was tried|what was already tried";
const REMEMBER: &str = "remember for next time that|remember that|remember|note that|note down that|note|keep in mind that|\
    keep in mind|don't forget that|don't forget|make a note that|for the record|take a note that|i want you to remember that";
const FORGET: &str = "forget that|forget about|forget what i said about|forget what i told you about|forget|\
    delete what i said about|delete what i told you about|erase what i told you about";
const TRIED: &str =
    "i tried|we tried|i have tried|we have tried|i've tried|we've tried|i already tried|we already tried";
const QUESTION: &str = "who what when where which how why whose whom is are do does did was were \
    who's what's where's when's tell remind show find";
/// A sentence that begins like this asserts something of the speaker; one of `OWN` needs one of the verbs, too.
const SELF: &str = "i live|i moved|i've moved|i don't live|we live|we moved|we've moved|we use|we open at|we close at|i work";
const OWN: &str = "my|our";
const ASSERTS: &str = "is are isn't aren't has have costs lives opens closes";
/// With one of these a sentence asserts nothing.
const DOUBT: &str = "if would could might maybe perhaps may should whether suppose wish hope unless";
/// Words that may precede a tool's name.
const CALLING: &str = "run use call start do make prepare ring the a an tool";
const HELPED: &str = "worked works helped fixed solved fine";
const FAILED: &str = "not no didn't doesn't without failed still nothing but again";

/// Returns the requests in `message`; empty only for an empty message.
pub(super) fn read<'t>(message: &'t str, tools: &[ToolSpec]) -> Vec<Intent<'t>> {
    let mut intents = Vec::new();
    let mut sentences = sentences(message).peekable();
    while let Some((at, sentence)) = sentences.next().filter(|_| intents.len() < REQUESTS) {
        let mut intent = of(sentence, tools);
        if let Intent::Remember(told) | Intent::Tried(told) | Intent::Other(told) = &mut intent {
            // What follows and is no request of its own belongs to it.
            let start = at + sentence.len() - told.len();
            let mut end = at + sentence.len();
            while let Some((at, more)) =
                sentences.next_if(|(_, next)| matches!(of(next, tools), Intent::Other(_)))
            {
                end = at + more.len();
            }
            *told = message.get(start..end).unwrap_or_default();
        }
        if !intents.contains(&intent) {
            intents.push(intent);
        }
    }
    // A courtesy beside a request needs no answer of its own.
    let courtesy = |intent: &Intent<'_>| matches!(intent, Intent::Greet | Intent::Thank);
    if !intents.iter().all(courtesy) {
        intents.retain(|intent| !courtesy(intent));
    }
    intents
}

fn of<'t>(sentence: &'t str, tools: &[ToolSpec]) -> Intent<'t> {
    let words = &*tokens(first_chars(sentence, OPENING));
    let asked = skip(words, POLITE);
    let wanted = skip(asked, WANTING);
    let question = sentence.ends_with('?');
    let from =
        |words: &[Token<'_>]| words.first().and_then(|word| sentence.get(word.start..)).unwrap_or_default();
    let begin = |phrases| [words, asked].iter().find_map(|words| begins(words, phrases));
    if let Some(courtesy) = courtesy(words) {
        return courtesy;
    }
    if begin(HELP).is_some_and(|rest| rest.len() <= 3) {
        return Intent::Help;
    }
    if begin(WHO).is_some_and(|rest| rest.len() <= 4) {
        return Intent::Who;
    }
    let person = begins(wanted, PERSON).is_some_and(|rest| rest.len() <= if wanted == asked { 1 } else { 3 });
    if person || begin(HUMAN).or(begins(wanted, HUMAN)).is_some_and(|rest| rest.len() <= 6) {
        return Intent::Human;
    }
    if begin(ATTEMPTS).is_some() {
        return Intent::Attempts;
    }
    let all = |rest: &[Token<'_>]| skip(rest, LISTED).iter().all(|word| overlap::is_empty(&word.lower));
    if begin(LIST).is_some_and(all) {
        return Intent::List;
    }
    if let Some(told) = begins(asked, REMEMBER).filter(|_| !question) {
        return Intent::Remember(from(told));
    }
    if let Some(what) = begins(asked, FORGET) {
        return Intent::Forget(from(what));
    }
    if let Some(action) = begins(asked, TRIED) {
        return Intent::Tried(from(action));
    }
    if let Some((tool, rest)) = named(asked, tools) {
        return Intent::Use(tool, from(rest));
    }
    if question || [words, asked].iter().any(|words| words.first().is_some_and(|word| has(QUESTION, word))) {
        return Intent::Ask(sentence);
    }
    let owns = begins(asked, OWN).is_some() && any(asked, ASSERTS);
    if (owns || begins(asked, SELF).is_some()) && !any(asked, DOUBT) {
        return Intent::Remember(from(asked));
    }
    Intent::Other(sentence)
}

fn courtesy<'t>(words: &[Token<'_>]) -> Option<Intent<'t>> {
    let all = |list: &str| words.iter().all(|word| has(list, word) || has(FILLING, word));
    match words.len() {
        1..=6 if all(GREETING) && any(words, GREETING) => Some(Intent::Greet),
        1..=9 if all(THANKS) && any(words, THANKS) => Some(Intent::Thank),
        _ => None,
    }
}

fn any(words: &[Token<'_>], list: &str) -> bool {
    words.iter().any(|word| has(list, word))
}

fn has(list: &str, word: &Token<'_>) -> bool {
    list.split(' ').any(|listed| listed == word.lower)
}

fn skip<'w, 't>(words: &'w [Token<'t>], list: &str) -> &'w [Token<'t>] {
    let count = words.iter().take_while(|word| has(list, word)).count();
    words.get(count..).unwrap_or_default()
}

/// The words behind the first phrase that the words begin with.
fn begins<'w, 't>(words: &'w [Token<'t>], phrases: &str) -> Option<&'w [Token<'t>]> {
    phrases.split('|').find_map(|phrase| {
        let mut rest = words;
        for wanted in phrase.split(' ') {
            let (first, behind) = rest.split_first()?;
            rest = (first.lower == wanted).then_some(behind)?;
        }
        Some(rest)
    })
}

/// The tool that the sentence names, and the words behind its name.
fn named<'w, 't>(words: &'w [Token<'t>], tools: &[ToolSpec]) -> Option<(String, &'w [Token<'t>])> {
    tools.iter().find_map(|tool| {
        let name = tool.name.replace('_', " ");
        let rest = begins(words, &name).or_else(|| begins(skip(words, CALLING), &name))?;
        // "Research is expensive" names no tool.
        (!rest.first().is_some_and(|word| has(ASSERTS, word))).then(|| (tool.name.clone(), rest))
    })
}

/// How an attempt went, as far as plain words say so.
pub(super) fn outcome(text: &str) -> &'static str {
    let words = tokens(first_chars(text, OPENING));
    match (any(&words, HELPED), any(&words, FAILED)) {
        (true, false) => "worked",
        (false, true) => "failed",
        _ => "unknown",
    }
}
