//! The one file with `unsafe`: where bindings live and how a frame becomes current.
//!
//! A *binding* is one value, reference-counted behind a thin pointer. *Slots* are a reference-counted array of
//! bindings, indexed by the id of the variable. A *frame* owns slots and is current on a thread for exactly as
//! long as one call of [`Frame::enter`] runs. The rest of the crate is safe code over these three.
//!
//! Why it is sound:
//! 1. A [`Key`] is used through `&'static self` only, gets its id once, ids are never given twice, and `T` is
//!    invariant: so slot *id* holds only a [`Bound<T>`] of that very `T`.
//! 2. A frame pointer is in the thread-local only while `enter` borrows that frame; frames are not `Sync`, and
//!    a wrapped future is reached through `&mut`: so one thread at a time sees a frame.
//! 3. A borrow of a value handed to user code lives on this thread's stack. The thread counts those of the
//!    current frame (`readers`), and while the count is not zero nothing that this frame shows is dropped: it
//!    goes to the frame's grave. A frame that is not current cannot change.
//! 4. No user code (clone, drop, format) runs while a cell is borrowed: what was replaced is handed back
//!    undropped.
#![allow(unsafe_code)] // the only file that may; `cargo xtask tidy` keeps it so

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::aside::{Aside, Lost};
use crate::current::{being_read, thread};
use crate::entry::EntryState;
use crate::error::ResetError;
use crate::origin::{Hop, Mark, Origin};
use crate::policy::Meta;
use crate::tagged::Tagged;

/// Variables that one process can ever bind. Ids are never reused, and every context is an array as long as
/// the highest id in it, so variables leaked in a loop must end in an error and not in memory.
pub(crate) const MAX_VARIABLES: u32 = 1 << 16;

// -------------------------------------------------------------------------------------------------- current

/// Calls `f` with the current frame, or with `None` where this thread is in no frame.
#[inline]
pub(crate) fn current<R>(f: impl FnOnce(Option<&Frame>) -> R) -> R {
    thread(|thread| {
        // SAFETY: by (2) the pointer is null or borrowed by an `enter` further up this thread's stack, which
        // cannot end before `f` does.
        f(unsafe { thread.frame().as_ref() })
    })
}

/// Calls `f` with no frame on this thread, and puts the frame back afterwards, also on unwind.
#[cfg(any(feature = "tokio", feature = "rayon"))]
pub(crate) fn leave<R>(f: impl FnOnce() -> R) -> R {
    thread(|thread| {
        let _restore = thread.swap(ptr::null());
        f()
    })
}

// ------------------------------------------------------------------------------------------------------ key

/// The identity of a variable: its id, given at the first binding. 0 means "never bound", and slot 0 of every
/// array stays empty, so that a read needs no branch for it.
pub(crate) struct Key<T: 'static> {
    id: AtomicU32,
    /// Invariant: with a covariant `T`, a `for<'a> fn(&'a str)` could be bound and read as another type.
    _invariant: PhantomData<fn(T) -> T>,
}

impl<T: 'static> Key<T> {
    pub(crate) const fn new() -> Self {
        Self { id: AtomicU32::new(0), _invariant: PhantomData }
    }

    /// The id, 0 when the variable was never bound. Relaxed is enough: whoever can reach a binding got its
    /// slots through something that synchronised after the id was given.
    #[inline]
    pub(crate) fn id(&'static self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    #[cold]
    fn assign(&'static self) -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        if fresh >= MAX_VARIABLES {
            NEXT.store(MAX_VARIABLES, Ordering::Relaxed);
            too_many_variables();
        }
        match self.id.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(other) => other, // another thread was first; `fresh` stays unused
        }
    }
}

#[cold]
#[allow(clippy::panic)] // a program error with no value to return it in, documented at `ContextVar`
fn too_many_variables() -> ! {
    panic!("more than {MAX_VARIABLES} context variables were bound: are variables leaked in a loop?");
}

