//! Ids to text, one at a time.

use crate::border::{self, Out};
use crate::failure::{Failure, Status, c_string, guard, guard_or};
use crate::model::Model;
use crate::session::exclusive;
use brooklet::TokenDecoder;
use std::ffi::{CString, c_char};
use std::sync::Mutex;

/// Ids to text as they come, never half a character.
pub struct Decoder(Mutex<(TokenDecoder, CString)>);

impl Decoder {
    /// Runs a step and gives the caller its text, which stays with the decoder.
    fn step(
        &self,
        text: &Out<*const c_char>,
        len: &Out<usize>,
        step: impl FnOnce(&mut TokenDecoder) -> brooklet::Result<String>,
    ) -> Result<(), Failure> {
        exclusive(&self.0, "the decoder", |(decoder, last)| {
            *last = c_string(&step(decoder)?);
            text.set(last.as_ptr());
            len.set(last.as_bytes().len());
            Ok(())
        })
    }
}

/// Begins a text. With skip_special, control tokens yield nothing. Writes the decoder to *decoder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_decoder_new(
    model: *const Model,
    skip_special: bool,
    decoder: *mut *mut Decoder,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a pointer.
        let out = unsafe { Out::new(decoder, "decoder") }?;
        out.set(std::ptr::null_mut());
        // SAFETY: the header asks for an open model.
        let model = unsafe { border::object(model, "model") }?;
        let decoder = TokenDecoder::new(model.tokenizer.clone(), skip_special);
        out.set(Box::into_raw(Box::new(Decoder(Mutex::new((decoder, CString::default()))))));
        Ok(())
    })
}

/// Frees a decoder; NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_decoder_free(decoder: *mut Decoder) {
    guard_or((), || {
        if !decoder.is_null() {
            // SAFETY: the header asks for what brooklet_decoder_new() gave, once, and no call with it under way.
            drop(unsafe { Box::from_raw(decoder) });
        }
        Ok(())
    })
}

/// The text that an id completes, whole UTF-8 characters of *text_len bytes, possibly none, with a NUL behind them.
/// *text is the decoder's: valid until the next call with it. (A NUL that the model itself wrote comes as U+FFFD.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_decoder_push(
    decoder: *const Decoder,
    id: u32,
    text: *mut *const c_char,
    text_len: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for places for a pointer and a number.
        let (text, len) = unsafe { (Out::new(text, "text")?, Out::new(text_len, "text_len")?) };
        // SAFETY: the header asks for a decoder.
        unsafe { border::object(decoder, "decoder") }?.step(&text, &len, |decoder| decoder.push(id))
    })
}

/// What is left at the end: a character whose last bytes never came, as U+FFFD. As brooklet_decoder_push() otherwise;
/// the decoder can then begin another text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_decoder_finish(
    decoder: *const Decoder,
    text: *mut *const c_char,
    text_len: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for places for a pointer and a number.
        let (text, len) = unsafe { (Out::new(text, "text")?, Out::new(text_len, "text_len")?) };
        // SAFETY: the header asks for a decoder.
        unsafe { border::object(decoder, "decoder") }?.step(&text, &len, |decoder| Ok(decoder.finish()))
    })
}
