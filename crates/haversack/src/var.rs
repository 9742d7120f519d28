//! Context variables: typed, `const`, identified by their static.
//!
//! A variable is declared once, as a plain `static`, and bound for as long as a piece of work runs. Every
//! method takes `&'static self`, so a `const`, a temporary or a local variable does not compile.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cell::{self, Fresh, Key, Show};
use crate::error::{MissingContext, NoFrame};
use crate::future::Scope;
use crate::origin::{Hop, Mark};
use crate::policy::{Meta, Policy};
#[cfg(feature = "snapshot")]
use crate::snapshot::Codec;
use crate::token::Token;
use crate::{Context, env, strict};

/// The mark of a variable that any code may bind. The default.
#[derive(Debug)]
pub enum Anywhere {}

/// The mark of a variable that only a [`Boundary`](crate::Boundary) binds: it has no `set` and no `scope`.
#[derive(Debug)]
pub enum AtDoor {}

/// A typed context variable.
///
/// ```
/// use haversack::ContextVar;
///
/// static LOCALE: ContextVar<String> = ContextVar::new("locale");
///
/// LOCALE.sync_scope("de_CH".to_owned(), || {
///     assert_eq!(LOCALE.get().unwrap(), "de_CH");
/// });
/// assert!(LOCALE.get().is_err(), "unbound is loud");
/// ```
///
/// A process can bind 65,535 different variables; one more panics. Statics never get there: it takes variables
/// leaked in a loop.
pub struct ContextVar<T: 'static, B = Anywhere> {
    key: Key<T>,
    meta: Meta,
    default: Option<fn() -> T>,
    show: Option<Show<T>>,
    parse: Option<fn(&str) -> Option<T>>,
    #[cfg(feature = "snapshot")]
    codec: Option<Codec<T>>,
    _binder: PhantomData<fn() -> B>,
}

impl<T: 'static> ContextVar<T> {
    /// A variable that travels between tasks, threads and pools of this process, and nowhere else.
    ///
    /// `name` is what errors, trees and span fields call it.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            key: Key::new(),
            meta: Meta { name, policy: Policy::LOCAL },
            default: None,
            show: None,
            parse: None,
            #[cfg(feature = "snapshot")]
            codec: None,
            _binder: PhantomData,
        }
    }

    /// Only a [`Boundary`](crate::Boundary) binds it: facts of identity that no code on the way may change.
    #[must_use]
    pub const fn at_door(self) -> ContextVar<T, AtDoor> {
        let meta = Meta { name: self.meta.name, policy: Policy { at_door: true, ..self.meta.policy } };
        ContextVar {
            key: self.key,
            meta,
            default: self.default,
            show: self.show,
            parse: self.parse,
            #[cfg(feature = "snapshot")]
            codec: self.codec,
            _binder: PhantomData,
        }
    }
}