impl<T: Send + Sync + 'static> Key<T> {
    /// Calls `f` with the value bound in the current frame, or gives `f` back where there is none.
    #[inline]
    pub(crate) fn peek<R, F: FnOnce(&T) -> R>(&'static self, f: F) -> Result<R, F> {
        let id = self.id();
        thread(|thread| {
            // SAFETY: as in `current`.
            let Some(frame) = (unsafe { thread.frame().as_ref() }) else { return Err(f) };
            let Some(binding) = frame.slots().get(id) else { return Err(f) };
            let value = binding.value::<T>();
            let _reading = thread.read();
            // SAFETY: by (1) the slot holds a `Bound<T>`; by (3) it lives while `_reading` counts it.
            Ok(f(unsafe { &*value }))
        })
    }

    /// Makes a binding for this variable. Allocates before any cell is touched.
    pub(crate) fn bind(
        &'static self,
        value: T,
        show: Option<Show<T>>,
        mark: Mark,
        meta: &'static Meta,
    ) -> Fresh {
        let id = match self.id() {
            0 => self.assign(),
            id => id,
        };
        let bound = Box::new(Bound {
            head: Header { refs: AtomicUsize::new(1), ops: Bound::<T>::OPS, meta, mark },
            show,
            value,
        });
        Fresh { id, binding: Binding(NonNull::from(Box::leak(bound)).cast()) }
    }
}

/// A binding that no slot holds yet, with the id it belongs under.
pub(crate) struct Fresh {
    id: u32,
    binding: Binding,
}

// -------------------------------------------------------------------------------------------------- binding

/// How a value prints, where its variable declares that it may.
pub(crate) type Show<T> = fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result;

#[repr(C)]
struct Header {
    refs: AtomicUsize,
    ops: &'static Ops,
    meta: &'static Meta,
    mark: Mark,
}

struct Ops {
    drop: unsafe fn(NonNull<Header>),
    show: unsafe fn(NonNull<Header>, &mut fmt::Formatter<'_>) -> Option<fmt::Result>,
}

#[repr(C)]
struct Bound<T> {
    head: Header,
    show: Option<Show<T>>,
    value: T,
}

impl<T: 'static> Bound<T> {
    const OPS: &'static Ops = &Ops { drop: Self::drop_raw, show: Self::show_raw };

    unsafe fn drop_raw(head: NonNull<Header>) {
        // SAFETY: the caller hands over the last reference to a binding that `Key::<T>::bind` leaked.
        drop(unsafe { Box::from_raw(head.cast::<Self>().as_ptr()) });
    }

    unsafe fn show_raw(head: NonNull<Header>, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        // SAFETY: the caller holds a reference to a binding of this very `T`.
        let bound = unsafe { head.cast::<Self>().as_ref() };
        bound.show.map(|show| show(&bound.value, f))
    }
}

/// One shared value with its mark: a thin reference-counted pointer to a [`Bound<T>`].
pub(crate) struct Binding(NonNull<Header>);

// SAFETY: `Key::bind` asks for `T: Send + Sync`, the rest of the allocation is `Send + Sync` itself.
unsafe impl Send for Binding {}
// SAFETY: as above; shared access gives only `&T`.
unsafe impl Sync for Binding {}

impl Binding {
    #[inline]
    fn head(&self) -> &Header {
        // SAFETY: we hold a reference, so the allocation lives.
        unsafe { self.0.as_ref() }
    }

    /// The address of the value. Only `Key<T>` may ask, and only for the slot of its own id.
    #[inline]
    fn value<T>(&self) -> *const T {
        let bound = self.0.cast::<Bound<T>>().as_ptr();
        // SAFETY: by (1) the allocation is a `Bound<T>`; no reference is made.
        unsafe { &raw const (*bound).value }
    }

    pub(crate) fn meta(&self) -> &'static Meta {
        self.head().meta
    }

    pub(crate) fn mark(&self) -> Mark {
        self.head().mark
    }

    /// Prints the value, or answers `None` where the variable does not declare that it may be shown.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        // SAFETY: `ops` belongs to the `T` of this allocation, and we hold a reference.
        unsafe { (self.head().ops.show)(self.0, f) }
    }
}

impl Clone for Binding {
    #[inline]
    fn clone(&self) -> Self {
        acquire(&self.head().refs);
        Self(self.0)
    }
}

impl Drop for Binding {
    #[inline]
    fn drop(&mut self) {
        if release(&self.head().refs) {
            // SAFETY: that was the last reference.
            unsafe { (self.head().ops.drop)(self.0) }
        }
    }
}

