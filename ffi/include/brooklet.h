/*
 brooklet in C. Made by cbindgen of ffi/src; not to be edited.

 Threads: any number may use one model at once. A session or decoder serves one call at a time, from any thread; a second
 one meanwhile gets BROOKLET_STATUS_BUSY. brooklet_session_abort(), _resume(), _position() and _context() may be called
 at any time. What frees or closes may not run beside any other call with the same object.

 Memory: what _new, _fork and _open give is freed by _free and _close, once. Texts come with a length in bytes and need
 no NUL, but for paths. A buffer that is too small gets nothing, and its count says what it takes: ask with a capacity
 of 0 first. Null and misaligned pointers and impossible lengths are errors; a pointer that stands for nothing, or for
 something freed, cannot be told.

 No panic crosses into C: it becomes BROOKLET_STATUS_INTERNAL.
*/

#ifndef BROOKLET_H
#define BROOKLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 How a call went. Whatever is not BROOKLET_STATUS_OK has a text: brooklet_last_error().
 */
typedef enum brooklet_status {
    /*
     It did what was asked.
     */
    BROOKLET_STATUS_OK = 0,
    /*
     brooklet_session_abort() stopped it.
     */
    BROOKLET_STATUS_ABORTED = 1,
    /*
     An argument makes no sense: null, not UTF-8, out of range, no JSON.
     */
    BROOKLET_STATUS_ARGUMENT = 2,
    /*
     The caller's buffer is too small. Its count says what is needed, nothing was written to it.
     */
    BROOKLET_STATUS_BUFFER = 3,
    /*
     The operating system refused to read or write a file.
     */
    BROOKLET_STATUS_IO = 4,
    /*
     A file is none that brooklet runs or loads: a model, its tokenizer, a saved session.
     */
    BROOKLET_STATUS_FILE = 5,
    /*
     The chat template does not compile, or refuses the conversation.
     */
    BROOKLET_STATUS_TEMPLATE = 6,
    /*
     The tokens do not fit the session's context.
     */
    BROOKLET_STATUS_CONTEXT_FULL = 7,
    /*
     The system has no memory or no threads for a session.
     */
    BROOKLET_STATUS_MEMORY = 8,
    /*
     Another thread is inside a call with the same object.
     */
    BROOKLET_STATUS_BUSY = 9,
    /*
     An earlier call on the object ended with BROOKLET_STATUS_INTERNAL: all that is left is to free it.
     */
    BROOKLET_STATUS_POISONED = 10,
    /*
     A mistake in brooklet itself, caught. Please report it with its text.
     */
    BROOKLET_STATUS_INTERNAL = 11,
} brooklet_status;

/*
 How attention keys and values are stored.
 */
typedef enum brooklet_kv_type {
    /*
     F16, or Q8_0 with low_memory.
     */
    BROOKLET_KV_TYPE_DEFAULT = 0,
    /*
     Half precision.
     */
    BROOKLET_KV_TYPE_F16 = 1,
    /*
     Single precision: exact, twice the memory.
     */
    BROOKLET_KV_TYPE_F32 = 2,
    /*
     8 bits and a scale for 32: half the memory.
     */
    BROOKLET_KV_TYPE_Q8 = 3,
} brooklet_kv_type;

/*
 Ids to text as they come, never half a character.
 */
typedef struct brooklet_decoder brooklet_decoder;

/*
 An open model with its tokenizer and chat template.
 */
typedef struct brooklet_model brooklet_model;

/*
 What the model has read so far, and how the next token is drawn.
 */
typedef struct brooklet_session brooklet_session;

/*
 How a model is opened. Set up with brooklet_model_options_init().
 */
typedef struct brooklet_model_options {
    /*
     Bytes of this struct, as the init function sets it.
     */
    size_t size;
    /*
     1 (default): start to read the weights in the background where memory has room for them. 0: read each when it is
     first used; the first answer is slower, and nothing is read in vain.
     */
    int32_t read_ahead;
    /*
     0.
     */
    int32_t reserved;
} brooklet_model_options;

