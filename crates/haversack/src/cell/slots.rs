//! Slots: one context as a shared array of bindings, indexed by the ids of the variables.
//!
//! The array has a head that the error path and identity checks read, and is changed in place only by a sole
//! holder. Everybody else makes a copy, and a copy is made once, in the length that it needs.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::mem;
use std::ptr::NonNull;
use std::sync::Arc;

use super::binding::Binding;
use super::deep;
use super::key::{Fresh, slots_in_use};
use super::refs::Refs;
use crate::aside::{Aside, Lost};
use crate::entry::EntryState;
use crate::policy::Meta;

/// A first array has room for every variable of the process, so that it need not grow, but for no more than this.
const FIRST_AT_MOST: u32 = 32;

#[repr(C)]
struct Array {
    refs: Refs,
    /// Slots that the allocation has room for.
    room: u32,
    /// Slots that are initialised: one more than the highest id that was ever bound in here.
    len: Cell<u32>,
    /// Union of the crossings that bound variables refuse, so that a capture looks at one byte. It may name a
    /// crossing that no variable refuses any more; then the capture copies for nothing, never less.
    withheld: Cell<u8>,
    entry: Option<Arc<EntryState>>,
    /// What was left behind at crossings, for the error that names it, and what is carried on unread.
    aside: Option<Arc<Aside>>,
    // followed by `room` times Option<Binding>, of which the first `len` are initialised
}

/// A shared array of bindings: one context. Cloning is one increment; the empty context is no allocation.
pub(crate) struct Slots(Option<NonNull<Array>>);

// SAFETY: bindings, entry and losses are `Send + Sync`; the two cells are written only by a sole owner.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

// ---------------------------------------------------------------------------------------------------- memory

impl Slots {
    pub(crate) const EMPTY: Self = Self(None);

    fn layout(room: u32) -> Layout {
        let slots = Layout::array::<Option<Binding>>(room as usize);
        let whole = slots.and_then(|slots| Layout::new::<Array>().extend(slots));
        match whole {
            Ok((layout, _)) => layout,
            // `room` is at most twice the number of variables, rounded up, so the sum cannot overflow.
            Err(_) => unreachable!("an array of {room} slots has a layout"),
        }
    }

    /// An array of its own with no slot yet, and room for `room` of them at least.
    fn allocate(room: u32, withheld: u8, entry: Option<Arc<EntryState>>, aside: Option<Arc<Aside>>) -> Self {
        let room = room.next_multiple_of(4);
        let layout = Self::layout(room);
        // SAFETY: the layout has the size of `Array` at least, so it is not zero.
        let Some(array) = NonNull::new(unsafe { alloc(layout) }.cast::<Array>()) else {
            handle_alloc_error(layout)
        };
        let (len, withheld) = (Cell::new(0), Cell::new(withheld));
        // SAFETY: freshly allocated for this very layout.
        unsafe { array.write(Array { refs: Refs::one(), room, len, withheld, entry, aside }) };
        Self(Some(array))
    }

    #[inline]
    fn array(&self) -> Option<&Array> {
        // SAFETY: we hold a reference, so the allocation lives.
        self.0.map(|array| unsafe { &*array.as_ptr() })
    }

    #[inline]
    fn all(&self) -> &[Option<Binding>] {
        let (Some(array), Some(head)) = (self.0, self.array()) else { return &[] };
        // SAFETY: the first `len` slots are initialised, and a sole holder changes them only through `&mut`.
        unsafe { std::slice::from_raw_parts(first(array).as_ptr(), head.len.get() as usize) }
    }

    /// The slots, to be changed in place, where nobody else holds the array.
    #[inline]
    fn sole(&mut self) -> Option<&mut [Option<Binding>]> {
        let (array, head) = (self.0?, self.array()?);
        if !head.refs.is_sole() {
            return None;
        }
        // SAFETY: as in `all`; we own the only reference and borrow it mutably.
        Some(unsafe { std::slice::from_raw_parts_mut(first(array).as_ptr(), head.len.get() as usize) })
    }