#[inline]
fn acquire(refs: &AtomicUsize) {
    // A count that overflows would free memory in use; like `Arc`, we stop long before.
    if refs.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
        std::process::abort();
    }
}

/// Gives one reference back; `true` if it was the last.
#[inline]
fn release(refs: &AtomicUsize) -> bool {
    if refs.fetch_sub(1, Ordering::Release) != 1 {
        return false;
    }
    // A load and not a fence, because ThreadSanitizer does not understand fences.
    refs.load(Ordering::Acquire);
    true
}

// ---------------------------------------------------------------------------------------------------- slots

#[repr(C)]
struct Array {
    refs: AtomicUsize,
    len: u32,
    /// Union of the crossings that bound variables refuse, so that a capture looks at one byte. It may name a
    /// crossing that no variable refuses any more; then the capture copies for nothing, never less.
    withheld: Cell<u8>,
    entry: Option<Arc<EntryState>>,
    /// What was left behind at crossings, for the error that names it, and what is carried on unread.
    aside: Option<Arc<Aside>>,
    // followed by `len` times Option<Binding>
}

/// A shared array of bindings: one context. Cloning is one increment; the empty context is no allocation.
pub(crate) struct Slots(Option<NonNull<Array>>);

// SAFETY: bindings, entry and losses are `Send + Sync`; `withheld` is written only by a sole owner.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

impl Slots {
    pub(crate) const EMPTY: Self = Self(None);

    fn layout(len: u32) -> Layout {
        let slots = Layout::array::<Option<Binding>>(len as usize);
        let whole = slots.and_then(|slots| Layout::new::<Array>().extend(slots));
        match whole {
            Ok((layout, _)) => layout,
            // `len` is at most MAX_VARIABLES rounded up, so the sum cannot overflow.
            Err(_) => unreachable!("an array of {len} slots has a layout"),
        }
    }

    /// An array of at least `len` empty slots.
    fn allocate(len: u32, entry: Option<Arc<EntryState>>, aside: Option<Arc<Aside>>) -> Self {
        let len = len.next_multiple_of(4);
        let layout = Self::layout(len);
        // SAFETY: the layout has the size of `Array` at least, so it is not zero.
        let Some(array) = NonNull::new(unsafe { alloc(layout) }.cast::<Array>()) else {
            handle_alloc_error(layout)
        };
        let head = Array { refs: AtomicUsize::new(1), len, withheld: Cell::new(0), entry, aside };
        // SAFETY: freshly allocated for this very layout.
        unsafe { array.write(head) };
        for id in 0..len {
            // SAFETY: `id < len`; the slot is written without reading what was there.
            unsafe { slot(array, id).write(None) };
        }
        Self(Some(array))
    }

    /// Slots with an entry and no binding yet.
    pub(crate) fn entered(entry: Arc<EntryState>, aside: Option<Arc<Aside>>) -> Self {
        Self::allocate(8, Some(entry), aside)
    }

    #[inline]
    fn array(&self) -> Option<&Array> {
        // SAFETY: we hold a reference, so the allocation lives.
        self.0.map(|array| unsafe { &*array.as_ptr() })
    }

    #[inline]
    fn get(&self, id: u32) -> Option<&Binding> {
        let array = self.0?;
        if id >= self.array()?.len {
            return None;
        }
        // SAFETY: `id < len`, and every slot is initialised.
        unsafe { (*slot(array, id)).as_ref() }
    }

    #[inline]
    pub(crate) fn holds(&self, id: u32) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn entry(&self) -> Option<&Arc<EntryState>> {
        self.array()?.entry.as_ref()
    }

    pub(crate) fn aside(&self) -> Option<&Aside> {
        self.array()?.aside.as_deref()
    }

    pub(crate) fn lost(&self) -> &[Lost] {
        self.aside().map(|aside| &*aside.lost).unwrap_or_default()
    }

