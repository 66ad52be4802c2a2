//! Structs of options, which may grow: their first field is the size that the caller's compiler gave them.

use crate::failure::{Failure, Status, guard};
use brooklet::{MAX_THREADS, SessionOptions as Options};
use brooklet_kernels::TensorType;

/// Larger than any of these structs will be: what is above was not initialised.
const LARGEST: usize = 4096;

/// A struct of options.
///
/// # Safety
/// `#[repr(C)]`, its first field a `usize`, and all fields valid whatever their bits.
pub unsafe trait Growing: Default {
    /// Bytes of its first version.
    const FIRST: usize;
}

/// Writes the first `size` bytes of `options`, with `size` in their first field; a caller's struct that has more, of a
/// later version, gets zeros there, which mean what this version does.
///
/// # Safety
/// `to` is null, or may be written to for `size` bytes.
pub unsafe fn init<T: Growing>(to: *mut T, size: usize, options: T) -> Result<(), Failure> {
    check(to, size)?;
    // SAFETY: `check` saw a pointer that is not null and is aligned, and the size has room for the first field; the
    // caller promised the rest.
    unsafe {
        to.cast::<u8>().write_bytes(0, size);
        to.cast::<u8>().copy_from_nonoverlapping((&raw const options).cast(), size.min(size_of::<T>()));
        to.cast::<usize>().write(size);
    }
    Ok(())
}

/// Options as the caller set them; null is the default.
///
/// # Errors
/// A size that no version has; an option is set that this version does not know.
///
/// # Safety
/// `from` is null, or stands for an initialised struct as long as its first field says.
pub unsafe fn read<T: Growing>(from: *const T) -> Result<T, Failure> {
    let mut options = T::default();
    if from.is_null() {
        return Ok(options);
    }
    if !from.is_aligned() {
        return Err(Failure::argument("options", "an aligned address", format!("{from:p}")));
    }
    // SAFETY: it is not null and is aligned, and the first field is there whatever the version.
    let size = unsafe { from.cast::<usize>().read() };
    check(from, size)?;
    let known = size.min(size_of::<T>());
    // SAFETY: the caller promised `size` initialised bytes; any bits are valid for a `Growing`.
    unsafe { (&raw mut options).cast::<u8>().copy_from_nonoverlapping(from.cast(), known) };
    // SAFETY: the same bytes, behind the known ones.
    let rest = unsafe { std::slice::from_raw_parts(from.cast::<u8>().add(known), size - known) };
    if rest.iter().any(|byte| *byte != 0) {
        let found = "an option of a later version: the header is newer than the library";
        return Err(Failure::argument("options", "options of this version", found));
    }
    Ok(options)
}

fn check<T: Growing>(pointer: *const T, size: usize) -> Result<(), Failure> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(Failure::argument("options", "an aligned pointer", format!("{pointer:p}")));
    }
    if !(T::FIRST..=LARGEST).contains(&size) {
        let expected = format!("a size of {} to {LARGEST}, as the init function sets it", T::FIRST);
        return Err(Failure::argument("options", expected, size.to_string()));
    }
    Ok(())
}

/// 0 or 1.
fn flag(name: &'static str, value: i32) -> Result<bool, Failure> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failure::argument(name, "0 or 1", value.to_string())),
    }
}

/// How a model is opened. Set up with brooklet_model_options_init().
#[repr(C)]
pub struct ModelOptions {
    /// Bytes of this struct, as the init function sets it.
    pub size: usize,
    /// 1 (default): start to read the weights in the background where memory has room for them. 0: read each when it is
    /// first used; the first answer is slower, and nothing is read in vain.
    pub read_ahead: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: integers only, the first a usize, in C's order.
unsafe impl Growing for ModelOptions {
    const FIRST: usize = size_of::<usize>() + 8;
}

impl Default for ModelOptions {
    fn default() -> Self {
        ModelOptions { size: size_of::<Self>(), read_ahead: 1, reserved: 0 }
    }
}

impl ModelOptions {
    /// Whether weights are read ahead.
    pub fn read_ahead(&self) -> Result<bool, Failure> {
        if self.reserved != 0 {
            return Err(Failure::argument("reserved", "0", self.reserved.to_string()));
        }
        flag("read_ahead", self.read_ahead)
    }
}

/// How attention keys and values are stored.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvType {
    /// F16, or Q8_0 with low_memory.
    Default = 0,
    /// Half precision.
    F16 = 1,
    /// Single precision: exact, twice the memory.
    F32 = 2,
    /// 8 bits and a scale for 32: half the memory.
    Q8 = 3,
}