/*
 How a session is set up. Set up with brooklet_session_options_init().
 */
typedef struct brooklet_session_options {
    /*
     Bytes of this struct, as the init function sets it.
     */
    size_t size;
    /*
     Tokens that prompt and answers may take together; 0 (default) is the smaller of the model's own and 4,096. Memory
     is taken as it is used.
     */
    size_t context;
    /*
     Threads that a prompt is computed on; 0 (default) is one a physical core. On phones: as many as there are big
     cores.
     */
    uint32_t threads;
    /*
     Threads that single tokens are computed on; 0 (default) is as many as threads.
     */
    uint32_t decode_threads;
    /*
     A brooklet_kv_type.
     */
    int32_t kv_type;
    /*
     1: prompts go in parts of 32 tokens, not 128 or more, and keys and values are not on large pages. Default 0.
     */
    int32_t low_memory;
} brooklet_session_options;

/*
 How tokens are drawn. Set up with brooklet_sampling_init().
 */
typedef struct brooklet_sampling {
    /*
     Bytes of this struct, as the init function sets it.
     */
    size_t size;
    /*
     Randomness, at least 0; 0 always takes the likeliest token.
     */
    float temperature;
    /*
     Draw from the smallest set of likeliest tokens that reaches this probability, above 0; 1 is no limit.
     */
    float top_p;
    /*
     Draw only tokens at least this fraction as likely as the likeliest, 0 to 1; 0 is no limit.
     */
    float min_p;
    /*
     Penalty on tokens that the session already holds, above 0; 1 is none.
     */
    float repetition_penalty;
    /*
     Draw from the so many likeliest tokens; 0 is no limit.
     */
    uint32_t top_k;
    /*
     0.
     */
    uint32_t reserved;
    /*
     The same seed draws the same tokens.
     */
    uint64_t seed;
} brooklet_sampling;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 brooklet's version, such as "0.1.0".
 */
const char *brooklet_version(void);

/*
 Why the last failed call of this thread failed, in English; "" before the first. The text says what was expected,
 what was found and what to do. It is valid until the thread's next call that fails.
 */
const char *brooklet_last_error(void);

/*
 Sets options to their defaults; size is sizeof(brooklet_model_options).
 */
enum brooklet_status brooklet_model_options_init(struct brooklet_model_options *options, size_t size);

/*
 Sets options to their defaults; size is sizeof(brooklet_session_options).
 */
enum brooklet_status brooklet_session_options_init(struct brooklet_session_options *options, size_t size);

/*
 Sets sampling to what the model's file recommends, else to the LFM2 authors' values (for all of them if model is
 NULL), with a random seed; size is sizeof(brooklet_sampling).
 */
enum brooklet_status brooklet_sampling_init(struct brooklet_sampling *sampling,
                                            size_t size,
                                            const struct brooklet_model *model);

/*
 Opens a GGUF file, which stays mapped and must not be changed meanwhile, and checks all of it but the weights'
 values. path is UTF-8 with a NUL behind it. options may be NULL. Writes the model to *model.
 */
enum brooklet_status brooklet_model_open(const char *path,
                                         const struct brooklet_model_options *options,
                                         struct brooklet_model **model);

/*
 Closes a model; NULL is nothing. Sessions and decoders made from it keep what they need and are freed on their own,
 before or after.
 */
void brooklet_model_close(struct brooklet_model *model);

/*
 The number of token ids, which is the number of logits; 0 where model is NULL.
 */
size_t brooklet_model_vocab_size(const struct brooklet_model *model);

/*
 The largest context that the model was made for, in tokens; 0 where model is NULL.
 */
size_t brooklet_model_context_limit(const struct brooklet_model *model);

/*
 Bytes of all weights; 0 where model is NULL.
 */
uint64_t brooklet_model_size_bytes(const struct brooklet_model *model);

/*
 Whether an id ends an answer: do not feed it, and do not show it. false where model is NULL.
 */
bool brooklet_is_end(const struct brooklet_model *model, uint32_t id);