    /// Every binding, in the order in which the variables were first bound in this process.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        (0..self.len()).filter_map(|id| self.get(id))
    }

    /// Whether some bound variable may refuse one of these crossings.
    #[inline]
    pub(crate) fn may_withhold(&self, crossings: u8) -> bool {
        self.array().is_some_and(|array| array.withheld.get() & crossings != 0)
    }

    /// A copy without the bindings that refuse one of `crossings`; each loss is noted as made at `at`.
    #[cold]
    pub(crate) fn withhold(&self, crossings: u8, lost_at: impl Fn(&'static Meta) -> Lost) -> Self {
        let Some(array) = self.array() else { return Self::EMPTY };
        let stays = |binding: &&Binding| binding.meta().withheld() & crossings != 0;
        let lost = self.bindings().filter(stays).map(|binding| lost_at(binding.meta()));
        let aside = array.aside.as_deref().unwrap_or(&Aside::default()).and_lost(lost);
        let mut copy = Self::allocate(array.len, array.entry.clone(), Some(Arc::new(aside)));
        for id in 0..array.len {
            if let Some(binding) = self.get(id).filter(|binding| !stays(binding)) {
                copy.put(Fresh { id, binding: binding.clone() });
            }
        }
        copy
    }

    /// A copy of its own, with at least `len` slots.
    fn copy(&self, len: u32) -> Self {
        let mut copy = self.blank(len);
        for id in 0..self.len() {
            if let Some(place) = copy.unique(id) {
                *place = self.get(id).cloned();
            }
        }
        copy
    }

    /// Makes the array one of its own that has room for `id`, doubled if it has to grow. Bindings that nobody
    /// else holds are moved, not copied.
    #[cold]
    fn make_room(&mut self, id: u32) {
        let wanted = if id < self.len() { self.len() } else { (id + 1).max(2 * self.len()) };
        let mut grown = self.blank(wanted);
        for id in 0..self.len() {
            let binding = match self.unique(id) {
                Some(place) => place.take(),
                None => self.get(id).cloned(),
            };
            if let Some(place) = grown.unique(id) {
                *place = binding;
            }
        }
        *self = grown;
    }

    /// An array with this head and no binding, of at least `len` slots.
    fn blank(&self, len: u32) -> Self {
        let Some(array) = self.array() else { return Self::allocate(len, None, None) };
        let blank = Self::allocate(len.max(array.len), array.entry.clone(), array.aside.clone());
        blank.refuse(array.withheld.get());
        blank
    }

    fn len(&self) -> u32 {
        self.array().map_or(0, |array| array.len)
    }

    /// Room for `id` in an array that nobody else holds, or `None`.
    #[inline]
    fn unique(&mut self, id: u32) -> Option<&mut Option<Binding>> {
        let array = self.0?;
        let head = self.array()?;
        // Acquire: whoever gave its reference back is done with the array.
        if id >= head.len || head.refs.load(Ordering::Acquire) != 1 {
            return None;
        }
        // SAFETY: `id < len`; we own the only reference and borrow it mutably.
        Some(unsafe { &mut *slot(array, id) })
    }

    /// Puts a binding in and drops what was there: for slots that are not in a frame.
    pub(crate) fn put(&mut self, fresh: Fresh) {
        let withheld = fresh.binding.meta().withheld();
        if self.unique(fresh.id).is_none() {
            self.make_room(fresh.id);
        }
        let old = self.unique(fresh.id).and_then(|place| place.replace(fresh.binding));
        self.refuse(withheld);
        drop(old);
    }

    /// Binds all that `other` binds: how the planted fault of a restore keeps what it should not.
    #[cfg(all(feature = "snapshot", feature = "mutants"))]
    pub(crate) fn adopt(&mut self, other: &Self) {
        for id in 0..other.len() {
            if let Some(binding) = other.get(id).cloned() {
                self.put(Fresh { id, binding });
            }
        }
    }

    /// Notes what a variable now bound refuses. Only for a sole owner.
    #[inline]
    fn refuse(&self, withheld: u8) {
        if let Some(array) = self.array() {
            array.withheld.set(array.withheld.get() | withheld);
        }
    }
}

#[inline]
fn slot(array: NonNull<Array>, id: u32) -> *mut Option<Binding> {
    const { assert!(align_of::<Array>() >= align_of::<Option<Binding>>()) };
    const { assert!(size_of::<Array>() % align_of::<Option<Binding>>() == 0) };
    // SAFETY: the slots follow the head in the same allocation.
    let first = unsafe { array.add(1) }.cast::<Option<Binding>>();
    // SAFETY: callers keep `id` below the length.
    unsafe { first.add(id as usize) }.as_ptr()
}