/// The declaration, at compile time. A contradiction does not compile.
impl<T: 'static, B> ContextVar<T, B> {
    /// What an unbound variable reads as, made anew at each read. Without this, unbound is an error.
    #[must_use]
    pub const fn default(mut self, default: fn() -> T) -> Self {
        self.default = Some(default);
        self
    }

    /// The value may travel into a job, sealed, under this version of its encoding: the JSON of `T`. A type whose
    /// encoding changes gets a higher version here, and still reads what its older versions wrote.
    #[must_use]
    pub const fn portable(mut self, version: u16) -> Self
    where
        T: Serialize + DeserializeOwned,
    {
        assert!(self.meta.policy.local, "a confined variable stays where it is: it cannot be portable");
        self.meta.policy.portable = Some(version);
        #[cfg(feature = "snapshot")]
        {
            self.codec = Some(Codec::json());
        }
        self
    }

    /// The value may leave in this header of an outgoing request.
    #[must_use]
    pub const fn outbound(mut self, header: &'static str) -> Self {
        assert!(self.meta.policy.local, "a confined variable stays where it is: it cannot be outbound");
        assert!(!self.meta.policy.secret, "a secret does not leave in a header: it cannot be outbound");
        self.meta.policy.outbound = Some(header);
        self
    }

    /// The value stays with the work that bound it: no `spawn`, thread, `wrap`, `in_current_context`, job or header
    /// takes it along (an open transaction). A read on the other side says where it was left behind. A
    /// [`Context`] that is captured by [`Context::current`] holds every binding, this one too: run it where it was
    /// captured.
    #[must_use]
    pub const fn confined(mut self) -> Self {
        assert!(
            self.meta.policy.portable.is_none(),
            "a confined variable stays where it is: it cannot be portable"
        );
        assert!(
            self.meta.policy.outbound.is_none(),
            "a confined variable stays where it is: it cannot be outbound"
        );
        self.meta.policy.local = false;
        self
    }

    /// The value is redacted everywhere, and never leaves in a header.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        assert!(
            self.meta.policy.outbound.is_none(),
            "a secret does not leave in a header: it cannot be outbound"
        );
        assert!(!self.meta.policy.shown, "a secret is redacted everywhere: it cannot be shown");
        self.meta.policy.secret = true;
        self
    }

    /// The value is printed in trees, and a subscriber that reads [`Context::describe`] may record it with its spans.
    /// Without this, only the presence of a binding is told.
    #[must_use]
    pub const fn shown(mut self) -> Self
    where
        T: fmt::Display,
    {
        assert!(!self.meta.policy.secret, "a secret is redacted everywhere: it cannot be shown");
        self.meta.policy.shown = true;
        self.show = Some(<T as fmt::Display>::fmt);
        self
    }

    /// Where the variable is unbound, an entry point that allows it (command line, cron, tests; see
    /// [`env::allow`](crate::env::allow)) may fall back to this name of the environment. A value that does not
    /// parse counts as unbound.
    #[must_use]
    pub const fn env(mut self, name: &'static str) -> Self
    where
        T: std::str::FromStr,
    {
        self.meta.policy.env = Some(name);
        self.parse = Some(parse::<T>);
        self
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

impl<T: 'static, B> ContextVar<T, B> {
    /// The name given at the declaration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.meta.name
    }

    /// What the declaration allows.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.meta.policy
    }
}