/// How a session is set up. Set up with brooklet_session_options_init().
#[repr(C)]
pub struct SessionOptions {
    /// Bytes of this struct, as the init function sets it.
    pub size: usize,
    /// Tokens that prompt and answers may take together; 0 (default) is the smaller of the model's own and 4,096. Memory
    /// is taken as it is used.
    pub context: usize,
    /// Threads that a prompt is computed on; 0 (default) is one a physical core. On phones: as many as there are big
    /// cores.
    pub threads: u32,
    /// Threads that single tokens are computed on; 0 (default) is as many as threads.
    pub decode_threads: u32,
    /// A brooklet_kv_type.
    pub kv_type: i32,
    /// 1: prompts go in parts of 32 tokens, not 128 or more, and keys and values are not on large pages. Default 0.
    pub low_memory: i32,
}

// SAFETY: integers only, the first a usize, in C's order.
unsafe impl Growing for SessionOptions {
    const FIRST: usize = 2 * size_of::<usize>() + 16;
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            size: size_of::<Self>(),
            context: 0,
            threads: 0,
            decode_threads: 0,
            kv_type: KvType::Default as i32,
            low_memory: 0,
        }
    }
}

impl SessionOptions {
    /// As the library takes them.
    pub fn check(&self) -> Result<Options, Failure> {
        const KV_TYPES: [KvType; 4] = [KvType::Default, KvType::F16, KvType::F32, KvType::Q8];
        let low_memory = flag("low_memory", self.low_memory)?;
        let kv_type = match KV_TYPES.into_iter().find(|kv| *kv as i32 == self.kv_type) {
            Some(KvType::Default) if low_memory => TensorType::Q8_0,
            Some(KvType::Default | KvType::F16) => TensorType::F16,
            Some(KvType::F32) => TensorType::F32,
            Some(KvType::Q8) => TensorType::Q8_0,
            None => {
                return Err(Failure::argument("kv_type", "a brooklet_kv_type", self.kv_type.to_string()));
            }
        };
        Ok(Options {
            context: (self.context != 0).then_some(self.context),
            kv_type,
            threads: threads("threads", self.threads)?,
            decode_threads: threads("decode_threads", self.decode_threads)?,
            low_memory,
        })
    }
}

fn threads(name: &'static str, value: u32) -> Result<Option<usize>, Failure> {
    match value as usize {
        0 => Ok(None),
        n if n <= MAX_THREADS => Ok(Some(n)),
        n => Err(Failure::argument(name, format!("at most {MAX_THREADS}"), n.to_string())),
    }
}

/// Sets options to their defaults; size is sizeof(brooklet_model_options).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_model_options_init(options: *mut ModelOptions, size: usize) -> Status {
    // SAFETY: the header asks for a pointer to a struct of `size` bytes.
    guard(|| unsafe { init(options, size, ModelOptions::default()) })
}

/// Sets options to their defaults; size is sizeof(brooklet_session_options).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_options_init(options: *mut SessionOptions, size: usize) -> Status {
    // SAFETY: the header asks for a pointer to a struct of `size` bytes.
    guard(|| unsafe { init(options, size, SessionOptions::default()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing may ever be added where a caller's compiler put padding.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn structs_end_without_padding() {
        assert_eq!(size_of::<ModelOptions>(), ModelOptions::FIRST);
        assert_eq!(size_of::<SessionOptions>(), SessionOptions::FIRST);
    }

    /// The struct as a header of a later version has it.
    #[repr(C)]
    struct Later {
        known: SessionOptions,
        more: [u64; 2],
    }

    #[test]
    fn later_headers_work_while_they_ask_for_nothing_new() {
        let mut later = Later { known: SessionOptions { context: 5, ..Default::default() }, more: [7, 7] };
        // SAFETY: `later` is as long as its size says.
        unsafe {
            init((&raw mut later).cast::<SessionOptions>(), size_of::<Later>(), SessionOptions::default())
                .unwrap();
            assert_eq!((later.known.size, later.known.context, later.more), (size_of::<Later>(), 0, [0, 0]));
            later.known.context = 9;
            assert_eq!(read((&raw const later).cast::<SessionOptions>()).unwrap().context, 9);
            later.more[1] = 1;
            assert!(read((&raw const later).cast::<SessionOptions>()).is_err());
            for size in [0, 31, LARGEST + 1, usize::MAX] {
                later.known.size = size;
                assert!(read((&raw const later).cast::<SessionOptions>()).is_err(), "{size}");
            }
            assert_eq!(read(std::ptr::null::<SessionOptions>()).unwrap().context, 0);
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let base = SessionOptions::default;
        assert!(SessionOptions { kv_type: 4, ..base() }.check().is_err());
        assert!(SessionOptions { low_memory: 2, ..base() }.check().is_err());
        assert!(SessionOptions { threads: 513, ..base() }.check().is_err());
        let low = SessionOptions { low_memory: 1, threads: 512, ..base() }.check().unwrap();
        assert_eq!((low.kv_type, low.threads, low.context), (TensorType::Q8_0, Some(512), None));
        assert!(ModelOptions { read_ahead: -1, ..Default::default() }.read_ahead().is_err());
        assert!(ModelOptions { reserved: 1, ..Default::default() }.read_ahead().is_err());
    }
}