impl Clone for Slots {
    #[inline]
    fn clone(&self) -> Self {
        if let Some(array) = self.array() {
            acquire(&array.refs);
        }
        Self(self.0)
    }
}

impl Drop for Slots {
    #[inline]
    fn drop(&mut self) {
        if let (Some(array), Some(head)) = (self.0, self.array()) {
            if release(&head.refs) {
                free(array);
            }
        }
    }
}

/// Frees an array whose last reference is gone. Runs destructors of values; one that panics leaks the rest.
#[cold]
fn free(array: NonNull<Array>) {
    // SAFETY: nobody else holds the array.
    let len = unsafe { array.as_ref() }.len;
    for id in 0..len {
        // SAFETY: `id < len`; each slot is taken once and not read again.
        drop(unsafe { slot(array, id).read() });
    }
    // SAFETY: as above, for the head.
    drop(unsafe { array.read() });
    // SAFETY: allocated with this layout in `allocate`.
    unsafe { dealloc(array.as_ptr().cast(), Slots::layout(len)) };
}

// ---------------------------------------------------------------------------------------------------- frame

const MORE: usize = 7;
const HOPS: [Hop; 7] =
    [Hop::Run, Hop::Scope, Hop::Wrapped, Hop::Spawned, Hop::Thread, Hop::Boundary, Hop::Detached];

fn pack(origin: Origin) -> Tagged {
    Tagged::new(ptr::from_ref(origin.at).cast_mut(), origin.hop as usize)
}

/// What a frame needs from its first `set` on.
struct More {
    /// From a global counter, never reused.
    id: u64,
    sets: u64,
    origin: Origin,
    /// Arrays replaced while a borrow was out; dropped at the next change without one, or with the frame.
    grave: Vec<Slots>,
}

/// The owner of a current context: 16 bytes, in a wrapped future or on the stack of a `run`.
pub(crate) struct Frame {
    slots: UnsafeCell<Slots>,
    /// The place of an [`Origin`] with its hop as the tag, or, with `MORE` there, a `Box<More>`.
    origin: Cell<Tagged>,
}

// SAFETY: `Slots` and `More` are `Send`; the raw pointer is one of the two it stands for. Not `Sync`.
unsafe impl Send for Frame {}

impl Frame {
    pub(crate) fn new(slots: Slots, origin: Origin) -> Self {
        Self { slots: UnsafeCell::new(slots), origin: Cell::new(pack(origin)) }
    }