    /// The place of `id` in an array that nobody else holds, where it has room; or `None`.
    #[inline]
    fn place(&mut self, id: u32) -> Option<&mut Option<Binding>> {
        let (array, head) = (self.0?, self.array()?);
        if !head.refs.is_sole() {
            return None;
        }
        while head.len.get() <= id {
            self.push(None)?;
        }
        // SAFETY: `id < len`, so this is inside the allocation.
        let mut place = unsafe { first(array).add(id as usize) };
        // SAFETY: as above, so the slot is initialised; we own the only reference and borrow it mutably.
        Some(unsafe { place.as_mut() })
    }

    /// One slot more; `None` where there is no room. For a sole holder alone: `place` asks whether it is one, and
    /// whoever copies has just made the array.
    #[inline]
    fn push(&self, binding: Option<Binding>) -> Option<()> {
        let (array, head) = (self.0?, self.array()?);
        let len = head.len.get();
        if len == head.room {
            return None;
        }
        // SAFETY: `len < room`, so this is inside the allocation.
        let place = unsafe { first(array).add(len as usize) };
        // SAFETY: as above; nobody else holds the array, and the slot is not initialised yet, so nothing there is
        // read by others or to be dropped.
        unsafe { place.write(binding) };
        head.len.set(len + 1);
        Some(())
    }
}

#[inline]
fn first(array: NonNull<Array>) -> NonNull<Option<Binding>> {
    const { assert!(align_of::<Array>() >= align_of::<Option<Binding>>()) };
    const { assert!(size_of::<Array>() % align_of::<Option<Binding>>() == 0) };
    // SAFETY: the slots follow the head in the same allocation.
    unsafe { array.add(1) }.cast()
}

impl Clone for Slots {
    #[inline]
    fn clone(&self) -> Self {
        if let Some(array) = self.array() {
            array.refs.share();
        }
        Self(self.0)
    }
}

impl Drop for Slots {
    #[inline]
    fn drop(&mut self) {
        if let (Some(array), Some(head)) = (self.0, self.array()) {
            if head.refs.give_back() {
                deep::free(Dead(array));
            }
        }
    }
}

/// An array whose last reference is gone; freed when it is dropped.
pub(super) struct Dead(NonNull<Array>);

impl Drop for Dead {
    #[inline]
    fn drop(&mut self) {
        free(self.0);
    }
}

/// Runs destructors of values; one that panics leaks the rest.
#[inline(never)]
fn free(array: NonNull<Array>) {
    // SAFETY: the one owner is a `Dead`, so nobody else holds the array; a head is plain data until it is taken below.
    let head = unsafe { array.as_ref() };
    let (room, len) = (head.room, head.len.get());
    for id in 0..len {
        // SAFETY: `id < len`, so this is inside the allocation.
        let place = unsafe { first(array).add(id as usize) };
        // SAFETY: the slot is initialised, taken once and not read again.
        drop(unsafe { place.read() });
    }
    // SAFETY: as above, for the head.
    drop(unsafe { array.read() });
    // SAFETY: allocated with this layout in `allocate`.
    unsafe { dealloc(array.as_ptr().cast(), Slots::layout(room)) };
}

// --------------------------------------------------------------------------------------------------- reading

impl Slots {
    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&Binding> {
        self.all().get(id as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn holds(&self, id: u32) -> bool {
        self.get(id).is_some()
    }

    #[inline]
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
        self.all().iter().flatten()
    }

    /// Whether some bound variable may refuse one of these crossings.
    #[inline]
    pub(crate) fn may_withhold(&self, crossings: u8) -> bool {
        self.array().is_some_and(|array| array.withheld.get() & crossings != 0)
    }
}

// -------------------------------------------------------------------------------------------------- changing

impl Slots {
    /// Slots with an entry and no binding yet.
    pub(crate) fn entered(entry: Arc<EntryState>, aside: Option<Arc<Aside>>) -> Self {
        Self::allocate(first_room(0), 0, Some(entry), aside)
    }

    /// An array of its own with this head, and with room for `room` slots at least.
    fn like(&self, room: u32) -> Self {
        match self.array() {
            None => Self::allocate(first_room(room), 0, None, None),
            Some(Array { withheld, entry, aside, .. }) => {
                Self::allocate(room, withheld.get(), entry.clone(), aside.clone())
            }
        }
    }

