//! A checked pipeline: a graph that can run, its default parameters, and what identifies it.
//!
//! It is immutable and cheap to clone; its identity is the SHA-256 of its canonical JSON, so two texts that mean the
//! same graph are the same pipeline. YAML and the builder make one, and both go through [`check`](crate::check), so
//! whoever holds a `Pipeline` holds a graph without unknown names or cycles.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::check;
use crate::node::Dag;
use crate::parameters::{Parameters, hex};
use crate::{PipelineError, yaml};

/// A pipeline that passed the check.
#[derive(Clone, Debug)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    definition: Definition,
    json: String,
    identity: String,
}

/// What is stored of a pipeline, and hashed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) parameters: Parameters,
    pub(crate) dag: Dag,
}

impl Pipeline {
    /// Reads a pipeline from YAML, in the dialect that [`yaml`](crate::yaml) describes. `name` is used where the text
    /// gives none.
    ///
    /// # Errors
    /// [`PipelineError::Yaml`] with line and column; [`PipelineError::Invalid`] with every finding of the check.
    pub fn from_yaml(name: &str, text: &str) -> Result<Self, PipelineError> {
        let (definition, lines) = yaml::read(name, text)?;
        let mut findings = check::check(&definition);
        for finding in &mut findings {
            finding.line = lines.of(&finding.step);
        }
        Self::sealed(definition, findings)
    }

    pub(crate) fn checked(definition: Definition) -> Result<Self, PipelineError> {
        let findings = check::check(&definition);
        Self::sealed(definition, findings)
    }

    /// A definition as it came from the run's row: it was checked when it was stored.
    pub(crate) fn stored(json: String) -> Result<Self, PipelineError> {
        let definition = serde_json::from_str(&json)
            .map_err(|_| PipelineError::Internal("a stored definition does not parse"))?;
        let identity = hex(&crate::parameters::digest(json.as_bytes()));
        Ok(Self { inner: Arc::new(Inner { definition, json, identity }) })
    }

    fn sealed(definition: Definition, findings: Vec<check::Finding>) -> Result<Self, PipelineError> {
        if !findings.is_empty() {
            return Err(PipelineError::Invalid(findings));
        }
        let json = serde_json::to_string(&definition)
            .map_err(|_| PipelineError::Internal("a definition is not JSON"))?;
        let identity = hex(&crate::parameters::digest(json.as_bytes()));
        Ok(Self { inner: Arc::new(Inner { definition, json, identity }) })
    }

    /// Its name: 1 to 128 bytes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.definition.name
    }

    /// What it is for, in its author's words; may be empty.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.inner.definition.description
    }

    /// The parameters that a run has unless its start gives others.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.inner.definition.parameters
    }

    /// The graph.
    #[must_use]
    pub fn dag(&self) -> &Dag {
        &self.inner.definition.dag
    }

    /// SHA-256 of the canonical JSON, in hexadecimal digits.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.inner.identity
    }

    pub(crate) fn json(&self) -> &str {
        &self.inner.json
    }
}

impl PartialEq for Pipeline {
    fn eq(&self, other: &Self) -> bool {
        self.inner.definition == other.inner.definition
    }
}
