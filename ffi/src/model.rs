//! A model with its tokenizer and chat template. Nothing in it changes, so threads share it.

use crate::border::{self, Buffer, Out};
use crate::failure::{Failure, Status, guard, guard_or};
use crate::options::{self, ModelOptions};
use brooklet::tokenizer::{Message, Special};
use brooklet::{ChatTemplate, Tokenizer, memory_available};
use serde_json::Value as Json;
use std::ffi::c_char;
use std::sync::Arc;

/// An open model with its tokenizer and chat template.
pub struct Model {
    pub(crate) model: Arc<brooklet::Model>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// A model whose template does not compile still completes text.
    template: Result<ChatTemplate, String>,
}

// Any number of threads may use one model at once.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Model>();
};

/// Opens a GGUF file, which stays mapped and must not be changed meanwhile, and checks all of it but the weights'
/// values. path is UTF-8 with a NUL behind it. options may be NULL. Writes the model to *model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_model_open(
    path: *const c_char,
    options: *const ModelOptions,
    model: *mut *mut Model,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a pointer.
        let out = unsafe { Out::new(model, "model") }?;
        out.set(std::ptr::null_mut());
        // SAFETY: the header asks for a string, and for options that were set up.
        let (path, options) = unsafe { (border::path(path)?, options::read(options)?) };
        let read_ahead = options.read_ahead()?;
        let model = Arc::new(brooklet::Model::open(path)?);
        let tokenizer = Arc::new(Tokenizer::from_gguf(model.gguf())?);
        let template = ChatTemplate::from_gguf(model.gguf(), &tokenizer).map_err(|e| e.to_string());
        if read_ahead && memory_available().is_none_or(|free| model.size_bytes() < free) {
            model.read_ahead();
        }
        out.set(Box::into_raw(Box::new(Model { model, tokenizer, template })));
        Ok(())
    })
}

/// Closes a model; NULL is nothing. Sessions and decoders made from it keep what they need and are freed on their own,
/// before or after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_model_close(model: *mut Model) {
    guard_or((), || {
        if !model.is_null() {
            // SAFETY: the header asks for what brooklet_model_open() gave, once, and no call with it under way.
            drop(unsafe { Box::from_raw(model) });
        }
        Ok(())
    })
}

/// The number of token ids, which is the number of logits; 0 where model is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_model_vocab_size(model: *const Model) -> usize {
    // SAFETY: the header asks for an open model.
    guard_or(0, || Ok(unsafe { border::object(model, "model") }?.model.config().vocab_size))
}

/// The largest context that the model was made for, in tokens; 0 where model is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_model_context_limit(model: *const Model) -> usize {
    // SAFETY: the header asks for an open model.
    guard_or(0, || Ok(unsafe { border::object(model, "model") }?.model.config().context_length))
}

/// Bytes of all weights; 0 where model is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_model_size_bytes(model: *const Model) -> u64 {
    // SAFETY: the header asks for an open model.
    guard_or(0, || Ok(unsafe { border::object(model, "model") }?.model.size_bytes()))
}

/// Whether an id ends an answer: do not feed it, and do not show it. false where model is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_is_end(model: *const Model, id: u32) -> bool {
    // SAFETY: the header asks for an open model.
    guard_or(false, || Ok(unsafe { border::object(model, "model") }?.tokenizer.eos_ids().contains(&id)))
}

/// Text to ids. With add_bos, the token that begins a text is put in front where the model wants one. With
/// parse_special, text that spells a control token ("<|im_end|>") becomes that token: only for text that you wrote
/// yourself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_tokenize(
    model: *const Model,
    text: *const c_char,
    text_len: usize,
    add_bos: bool,
    parse_special: bool,
    ids: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a number and a buffer of `capacity` ids.
        let out = unsafe { Buffer::new(ids, capacity, count) }?;
        // SAFETY: the header asks for an open model, and for a text of `text_len` bytes.
        let (model, text) =
            unsafe { (border::object(model, "model")?, border::text(text, text_len, "text")?) };
        let mut ids = model.tokenizer.encode(text, special(parse_special))?;
        if add_bos {
            model.tokenizer.ensure_bos(&mut ids);
        }
        out.fill("ids", &ids)
    })
}

