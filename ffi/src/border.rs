//! What comes in and goes out by pointer. Null, misaligned pointers and lengths beyond any memory are errors; that
//! a pointer is otherwise what the header asks for, only the caller can know.

use crate::failure::Failure;
use std::ffi::{CStr, c_char};
use std::path::Path;

fn check<T>(pointer: *const T, name: &'static str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::argument(name, "a pointer", "NULL"));
    }
    if !pointer.is_aligned() {
        let expected = format!("an address that is a multiple of {}", align_of::<T>());
        return Err(Failure::argument(name, expected, format!("{pointer:p}")));
    }
    Ok(())
}

/// An object of the caller's.
///
/// # Safety
/// `pointer` is null, or stands for a `T` that lives and is not borrowed mutably during the call.
pub unsafe fn object<'a, T>(pointer: *const T, name: &'static str) -> Result<&'a T, Failure> {
    check(pointer, name)?;
    // SAFETY: it is not null and is aligned; the rest is the caller's promise.
    Ok(unsafe { &*pointer })
}

/// `len` items; none may have any pointer.
///
/// # Safety
/// `pointer` is null, or stands for `len` initialised items that nobody changes during the call.
pub unsafe fn slice<'a, T>(pointer: *const T, len: usize, name: &'static str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer, name)?;
    check_len::<T>(len, name)?;
    // SAFETY: it is not null, is aligned and no longer than memory can be; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

fn check_len<T>(len: usize, name: &'static str) -> Result<(), Failure> {
    let most = isize::MAX as usize / size_of::<T>();
    if len > most {
        return Err(Failure::argument(name, format!("a length of at most {most}"), len.to_string()));
    }
    Ok(())
}

/// UTF-8 of `len` bytes.
///
/// # Safety
/// As [`slice`].
pub unsafe fn text<'a>(pointer: *const c_char, len: usize, name: &'static str) -> Result<&'a str, Failure> {
    // SAFETY: as the caller promises for the same bytes.
    let bytes = unsafe { slice(pointer.cast::<u8>(), len, name) }?;
    std::str::from_utf8(bytes).map_err(|e| {
        let found = format!("an invalid sequence at byte {} of {len}", e.valid_up_to());
        Failure::argument(name, "UTF-8 text", found)
    })
}

/// A path, which ends with a NUL.
///
/// # Safety
/// `pointer` is null or stands for a string that ends with a NUL.
pub unsafe fn path<'a>(pointer: *const c_char) -> Result<&'a Path, Failure> {
    check(pointer, "path")?;
    // SAFETY: it is not null; the rest is the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    let text = text.to_str().map_err(|e| {
        Failure::argument("path", "UTF-8 text", format!("an invalid sequence at byte {}", e.valid_up_to()))
    })?;
    if text.is_empty() {
        return Err(Failure::argument("path", "the name of a file", "an empty text"));
    }
    Ok(Path::new(text))
}

/// A place for one result, checked before any work is done.
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is null, or may be written to for a `T` as long as the value returned is used.
    pub unsafe fn new(pointer: *mut T, name: &'static str) -> Result<Out<T>, Failure> {
        check(pointer, name)?;
        Ok(Out(pointer))
    }

    /// Writes it; what was there is not looked at.
    pub fn set(&self, value: T) {
        // SAFETY: `new` saw that it is neither null nor misaligned, and its caller promised the rest.
        unsafe { self.0.write(value) }
    }
}

/// A buffer for several results and a place for their number.
pub struct Buffer<T> {
    items: *mut T,
    capacity: usize,
    count: Out<usize>,
}

impl<T: Copy> Buffer<T> {
    /// A capacity of 0 asks for the number alone and may have any pointer.
    ///
    /// # Safety
    /// `items` is null, or may be written to for `capacity` items, `count` for one, as long as the value returned is
    /// used.
    pub unsafe fn new(items: *mut T, capacity: usize, count: *mut usize) -> Result<Buffer<T>, Failure> {
        if capacity > 0 {
            check(items, "buffer")?;
            check_len::<T>(capacity, "capacity")?;
        }
        // SAFETY: the caller promises it for `count`.
        let count = unsafe { Out::new(count, "count") }?;
        Ok(Buffer { items, capacity, count })
    }

    /// Writes the items, or none where they do not fit, and their number in any case.
    pub fn fill(&self, what: &'static str, items: &[T]) -> Result<(), Failure> {
        self.count.set(items.len());
        if items.len() > self.capacity {
            return Err(Failure::Buffer(what, items.len(), self.capacity));
        }
        if !items.is_empty() {
            // SAFETY: there is room for `capacity` items, as the caller of `new` promised; `items` is brooklet's own memory.
            unsafe { self.items.copy_from_nonoverlapping(items.as_ptr(), items.len()) }
        }
        Ok(())
    }
}

impl Buffer<c_char> {
    /// As [`Buffer::fill`], with a NUL behind the text that needs room and is not counted.
    pub fn fill_text(&self, text: &str) -> Result<(), Failure> {
        let bytes: Vec<c_char> = text.bytes().chain([0]).map(|b| b as c_char).collect();
        let outcome = self.fill("the text and its NUL", &bytes);
        self.count.set(text.len());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::{null, null_mut, without_provenance};

    #[test]
    fn what_cannot_be_a_pointer_or_length_is_refused() {
        let ids = [1u32, 2];
        // SAFETY: wherever memory would be read, it is that of `ids`.
        unsafe {
            assert_eq!(slice(ids.as_ptr(), 2, "ids").unwrap(), ids);
            assert!(slice(null::<u32>(), 0, "ids").unwrap().is_empty());
            assert!(slice(null::<u32>(), 1, "ids").is_err());
            assert!(slice(without_provenance::<u32>(1), 1, "ids").is_err());
            assert!(slice(ids.as_ptr(), usize::MAX, "ids").is_err());
            assert!(slice(ids.as_ptr(), isize::MAX as usize / 4 + 1, "ids").is_err());
            assert!(text(c"\xff".as_ptr(), 1, "text").is_err());
            assert!(path(null()).is_err() && path(c"".as_ptr()).is_err() && path(c"\xff".as_ptr()).is_err());
            assert!(object(null::<u32>(), "x").is_err() && Out::new(null_mut::<u32>(), "x").is_err());
        }
    }

    #[test]
    fn a_buffer_is_filled_or_left() {
        let (mut text, mut count) = ([b'x' as c_char; 4], 9);
        // SAFETY: both live through the calls.
        let buffer = unsafe { Buffer::new(text.as_mut_ptr(), 4, &mut count) }.unwrap();
        assert!(matches!(buffer.fill_text("abcd"), Err(Failure::Buffer(_, 5, 4))));
        buffer.fill_text("abc").unwrap();
        assert_eq!((text.map(|c| c as u8), count), (*b"abc\0", 3));
        // SAFETY: nothing is written to a buffer without capacity.
        let buffer = unsafe { Buffer::<u32>::new(null_mut(), 0, &mut count) }.unwrap();
        assert!(buffer.fill("ids", &[1, 2]).is_err());
        buffer.fill("ids", &[]).unwrap();
        assert_eq!(count, 0);
        // SAFETY: null is refused.
        assert!(unsafe { Buffer::<u32>::new(null_mut(), 1, &mut count) }.is_err());
    }
}
