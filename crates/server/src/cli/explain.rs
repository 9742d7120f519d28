//! The command `explain`: the help page of an error code. The pages are compiled in, so it works where nothing else
//! does.

use std::process::ExitCode;

use serde::Serialize;

use super::output::Output;
use crate::code::Code;

/// How many codes are named when the one asked for does not exist.
const NEAREST: usize = 3;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code, as in HV0103 or 103; without it, every code.
    code: Option<String>,
}

#[derive(Serialize)]
struct Explained<'a> {
    code: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
}

#[derive(Serialize)]
struct Unknown<'a> {
    unknown: &'a str,
    nearest: Vec<&'a str>,
}

/// Runs `explain`.
///
/// # Errors
/// None; an unknown code ends with exit code 2 and the nearest ones.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let Some(asked) = args.code else {
        for code in Code::ALL {
            out.value(&Explained::of(*code, false));
            out.line(&format!("{}  {}", out.bold(code.id()), code.title()));
        }
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(code) = find(&asked) {
        out.value(&Explained::of(code, true));
        out.line(code.page().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let nearest = nearest(&asked);
    out.value(&Unknown { unknown: &asked, nearest: nearest.iter().map(|code| code.id()).collect() });
    out.note("There is no such code. The nearest ones:");
    for code in nearest {
        out.line(&format!("{}  {}", out.bold(code.id()), code.title()));
    }
    Ok(ExitCode::from(super::EXIT_USAGE))
}

/// The code that is meant: also without `HV` and without leading zeros.
fn find(asked: &str) -> Option<Code> {
    Code::find(asked).or_else(|| Code::find(&format!("{:04}", number(asked)?)))
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim().to_ascii_uppercase();
    text.strip_prefix("HV").unwrap_or(&text).parse().ok()
}

/// The codes nearest to what was asked: by number where it is one, else by the words of the title.
fn nearest(asked: &str) -> Vec<Code> {
    let distance = |code: &Code| match (number(asked), number(code.id())) {
        (Some(asked), Some(own)) => asked.abs_diff(own),
        _ => {
            let words = asked.to_lowercase();
            let shared = code.title().to_lowercase().split(' ').filter(|word| words.contains(word)).count();
            u32::MAX - u32::try_from(shared).unwrap_or(0)
        }
    };
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(distance);
    codes.truncate(NEAREST);
    codes
}

impl Explained<'_> {
    fn of(code: Code, page: bool) -> Self {
        let status = code.status().as_u16();
        Self { code: code.id(), title: code.title(), status, page: page.then(|| code.page()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_without_its_zeros() {
        assert_eq!(find("103"), Some(Code::DataInUse));
        assert_eq!(find("hv1"), Some(Code::MissingContext));
        assert_eq!(find("HV9999"), None);
        assert_eq!(find("nonsense"), None);
    }

    #[test]
    fn an_unknown_code_names_its_neighbours() {
        assert!(nearest("HV0204").contains(&Code::SessionTaken));
        assert!(nearest("HV0109").contains(&Code::AddressInUse));
        assert!(nearest("queue full").contains(&Code::QueueFull));
    }
}