/// Whether control tokens in a text count.
pub fn special(parse: bool) -> Special {
    if parse { Special::Parse } else { Special::Plain }
}

/// Ids to text, with a NUL behind it that needs room in the buffer and is not counted. With skip_special, control tokens
/// are left out. Bytes that are no UTF-8 become U+FFFD. For ids that come one after the other: brooklet_decoder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_detokenize(
    model: *const Model,
    ids: *const u32,
    ids_len: usize,
    skip_special: bool,
    text: *mut c_char,
    capacity: usize,
    count: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a number and a buffer of `capacity` bytes.
        let out = unsafe { Buffer::new(text, capacity, count) }?;
        // SAFETY: the header asks for an open model, and for `ids_len` ids.
        let (model, ids) = unsafe { (border::object(model, "model")?, border::slice(ids, ids_len, "ids")?) };
        out.fill_text(&model.tokenizer.decode(ids, skip_special)?)
    })
}

/// A conversation in the model's chat template, as ids with the token that begins a text in front: what
/// brooklet_session_prompt() takes. Text inside messages and tools never becomes a control token.
///
/// messages is a JSON array of {"role": "system" | "user" | "assistant" | "tool", "content": …}, as transformers takes
/// them. tools is a JSON array of the schemas of functions that the model may call, or NULL with a length of 0. With
/// add_generation_prompt, the model's turn is begun.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_chat_ids(
    model: *const Model,
    messages: *const c_char,
    messages_len: usize,
    tools: *const c_char,
    tools_len: usize,
    add_generation_prompt: bool,
    ids: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a number and a buffer of `capacity` ids.
        let out = unsafe { Buffer::new(ids, capacity, count) }?;
        // SAFETY: the header asks for an open model and for texts as long as it is told.
        let model = unsafe { border::object(model, "model") }?;
        // SAFETY: as above.
        let (template, messages, tools) = unsafe { chat(model, messages, messages_len, tools, tools_len) }?;
        out.fill("ids", &template.encode(&model.tokenizer, &messages, tools.as_ref(), add_generation_prompt)?)
    })
}

/// As brooklet_chat_ids(), as text with a NUL behind it that needs room and is not counted: to look at. Text that is
/// tokenized again cannot tell control tokens from a message that spells one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_chat_text(
    model: *const Model,
    messages: *const c_char,
    messages_len: usize,
    tools: *const c_char,
    tools_len: usize,
    add_generation_prompt: bool,
    text: *mut c_char,
    capacity: usize,
    count: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a number and a buffer of `capacity` bytes.
        let out = unsafe { Buffer::new(text, capacity, count) }?;
        // SAFETY: the header asks for an open model and for texts as long as it is told.
        let model = unsafe { border::object(model, "model") }?;
        // SAFETY: as above.
        let (template, messages, tools) = unsafe { chat(model, messages, messages_len, tools, tools_len) }?;
        out.fill_text(&template.render(&messages, tools.as_ref(), add_generation_prompt)?)
    })
}

/// The template, and the conversation out of its JSON.
///
/// # Safety
/// The texts must be there, as long as their lengths say.
unsafe fn chat(
    model: &Model,
    messages: *const c_char,
    messages_len: usize,
    tools: *const c_char,
    tools_len: usize,
) -> Result<(&ChatTemplate, Vec<Message>, Option<Json>), Failure> {
    // SAFETY: by the contract.
    let (messages, tools) = unsafe {
        (border::text(messages, messages_len, "messages")?, border::text(tools, tools_len, "tools")?)
    };
    let template = model.template.as_ref().map_err(|e| Failure::Template(e.clone()))?;
    let messages = serde_json::from_str(messages).map_err(|e| {
        Failure::argument("messages", r#"a JSON array of {"role": …, "content": …}"#, e.to_string())
    })?;
    if tools.is_empty() {
        return Ok((template, messages, None));
    }
    const TOOLS: &str = "a JSON array of objects, each a function's schema";
    let parsed: Json =
        serde_json::from_str(tools).map_err(|e| Failure::argument("tools", TOOLS, e.to_string()))?;
    if !parsed.as_array().is_some_and(|tools| tools.iter().all(Json::is_object)) {
        return Err(Failure::argument("tools", TOOLS, "other JSON"));
    }
    Ok((template, messages, Some(parsed)))
}