impl<T: Send + Sync + 'static, B> ContextVar<T, B> {
    /// A clone of the value bound here.
    ///
    /// # Errors
    /// [`MissingContext`] when it is unbound and neither the environment nor a default is declared for it.
    #[inline]
    #[track_caller]
    pub fn get(&'static self) -> Result<T, MissingContext>
    where
        T: Clone,
    {
        match self.key.peek(T::clone) {
            Ok(value) => {
                self.observe(Location::caller());
                Ok(value)
            }
            Err(_) => self.absent(Location::caller()),
        }
    }

    /// Calls `f` with the value bound here, without a clone. Inside `f` the variable may be set, reset and
    /// scoped: the borrowed value stays as it is.
    ///
    /// What is set or reset inside `f` keeps what it replaces, each time anew, until the frame is changed once more
    /// outside of every borrow, or ends; a loop that sets many times stands outside of `with`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[inline]
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, MissingContext> {
        match self.key.peek(f) {
            Ok(result) => {
                self.observe(Location::caller());
                Ok(result)
            }
            Err(f) => Ok(f(&self.absent(Location::caller())?)),
        }
    }

    /// A clone of what is bound here, where something is: for what may be there and need not, and for handing a binding
    /// on. Neither default nor environment count, and why there is none is not told: a value that must be there is
    /// read with [`get`](Self::get).
    ///
    /// ```
    /// use haversack::ContextVar;
    ///
    /// static NOTE: ContextVar<&str> = ContextVar::new("note").default(|| "none");
    /// assert_eq!(NOTE.bound(), None);
    /// NOTE.sync_scope("fragile", || assert_eq!(NOTE.bound(), Some("fragile")));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn bound(&'static self) -> Option<T>
    where
        T: Clone,
    {
        let bound = self.key.peek(T::clone).ok()?;
        self.observe(Location::caller());
        Some(bound)
    }

    /// Whether a value is bound here. Neither default nor environment count.
    #[must_use]
    pub fn is_bound(&'static self) -> bool {
        self.key.peek(|_| ()).is_ok()
    }

    /// In debug builds: reports a read or a change by a bare task that an executor polls inside somebody's frame.
    #[inline]
    fn observe(&'static self, at: &'static Location<'static>) {
        if cfg!(debug_assertions) {
            strict::used(self.meta.name, at);
        }
    }

    #[cold]
    fn absent(&'static self, at: &'static Location<'static>) -> Result<T, MissingContext> {
        if let (Some(name), Some(parse)) = (self.meta.policy.env, self.parse) {
            if let Some(value) = env::lookup(name).and_then(|text| parse(&text)) {
                return Ok(value);
            }
        }
        match self.default {
            Some(default) => Ok(default()),
            None => Err(MissingContext::find(self.meta.name, at)),
        }
    }

    /// A binding of this variable, ready to be put into a context.
    #[inline]
    pub(crate) fn fresh(&'static self, value: T, mark: Mark) -> Fresh {
        self.key.bind(value, self.show, mark, &self.meta)
    }

    pub(crate) fn id(&'static self) -> u32 {
        self.key.id()
    }

    /// Calls `f` with the codec and the value bound here, where both are there. For encoding, which is no read by
    /// a person's line: neither default nor environment count.
    #[cfg(any(feature = "snapshot", feature = "propagator"))]
    pub(crate) fn peek<R>(&'static self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.key.peek(f).ok()
    }

    #[cfg(feature = "snapshot")]
    pub(crate) fn codec(&'static self) -> Option<&'static Codec<T>> {
        self.codec.as_ref()
    }
}

impl<T: Send + Sync + 'static> ContextVar<T> {
    /// Binds a value for the rest of the current frame. It survives awaits in it and never leaves it.
    ///
    /// The token takes the binding back; it is no guard, dropping it keeps the binding. Branches of a `join!` share a frame and
    /// see it; [`isolated`](crate::FutureExt::isolated) gives one its own.
    ///
    /// # Errors
    /// [`NoFrame`] when this thread is in no frame: there is nothing that the binding could belong to.
    #[inline]
    #[track_caller]
    pub fn set(&'static self, value: T) -> Result<Token<T>, NoFrame> {
        let at = Location::caller();
        self.observe(at);
        cell::current(|frame| {
            let Some(frame) = frame else { return Err(NoFrame::new(self.meta.name, at)) };
            Ok(Token::new(frame.set(at, |mark| self.fresh(value, mark))))
        })
    }

    /// Binds a value for the length of a future, over the context of its first poll. For a call there is
    /// [`sync_scope`](Self::sync_scope).
    ///
    /// If the scope was made inside an entry and is first polled outside of it (another request's driver), it
    /// is laid over the context it was made in instead; either way it keeps that base whoever polls later.
    #[track_caller]
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> Scope<T, F> {
        Scope::new(self, value, future, Location::caller())
    }

    /// Binds a value for the length of a call.
    #[track_caller]
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let at = Location::caller();
        Context::current().bind_at(self, value, at).run_as(Hop::Scope, at, f)
    }
}

impl<T: 'static, B> fmt::Debug for ContextVar<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextVar").field("name", &self.meta.name).finish_non_exhaustive()
    }
}

/// Any context variable, whatever its type: what a [`Boundary`](crate::Boundary) requires.
///
/// Sealed: implemented by [`ContextVar`] alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no context variable",
    label = "not a `ContextVar` whose value is `Send + Sync`",
    note = "name the static itself: `&[&TENANT_ID, &SESSION_ID]`; its value goes to other threads, so it is `Send + Sync`"
)]
pub trait Variable: sealed::Sealed + Sync {
    /// The name given at the declaration.
    fn name(&self) -> &'static str;
    /// What the declaration allows.
    fn policy(&self) -> &Policy;
    /// Whether `context` binds it.
    fn is_bound_in(&'static self, context: &Context) -> bool;
}

impl<T: Send + Sync + 'static, B> Variable for ContextVar<T, B> {
    fn name(&self) -> &'static str {
        self.meta.name
    }

    fn policy(&self) -> &Policy {
        &self.meta.policy
    }

    fn is_bound_in(&'static self, context: &Context) -> bool {
        context.holds(self.id())
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T: 'static, B> Sealed for super::ContextVar<T, B> {}
}
