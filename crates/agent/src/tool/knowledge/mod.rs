//! A tenant's knowledge: a folder of Markdown files, cut into sections and ranked by words.
//!
//! `<folder>/<tenant>/**.md` is read through a handle that is confined to the tenant's folder; links are not
//! followed. The cut sections are cached per scope and checked against names, sizes and times of the files at
//! each search. Only `search_knowledge` searches, on the blocking pool.

mod folder;
mod markdown;
mod rank;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use haversack::well_known::TenantId;
use haversack_store::Scope;
use serde::{Deserialize, Serialize};

use super::ToolError;
use folder::Stamp;
use markdown::Section;
use rank::Ranking;

/// Tenants whose sections are kept in memory at the same time.
const CACHED_TENANTS: usize = 64;

/// The knowledge folders of all tenants. Cheap to clone; the scope decides which one is read.
#[derive(Clone)]
pub struct Knowledge {
    shared: Arc<Shared>,
}

struct Shared {
    folder: Option<PathBuf>,
    cache: Mutex<HashMap<TenantId, Arc<Index>>>,
}

/// The sections of one tenant, and the state of the files they were cut from.
struct Index {
    stamp: Stamp,
    sections: Vec<Section>,
    ranking: Ranking,
    skipped: usize,
}

/// What a search answers; the offline model reads it back.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The matching sections, best first.
    pub sections: Vec<FoundSection>,
    /// Sections that were searched.
    pub searched: usize,
    /// Files that were left out: links, files over a megabyte, files that are not UTF-8.
    pub skipped: usize,
}

/// One section.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundSection {
    /// The file's path inside the tenant's folder.
    pub file: String,
    /// The headings above the text, outermost first, joined with ` > `.
    pub heading: String,
    /// The text, as Markdown.
    pub text: String,
    /// Higher is better; comparable only within one search.
    pub score: f64,
}

impl Knowledge {
    /// Knowledge under this folder, one folder a tenant inside it. `None` is a store without any knowledge.
    /// Nothing is read yet, and the folder may appear later.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { shared: Arc::new(Shared { folder, cache: Mutex::default() }) }
    }

    /// Searches the folder of the scope's tenant. Blocking: call it on the blocking pool.
    ///
    /// A tenant without a folder has no knowledge; that is not an error. Tenants whose id is no plain folder
    /// name (`[a-z0-9._-]`, starting with a letter or digit) have none either.
    ///
    /// # Errors
    /// [`ToolError::Foreign`] under another entry than the scope's, before anything is read;
    /// [`ToolError::Io`] when the folder is there and cannot be read.
    pub fn search(&self, scope: &Scope, query: &str, limit: usize) -> Result<Found, ToolError> {
        scope.check("search knowledge")?;
        let Some(index) = self.index(scope)? else { return Ok(Found::default()) };
        let sections = index.ranking.best(query, limit).into_iter().map(|(at, score)| {
            let section = &index.sections[at];
            let (file, heading) = (section.file.clone(), section.headings.join(" > "));
            FoundSection { file, heading, text: section.text.clone(), score }
        });
        Ok(Found { sections: sections.collect(), searched: index.sections.len(), skipped: index.skipped })
    }

    fn index(&self, scope: &Scope) -> Result<Option<Arc<Index>>, ToolError> {
        let Some(root) = &self.shared.folder else { return Ok(None) };
        let Some(dir) = folder::open(root, scope.tenant().as_str())? else { return Ok(None) };
        let stamp = Stamp::of(&dir)?;
        if let Some(index) = self.cache().get(scope.tenant())
            && index.stamp == stamp
        {
            return Ok(Some(index.clone()));
        }
        let (mut sections, mut skipped) = (Vec::new(), stamp.skipped());
        for path in stamp.files() {
            match folder::read(&dir, path)? {
                Some(text) => sections.extend(markdown::sections(path, &text)),
                None => skipped += 1,
            }
        }
        let index = Arc::new(Index { stamp, ranking: Ranking::of(&sections), sections, skipped });
        let mut cache = self.cache();
        if cache.len() >= CACHED_TENANTS && !cache.contains_key(scope.tenant()) {
            cache.clear();
        }
        cache.insert(scope.tenant().clone(), index.clone());
        Ok(Some(index))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Arc<Index>>> {
        self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Knowledge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Knowledge").field("folder", &self.shared.folder).finish()
    }
}
