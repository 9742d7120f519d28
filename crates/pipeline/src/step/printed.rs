//! The output of an attempt, read back in parts: its beginning and its end as one.
//!
//! The files of [`StepLog`](super::StepLog) are read as one stream of bytes, with a line where the middle is missing. A
//! part is named by its offset or as the end. Everything here blocks.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::log::{SEGMENT, segment};

/// Which part of an output is asked for, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputPart {
    /// From an offset on.
    From {
        /// From 0.
        offset: u64,
        /// At most this many bytes.
        limit: u64,
    },
    /// The end.
    End {
        /// At most this many bytes.
        limit: u64,
    },
}

/// A part of what an attempt printed. Secrets of the step are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The step, with the branches that lead to it.
    pub step: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The number of the event that says that the attempt started.
    pub started: u64,
    /// How many bytes there are now, with the line that stands for those that were not kept.
    pub size: u64,
    /// Where the part begins.
    pub offset: u64,
    /// The part. It need not be UTF-8.
    pub bytes: Vec<u8>,
}

/// The size, the offset and the bytes of a part.
pub(crate) type Part = (u64, u64, Vec<u8>);

/// Reads a part of the output whose first file is `path`. Where nothing was printed it is empty.
pub(crate) fn read(path: &Path, part: OutputPart) -> io::Result<Part> {
    let pieces = pieces(path)?;
    let size = pieces.iter().map(Piece::len).sum();
    let (offset, limit) = match part {
        OutputPart::From { offset, limit } => (offset.min(size), limit),
        OutputPart::End { limit } => (size.saturating_sub(limit), limit),
    };
    let mut bytes = Vec::new();
    let (mut skip, mut left) = (offset, limit);
    for piece in pieces {
        let length = piece.len();
        if skip >= length {
            skip -= length;
            continue;
        }
        let before = bytes.len();
        match piece {
            Piece::File(path, _) => {
                let mut file = match File::open(path) {
                    Ok(file) => file,
                    // The attempt goes on, and this segment was given up for a newer one.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                file.seek(SeekFrom::Start(skip))?;
                file.take(left.min(length - skip)).read_to_end(&mut bytes)?;
            }
            Piece::Text(text) => {
                let from = usize::try_from(skip).unwrap_or(text.len());
                bytes.extend(text.bytes().skip(from).take(usize::try_from(left).unwrap_or(usize::MAX)));
            }
        }
        skip = 0;
        left -= (bytes.len() - before) as u64;
        if left == 0 {
            break;
        }
    }
    Ok((size, offset, bytes))
}

enum Piece {
    File(PathBuf, u64),
    Text(String),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Text(text) => text.len() as u64,
        }
    }
}

fn pieces(path: &Path) -> io::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    match std::fs::metadata(path) {
        Ok(found) => pieces.push(Piece::File(path.to_path_buf(), found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(pieces),
        Err(error) => return Err(error),
    }
    let mut segments = segments(path)?;
    segments.sort_unstable();
    if let Some(first) = segments.first().filter(|first| **first > 1) {
        pieces.push(Piece::Text(format!("\n[{} bytes were not kept]\n", (first - 1) * SEGMENT)));
    }
    for number in segments {
        let path = segment(path, number);
        if let Ok(found) = std::fs::metadata(&path) {
            pieces.push(Piece::File(path, found.len()));
        }
    }
    Ok(pieces)
}

/// The numbers of the segments that are there.
fn segments(path: &Path) -> io::Result<Vec<u64>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?.file_name();
        let number = entry.to_str().and_then(|entry| entry.strip_prefix(name)?.strip_prefix('.'));
        let number = number.and_then(|number| number.parse::<u64>().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretSet;
    use crate::step::StepLog;

    fn all(path: &Path) -> Vec<u8> {
        read(path, OutputPart::From { offset: 0, limit: u64::MAX }).unwrap().2
    }

    #[test]
    fn parts_of_a_long_output_fit_together_and_have_its_beginning_and_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output.log");
        assert_eq!(all(&path), b"");
        let log = StepLog::new(path.clone(), SecretSet::default());
        let line = [b'x'; 64 * 1024];
        log.append(Some(b"the beginning\n"));
        for _ in 0..400 {
            log.append(Some(&line));
        }
        log.append(Some(b"\nthe end\n"));
        log.finish();
        let whole = all(&path);
        assert!(whole.starts_with(b"the beginning\n") && whole.ends_with(b"\nthe end\n"));
        assert!(whole.len() < 17 * 1024 * 1024, "{}", whole.len());
        let told = String::from_utf8_lossy(&whole);
        let cut = told.find(" bytes were not kept]").unwrap();
        let number = told[..cut].rsplit('[').next().unwrap().parse::<u64>().unwrap();
        let mark = format!("\n[{number} bytes were not kept]\n").len() as u64;
        assert_eq!(whole.len() as u64 - mark + number, 14 + 400 * 64 * 1024 + 9);

        let mut parts = Vec::new();
        loop {
            let offset = parts.len() as u64;
            let (size, at, bytes) = read(&path, OutputPart::From { offset, limit: 1_000_003 }).unwrap();
            assert_eq!((size, at), (whole.len() as u64, offset));
            if bytes.is_empty() {
                break;
            }
            parts.extend(bytes);
        }
        assert_eq!(parts, whole);
        let (_, offset, end) = read(&path, OutputPart::End { limit: 9 }).unwrap();
        assert_eq!((offset, end.as_slice()), (whole.len() as u64 - 9, &b"\nthe end\n"[..]));
        assert_eq!(log.last_lines().as_deref(), Some("the end"));
    }
}
