//! Secrets: who knows them, who is given them, and that nobody else reads them.
//!
//! A [`Secrets`] provider finds a value by name, in the context of the run, so that each tenant has its own. A step is
//! given the secrets that it declares: a child process in its environment, other code through a [`SecretSet`]. They are
//! stored nowhere: captured output is filtered for them, and a step that returns one, or leaves one in the catalog, fails.
//! They are looked for as they are and as JSON writes them; what a step encrypts or encodes in another way is not seen.

mod dotenv;
mod redact;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use dotenv::DotenvError;
pub(crate) use redact::{MARK, Redactor, Search};

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a text as it is; it may be empty.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Why a provider has no answer. The text is told to the run's owner, so it must hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretsError(pub String);

/// The answer of a provider: `None` when it does not know the name.
pub type SecretFuture = Pin<Box<dyn Future<Output = Result<Option<Secret>, SecretsError>> + Send>>;

/// Finds secrets by name, in the context of the run that asks.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no provider of secrets",
    note = "make one of a map with `secrets::from_map`, of a dotenv text with `secrets::dotenv`, or of a function that \
            reads the context with `secrets::from_fn`"
)]
pub trait Secrets: Send + Sync + 'static {
    /// The secret of this name. The future runs in the context of the run: the tenant is read from there.
    fn find(&self, name: &str) -> SecretFuture;
}

/// A provider that knows none.
#[must_use]
pub fn none() -> Arc<dyn Secrets> {
    from_map([])
}

/// One map for all tenants, such as the part of the environment that the program's configuration names.
pub fn from_map(pairs: impl IntoIterator<Item = (String, Secret)>) -> Arc<dyn Secrets> {
    let known: BTreeMap<String, Secret> = pairs.into_iter().collect();
    from_fn(move |name| {
        let found = known.get(&name).cloned();
        async move { Ok(found) }
    })
}

/// The pairs of a text in dotenv form, for all tenants. Nothing in it is expanded, so no value can pull another one in.
///
/// # Errors
/// [`DotenvError`] with the line that is no pair.
pub fn dotenv(text: &str) -> Result<Arc<dyn Secrets>, DotenvError> {
    Ok(from_map(dotenv::pairs(text)?))
}

/// A function that is called in the context of the run: it reads the tenant there and asks that tenant's store.
pub fn from_fn<F, Fut>(find: F) -> Arc<dyn Secrets>
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Secret>, SecretsError>> + Send + 'static,
{
    struct Found<F>(F);
    impl<F, Fut> Secrets for Found<F>
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Secret>, SecretsError>> + Send + 'static,
    {
        fn find(&self, name: &str) -> SecretFuture {
            Box::pin((self.0)(name.to_owned()))
        }
    }
    Arc::new(Found(find))
}

/// Several providers: the first that knows the name answers, also when its value is empty.
pub fn first_of(providers: impl IntoIterator<Item = Arc<dyn Secrets>>) -> Arc<dyn Secrets> {
    let providers: Arc<[Arc<dyn Secrets>]> = providers.into_iter().collect();
    from_fn(move |name| {
        let providers = Arc::clone(&providers);
        async move {
            for provider in providers.iter() {
                if let Some(found) = provider.find(&name).await? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
    })
}

/// The secrets of one step: a handle that prints names and never values.
#[derive(Clone, Default)]
pub struct SecretSet(Arc<BTreeMap<String, Secret>>);

impl SecretSet {
    pub(crate) fn new(known: BTreeMap<String, Secret>) -> Self {
        Self(Arc::new(known))
    }

    /// The secret of this name, if the step declares it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret))
    }

    /// A text without the values.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut clean = Vec::new();
        let mut redactor = Redactor::new(self);
        redactor.feed(text.as_bytes(), &mut clean);
        redactor.finish(&mut clean);
        String::from_utf8_lossy(&clean).into_owned()
    }
}

impl fmt::Debug for SecretSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
