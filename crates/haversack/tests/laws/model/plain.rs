//! The model: contexts are maps, a thread is a stack of frames, and nothing is shared or clever.

use std::collections::{BTreeMap, BTreeSet};

use haversack::{Entry, ResetError};

/// The variables 0 and 1 go everywhere.
pub(super) const ANYWHERE: usize = 2;
/// It stays with the work that bound it.
pub(super) const CONFINED: usize = 2;
/// Only a door binds it.
pub(super) const AT_DOOR: usize = 3;
pub(super) const VARIABLES: usize = 4;

pub(super) type Frame = usize;
pub(super) type Layer = usize;

/// A value, and which set bound it: the frame, and its number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Bound {
    value: u32,
    by: Option<(Frame, u32)>,
}

#[derive(Clone, Default, Debug)]
pub(super) struct Bindings {
    bound: BTreeMap<usize, Bound>,
    withheld: BTreeSet<usize>,
    entry: Option<Entry>,
}

impl Bindings {
    pub(super) fn entered(entry: Entry, value: u32) -> Self {
        Self { entry: Some(entry), ..Self::default() }.and(AT_DOOR, value)
    }

    pub(super) fn and(mut self, variable: usize, value: u32) -> Self {
        self.bound.insert(variable, Bound { value, by: None });
        self
    }

    /// As another task or thread sees it.
    pub(super) fn handed_over(mut self) -> Self {
        if self.bound.remove(&CONFINED).is_some() {
            self.withheld.insert(CONFINED);
        }
        self
    }
}

/// What a read gives.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Read {
    Value(u32),
    NoFrame,
    NeverBound,
    Withheld,
}

/// What takes a set back.
#[derive(Clone, Debug)]
pub(super) struct Undo {
    variable: usize,
    by: (Frame, u32),
    before: Option<Bound>,
}

/// What one wrapper around a future puts under it.
#[derive(Clone, Debug)]
pub(super) enum Under {
    Frame(Frame),
    /// Not polled yet: the binding, and where it was made.
    Scope {
        variable: usize,
        value: u32,
        made_in: Bindings,
    },
}

#[derive(Default, Debug)]
pub(super) struct Plain {
    frames: Vec<Bindings>,
    /// The frames that each thread is in, the innermost last; `None` where it has left them all.
    threads: BTreeMap<usize, Vec<Option<Frame>>>,
    layers: Vec<Under>,
    sets: u32,
}

impl Plain {
    pub(super) fn top(&self, thread: usize) -> Option<Frame> {
        self.threads.get(&thread)?.last().copied().flatten()
    }

    pub(super) fn current(&self, thread: usize) -> Bindings {
        self.top(thread).map(|frame| self.frames[frame].clone()).unwrap_or_default()
    }

    pub(super) fn frame(&mut self, bindings: Bindings) -> Frame {
        self.frames.push(bindings);
        self.frames.len() - 1
    }

    pub(super) fn push(&mut self, thread: usize, frame: Option<Frame>) {
        self.threads.entry(thread).or_default().push(frame);
    }

    pub(super) fn pop(&mut self, thread: usize) {
        self.threads.entry(thread).or_default().pop();
    }

    pub(super) fn depth(&self, thread: usize) -> usize {
        self.threads.get(&thread).map_or(0, Vec::len)
    }

    pub(super) fn read(&self, thread: usize, variable: usize) -> Read {
        let Some(frame) = self.top(thread) else { return Read::NoFrame };
        let Bindings { bound, withheld, .. } = &self.frames[frame];
        match bound.get(&variable) {
            Some(bound) => Read::Value(bound.value),
            None if withheld.contains(&variable) => Read::Withheld,
            None => Read::NeverBound,
        }
    }

    pub(super) fn entry(&self, thread: usize) -> Option<Entry> {
        self.current(thread).entry
    }

    /// `None` where the thread is in no frame.
    pub(super) fn set(&mut self, thread: usize, variable: usize, value: u32) -> Option<Undo> {
        let frame = self.top(thread)?;
        self.sets += 1;
        let by = (frame, self.sets);
        let before = self.frames[frame].bound.insert(variable, Bound { value, by: Some(by) });
        Some(Undo { variable, by, before })
    }

    pub(super) fn reset(&mut self, thread: usize, undo: &Undo) -> Result<(), ResetError> {
        let frame = self.top(thread).filter(|frame| *frame == undo.by.0).ok_or(ResetError::OtherContext)?;
        let bound = &mut self.frames[frame].bound;
        if bound.get(&undo.variable).and_then(|bound| bound.by) != Some(undo.by) {
            return Err(ResetError::OutOfOrder);
        }
        match undo.before {
            Some(before) => bound.insert(undo.variable, before),
            None => bound.remove(&undo.variable),
        };
        Ok(())
    }

    pub(super) fn layer(&mut self, under: Under) -> Layer {
        self.layers.push(under);
        self.layers.len() - 1
    }

    /// A layer is about to be entered, or dropped, by whoever holds it. A scope chooses its base now, once: the
    /// context of whoever polls it first, unless it was made inside an entry and that one belongs to another.
    pub(super) fn begin(&mut self, thread: usize, layer: Layer) {
        let Under::Scope { variable, value, made_in } = self.layers[layer].clone() else { return };
        let current = self.current(thread);
        let ours = made_in.entry.is_none() || made_in.entry == current.entry;
        let base = if ours { current } else { made_in.handed_over() };
        let frame = self.frame(base.and(variable, value));
        self.layers[layer] = Under::Frame(frame);
    }

    /// The frame of a layer that has begun.
    pub(super) fn frame_of(&self, layer: Layer) -> Option<Frame> {
        match self.layers[layer] {
            Under::Frame(frame) => Some(frame),
            Under::Scope { .. } => None,
        }
    }
}
