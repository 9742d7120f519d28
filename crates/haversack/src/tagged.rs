//! A pointer with three bits of our own in it.
//!
//! Where pointers have 64 bits, what a frame points to is aligned to eight bytes, so the bits ride in the pointer
//! and cost nothing. On a narrower machine they stand beside it. The provenance of the pointer is kept.

/// A pointer to some `T` and a number below eight.
#[derive(Clone, Copy)]
pub(crate) struct Tagged {
    pointer: *mut u8,
    #[cfg(not(target_pointer_width = "64"))]
    tag: usize,
}

impl Tagged {
    /// `tag` is below eight.
    #[cfg(target_pointer_width = "64")]
    #[inline]
    pub(crate) fn new<T>(pointer: *mut T, tag: usize) -> Self {
        const { assert!(align_of::<T>() >= 8) };
        Self { pointer: pointer.cast::<u8>().map_addr(|addr| addr | tag) }
    }

    /// `tag` is below eight.
    #[cfg(not(target_pointer_width = "64"))]
    pub(crate) fn new<T>(pointer: *mut T, tag: usize) -> Self {
        Self { pointer: pointer.cast::<u8>(), tag }
    }

    #[cfg(target_pointer_width = "64")]
    #[inline]
    pub(crate) fn tag(self) -> usize {
        self.pointer.addr() & 7
    }

    #[cfg(not(target_pointer_width = "64"))]
    pub(crate) fn tag(self) -> usize {
        self.tag
    }

    /// The pointer that was given. What it points to is the caller's to know, by the tag.
    #[cfg(target_pointer_width = "64")]
    #[inline]
    pub(crate) fn pointer<T>(self) -> *mut T {
        self.pointer.map_addr(|addr| addr & !7).cast::<T>()
    }

    /// The pointer that was given. What it points to is the caller's to know, by the tag.
    #[cfg(not(target_pointer_width = "64"))]
    pub(crate) fn pointer<T>(self) -> *mut T {
        self.pointer.cast::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::Tagged;

    #[test]
    fn pointer_and_tag_come_back_as_they_were() {
        let mut number = 5_u64;
        let pointer = &raw mut number;
        for tag in 0..8 {
            let tagged = Tagged::new(pointer, tag);
            assert_eq!((tagged.pointer::<u64>(), tagged.tag()), (pointer, tag));
        }
    }
}