    /// Swaps one binding where nobody else holds the array and it has room; else `new` comes back.
    #[inline]
    pub(super) fn swap(
        &mut self,
        id: u32,
        new: Option<Binding>,
        withheld: u8,
    ) -> Result<Option<Binding>, Option<Binding>> {
        let Some(place) = self.place(id) else { return Err(new) };
        let old = mem::replace(place, new);
        self.refuse(withheld);
        Ok(old)
    }

    /// A copy with `new` in the slot `id`, and what was there before.
    pub(super) fn with(&self, id: u32, new: Option<Binding>, withheld: u8) -> (Self, Option<Binding>) {
        let all = self.all();
        let mut copy = self.like((id + 1).max(len_of(all)));
        for binding in all {
            copy.push(binding.clone());
        }
        let old = copy.place(id).and_then(|place| mem::replace(place, new));
        copy.refuse(withheld);
        (copy, old)
    }

    /// A copy without the bindings that refuse one of `crossings`; each loss is noted as made at `at`.
    #[cold]
    pub(crate) fn withhold(&self, crossings: u8, lost_at: impl Fn(&'static Meta) -> Lost) -> Self {
        let Some(array) = self.array() else { return Self::EMPTY };
        let stays = |binding: &&Binding| binding.meta().withheld() & crossings != 0;
        let lost = self.bindings().filter(stays).map(|binding| lost_at(binding.meta()));
        let aside = array.aside.as_deref().unwrap_or(&Aside::default()).and_lost(lost);
        let copy = Self::allocate(array.room, 0, array.entry.clone(), Some(Arc::new(aside)));
        for binding in self.all() {
            let goes = binding.as_ref().filter(|binding| !stays(binding));
            copy.push(goes.cloned());
            copy.refuse(goes.map_or(0, |binding| binding.meta().withheld()));
        }
        copy
    }

    /// Puts a binding in and drops what was there: for slots that are not in a frame.
    #[inline]
    pub(crate) fn put(&mut self, fresh: Fresh) {
        let Fresh { id, binding } = fresh;
        let withheld = binding.meta().withheld();
        let old = self.swap(id, Some(binding), withheld);
        drop(old.unwrap_or_else(|new| self.put_in_another(id, new, withheld)));
    }

    /// Puts a binding into an array of its own, with more room where it takes that. Bindings that nobody else
    /// holds are moved, not copied.
    #[inline(never)]
    fn put_in_another(&mut self, id: u32, new: Option<Binding>, withheld: u8) -> Option<Binding> {
        let held = self.array().map_or(0, |array| array.room);
        if id < held || held == 0 {
            let (copy, old) = self.with(id, new, withheld);
            *self = copy;
            return old;
        }
        // Room for every variable of the process, or twice what was there; a quarter more at least, so that the
        // cost of growing stays in proportion.
        let room = slots_in_use().min(2 * held).max(held + held / 4);
        let mut grown = self.like(room.max(id + 1));
        match self.sole() {
            Some(all) => all.iter_mut().for_each(|binding| {
                grown.push(binding.take());
            }),
            None => self.all().iter().for_each(|binding| {
                grown.push(binding.clone());
            }),
        }
        let old = grown.place(id).and_then(|place| mem::replace(place, new));
        grown.refuse(withheld);
        *self = grown;
        old
    }

    /// Binds all that `other` binds: how the planted fault of a restore keeps what it should not.
    #[cfg(all(feature = "snapshot", feature = "mutants"))]
    pub(crate) fn adopt(&mut self, other: &Self) {
        for (id, binding) in (0..).zip(other.all()) {
            if let Some(binding) = binding.clone() {
                self.put(Fresh { id, binding });
            }
        }
    }

    /// Notes what a variable now bound refuses. Only for a sole owner.
    #[inline]
    fn refuse(&self, withheld: u8) {
        if let Some(array) = self.array().filter(|_| withheld != 0) {
            array.withheld.set(array.withheld.get() | withheld);
        }
    }
}

/// How much room an array has that is the first.
fn first_room(room: u32) -> u32 {
    room.max(slots_in_use().min(FIRST_AT_MOST))
}

fn len_of(all: &[Option<Binding>]) -> u32 {
    // A length that was read from a head.
    all.len() as u32
}