/*
 Text to ids. With add_bos, the token that begins a text is put in front where the model wants one. With
 parse_special, text that spells a control token ("<|im_end|>") becomes that token: only for text that you wrote
 yourself.
 */
enum brooklet_status brooklet_tokenize(const struct brooklet_model *model,
                                       const char *text,
                                       size_t text_len,
                                       bool add_bos,
                                       bool parse_special,
                                       uint32_t *ids,
                                       size_t capacity,
                                       size_t *count);

/*
 Ids to text, with a NUL behind it that needs room in the buffer and is not counted. With skip_special, control tokens
 are left out. Bytes that are no UTF-8 become U+FFFD. For ids that come one after the other: brooklet_decoder.
 */
enum brooklet_status brooklet_detokenize(const struct brooklet_model *model,
                                         const uint32_t *ids,
                                         size_t ids_len,
                                         bool skip_special,
                                         char *text,
                                         size_t capacity,
                                         size_t *count);

/*
 A conversation in the model's chat template, as ids with the token that begins a text in front: what
 brooklet_session_prompt() takes. Text inside messages and tools never becomes a control token.

 messages is a JSON array of {"role": "system" | "user" | "assistant" | "tool", "content": …}, as transformers takes
 them. tools is a JSON array of the schemas of functions that the model may call, or NULL with a length of 0. With
 add_generation_prompt, the model's turn is begun.
 */
enum brooklet_status brooklet_chat_ids(const struct brooklet_model *model,
                                       const char *messages,
                                       size_t messages_len,
                                       const char *tools,
                                       size_t tools_len,
                                       bool add_generation_prompt,
                                       uint32_t *ids,
                                       size_t capacity,
                                       size_t *count);

/*
 As brooklet_chat_ids(), as text with a NUL behind it that needs room and is not counted: to look at. Text that is
 tokenized again cannot tell control tokens from a message that spells one.
 */
enum brooklet_status brooklet_chat_text(const struct brooklet_model *model,
                                        const char *messages,
                                        size_t messages_len,
                                        const char *tools,
                                        size_t tools_len,
                                        bool add_generation_prompt,
                                        char *text,
                                        size_t capacity,
                                        size_t *count);

/*
 Begins a text. With skip_special, control tokens yield nothing. Writes the decoder to *decoder.
 */
enum brooklet_status brooklet_decoder_new(const struct brooklet_model *model,
                                          bool skip_special,
                                          struct brooklet_decoder **decoder);

/*
 Frees a decoder; NULL is nothing.
 */
void brooklet_decoder_free(struct brooklet_decoder *decoder);

/*
 The text that an id completes, whole UTF-8 characters of *text_len bytes, possibly none, with a NUL behind them.
 *text is the decoder's: valid until the next call with it. (A NUL that the model itself wrote comes as U+FFFD.)
 */
enum brooklet_status brooklet_decoder_push(const struct brooklet_decoder *decoder,
                                           uint32_t id,
                                           const char **text,
                                           size_t *text_len);

/*
 What is left at the end: a character whose last bytes never came, as U+FFFD. As brooklet_decoder_push() otherwise;
 the decoder can then begin another text.
 */
enum brooklet_status brooklet_decoder_finish(const struct brooklet_decoder *decoder,
                                             const char **text,
                                             size_t *text_len);

/*
 An empty session of a model. options may be NULL. Writes it to *session.
 */
enum brooklet_status brooklet_session_new(const struct brooklet_model *model,
                                          const struct brooklet_session_options *options,
                                          struct brooklet_session **session);

/*
 Frees a session; NULL is nothing. First let every call with it return, brooklet_session_abort() among them.
 */
void brooklet_session_free(struct brooklet_session *session);

/*
 A copy that goes on by itself, random numbers among it, to *fork. It shares the model and the threads: calls with the
 two from different threads wait for each other.
 */
enum brooklet_status brooklet_session_fork(const struct brooklet_session *from,
                                           struct brooklet_session **fork);

/*
 Forgets all tokens. Sampling and its random numbers stay.
 */