    /// Calls `f` with this frame current, and puts the former one back, also on unwind. The only way in.
    #[inline]
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        #[cfg(debug_assertions)]
        crate::strict::entering(self);
        thread(|thread| {
            let _restore = thread.swap(self);
            f()
        })
    }

    #[inline]
    fn slots(&self) -> &Slots {
        // SAFETY: the cell is written only by `replace` and `install`, which run no user code while they hold
        // it and are never called while this borrow lives: it ends before any user code runs.
        unsafe { &*self.slots.get() }
    }

    /// Gives the frame another context, before it is entered.
    pub(crate) fn install(&mut self, slots: Slots) {
        drop(mem::replace(self.slots.get_mut(), slots));
    }

    /// The context of this frame: one increment.
    #[inline]
    pub(crate) fn share(&self) -> Slots {
        self.slots().clone()
    }

    pub(crate) fn origin(&self) -> Origin {
        match self.more() {
            Some(more) => more.origin,
            None => {
                let packed = self.origin.get();
                let hop = HOPS[packed.tag()];
                // SAFETY: the tag is not MORE, so this is the location that `pack` took.
                let at = unsafe { &*packed.pointer::<Location<'static>>() };
                Origin { hop, at }
            }
        }
    }

    /// Whether this very frame made the binding, by `set` or by being its scope.
    pub(crate) fn made(&self, mark: Mark) -> bool {
        match self.more() {
            Some(more) if more.id == mark.frame => true,
            _ => {
                let origin = self.origin();
                origin.hop == Hop::Scope && ptr::eq(origin.at, mark.bound_at)
            }
        }
    }

    #[inline]
    fn more(&self) -> Option<&More> {
        let packed = self.origin.get();
        // SAFETY: the tag says MORE, so this is the box that `more_mut` leaked; it is changed only there.
        (packed.tag() == MORE).then(|| unsafe { &*packed.pointer::<More>() })
    }

    /// Calls `f` with the frame's `More`, made now if need be. `f` runs no user code.
    #[inline]
    fn more_mut<R>(&self, f: impl FnOnce(&mut More) -> R) -> R {
        if self.origin.get().tag() != MORE {
            self.make_more();
        }
        let more = self.origin.get().pointer::<More>();
        // SAFETY: the tag says MORE; one thread sees the frame, and `f` cannot reach it a second time.
        f(unsafe { &mut *more })
    }

    #[cold]
    fn make_more(&self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let more = Box::new(More { id, sets: 0, origin: self.origin(), grave: Vec::new() });
        self.origin.set(Tagged::new(Box::into_raw(more), MORE));
    }

    /// The mark of the next binding made by `set` in this frame.
    #[inline]
    pub(crate) fn next_mark(&self, bound_at: &'static Location<'static>) -> Mark {
        let boundary = self.slots().entry().map(|entry| entry.boundary());
        let (frame, stamp) = self.more_mut(|more| {
            more.sets += 1;
            (more.id, more.sets)
        });
        Mark { bound_at, boundary, frame, stamp }
    }

    /// Binds, and hands back what takes it back.
    #[inline]
    pub(crate) fn set(&self, fresh: Fresh) -> Undo {
        let Fresh { id, binding } = fresh;
        let Mark { frame, stamp, .. } = binding.mark();
        let old = self.replace(id, Some(binding));
        Undo { id, frame, stamp, old }
    }

    /// Takes a `set` back.
    ///
    /// # Errors
    /// [`ResetError`] when this is another frame, or a newer `set` of the same variable stands; nothing changes.
    #[inline]
    pub(crate) fn undo(&self, undo: Undo) -> Result<(), ResetError> {
        if self.more().is_none_or(|more| more.id != undo.frame) {
            return Err(ResetError::OtherContext);
        }
        let mark = self.slots().get(undo.id).map(Binding::mark);
        if mark.is_none_or(|mark| mark.frame != undo.frame || mark.stamp != undo.stamp) {
            return Err(ResetError::OutOfOrder);
        }
        let replaced = self.replace(undo.id, undo.old);
        drop(replaced); // runs a destructor; the cell is free
        Ok(())
    }

    /// Swaps one binding. What it replaced comes back undropped, for the caller to drop with the cell free.
    #[inline]
    fn replace(&self, id: u32, new: Option<Binding>) -> Option<Binding> {
        let withheld = new.as_ref().map_or(0, |binding| binding.meta().withheld());
        if !being_read() {
            // SAFETY: by (2) only this thread is here, and no user code runs while the borrow lives.
            let slots = unsafe { &mut *self.slots.get() };
            if let Some(place) = slots.unique(id) {
                let old = mem::replace(place, new);
                slots.refuse(withheld);
                if self.more().is_some_and(|more| !more.grave.is_empty()) {
                    self.empty_grave();
                }
                return old;
            }
        }
        self.replace_slow(id, new, withheld)
    }

    #[cold]
    fn empty_grave(&self) {
        drop(self.more_mut(|more| mem::take(&mut more.grave))); // runs destructors; the cell is free
    }

    #[cold]
    fn replace_slow(&self, id: u32, new: Option<Binding>, withheld: u8) -> Option<Binding> {
        let mut copy = self.slots().copy(id + 1);
        let old = match copy.unique(id) {
            Some(place) => mem::replace(place, new),
            None => unreachable!("a copy is made with room for the id it is made for"),
        };
        copy.refuse(withheld);
        // SAFETY: as in `replace`, whose own borrow is not used again.
        let before = mem::replace(unsafe { &mut *self.slots.get() }, copy);
        self.more_mut(|more| more.grave.push(before));
        if !being_read() {
            self.empty_grave();
        }
        old
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let packed = self.origin.get();
        if packed.tag() == MORE {
            // SAFETY: the box that `make_more` leaked; the frame is gone after this.
            drop(unsafe { Box::from_raw(packed.pointer::<More>()) });
        }
    }
}

/// What one `set` replaced, and where.
pub(crate) struct Undo {
    id: u32,
    frame: u64,
    stamp: u64,
    old: Option<Binding>,
}