enum brooklet_status brooklet_session_reset(const struct brooklet_session *of);

/*
 Takes ids, after those that the session holds: a prompt (prefill), or the token that was drawn (decode).
 BROOKLET_STATUS_ABORTED leaves what was taken until then; other errors take nothing.
 */
enum brooklet_status brooklet_session_feed(const struct brooklet_session *to,
                                           const uint32_t *ids,
                                           size_t ids_len);

/*
 As brooklet_session_feed(), with the ids of a text as brooklet_tokenize() gives them; the token that begins a text is
 put in front where the session is empty and the model wants one.
 */
enum brooklet_status brooklet_session_feed_text(const struct brooklet_session *to,
                                                const char *text,
                                                size_t text_len,
                                                bool parse_special);

/*
 Makes the session hold exactly these ids. What it holds already of their start is kept, the rest is forgotten, and
 only what is new is computed: give the whole conversation for every turn. *kept, if not NULL, gets how many ids were
 kept, one less than ids_len at most. After BROOKLET_STATUS_ABORTED, the same call goes on where it stopped.
 */
enum brooklet_status brooklet_session_prompt(const struct brooklet_session *of,
                                             const uint32_t *ids,
                                             size_t ids_len,
                                             size_t *kept);

/*
 Sets how tokens are drawn, and begins the random numbers of its seed. Without it, a session draws as
 brooklet_sampling_init() says for its model.
 */
enum brooklet_status brooklet_session_set_sampling(const struct brooklet_session *of,
                                                   const struct brooklet_sampling *sampling);

/*
 Draws the next token from the logits, to *id. It is not part of the session before it is fed: look at it first
 (brooklet_is_end), show it (brooklet_decoder_push), then feed it.
 */
enum brooklet_status brooklet_session_sample(const struct brooklet_session *of,
                                             uint32_t *id);

/*
 The logits after the last token, brooklet_model_vocab_size() of them. They are the session's: valid until the next
 call with it that feeds, goes back, loads or frees.
 */
enum brooklet_status brooklet_session_logits(const struct brooklet_session *of,
                                             const float **logits,
                                             size_t *len);

/*
 The ids that the session holds. They are the session's: valid until the next call with it that feeds, goes back,
 loads or frees.
 */
enum brooklet_status brooklet_session_tokens(const struct brooklet_session *of,
                                             const uint32_t **ids,
                                             size_t *len);

/*
 How many tokens the session holds; 0 where session is NULL. Any thread may ask at any time: while a prompt is
 taken, it grows part by part.
 */
size_t brooklet_session_position(const struct brooklet_session *of);

/*
 How many tokens the session can hold; 0 where session is NULL. Any thread may ask at any time.
 */
size_t brooklet_session_context(const struct brooklet_session *of);

/*
 Forgets everything after the first position tokens. The logits are then those after the last one kept, but for the
 rounding of sums where it was taken alone or among a few.
 */
enum brooklet_status brooklet_session_rollback(const struct brooklet_session *of,
                                               size_t position);

/*
 Writes what the session holds to a file, which is replaced only when it is complete. path is UTF-8 with a NUL behind
 it. How tokens are drawn is not part of it.
 */
enum brooklet_status brooklet_session_save(const struct brooklet_session *of,
                                           const char *path);

/*
 Replaces what the session holds by what brooklet_session_save() wrote with the same model and kv_type. An error
 leaves the session as it was.
 */
enum brooklet_status brooklet_session_load(const struct brooklet_session *of,
                                           const char *path);

/*
 From any thread: the call that takes or draws tokens now, and every later one, ends with BROOKLET_STATUS_ABORTED,
 within the time of one token or of one part of a prompt (at most 192 tokens, with low_memory 32). It does not wait for that.
 */
enum brooklet_status brooklet_session_abort(const struct brooklet_session *of);

/*
 Takes brooklet_session_abort() back, from any thread: tokens can be taken and drawn again.
 */
enum brooklet_status brooklet_session_resume(const struct brooklet_session *of);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BROOKLET_H */
