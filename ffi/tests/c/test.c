/* Every function of brooklet.h, called as C calls it: tools/check-ffi builds and runs this on the demo model. */
#define _POSIX_C_SOURCE 200112L
#include "brooklet.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: not so: %s\nlast error: %s\n", __FILE__, __LINE__, #what, brooklet_last_error()); \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define OK(call) CHECK((call) == BROOKLET_STATUS_OK)
/* A call that must fail so, with a text that holds these words. */
#define FAILS(status, words, call)                                                                                     \
    do {                                                                                                               \
        CHECK((call) == (status));                                                                                     \
        CHECK(strstr(brooklet_last_error(), words) != NULL);                                                           \
    } while (0)

enum { ROOM = 4096 };

static const char MESSAGES[] = "[{\"role\": \"user\", \"content\": \"Set a timer for ten minutes, please.\"}]";
static const char TOOLS[] = "[{\"name\": \"set_timer\", \"description\": \"Starts a timer\", \"parameters\": {}}]";

static brooklet_model *model;
static uint32_t prompt[ROOM];
static size_t prompt_len;

static brooklet_session *new_session(size_t context, bool greedy) {
    brooklet_session_options options;
    brooklet_session *session = NULL;
    OK(brooklet_session_options_init(&options, sizeof options));
    options.context = context;
    options.threads = 2;
    options.kv_type = BROOKLET_KV_TYPE_F32;
    OK(brooklet_session_new(model, &options, &session));
    if (greedy) {
        brooklet_sampling sampling;
        OK(brooklet_sampling_init(&sampling, sizeof sampling, model));
        sampling.temperature = 0;
        sampling.repetition_penalty = 1;
        OK(brooklet_session_set_sampling(session, &sampling));
    }
    return session;
}

/* The answer to what the session holds, up to so many tokens. */
static size_t answer(brooklet_session *session, uint32_t *ids, size_t most) {
    size_t n = 0;
    while (n < most) {
        uint32_t id;
        OK(brooklet_session_sample(session, &id));
        if (brooklet_is_end(model, id)) {
            break;
        }
        ids[n++] = id;
        OK(brooklet_session_feed(session, &id, 1));
    }
    return n;
}

static void opening(const char *path) {
    brooklet_model_options options;
    brooklet_model *other = NULL;
    CHECK(strlen(brooklet_version()) >= 5 && strcmp(brooklet_last_error(), "") == 0);
    FAILS(BROOKLET_STATUS_IO, "/no/such.gguf", brooklet_model_open("/no/such.gguf", NULL, &other));
    FAILS(BROOKLET_STATUS_ARGUMENT, "path", brooklet_model_open(NULL, NULL, &other));
    FAILS(BROOKLET_STATUS_ARGUMENT, "model", brooklet_model_open(path, NULL, NULL));
    FAILS(BROOKLET_STATUS_FILE, "GGUF", brooklet_model_open(__FILE__, NULL, &other));
    CHECK(other == NULL);
    OK(brooklet_model_options_init(&options, sizeof options));
    CHECK(options.size == sizeof options && options.read_ahead == 1);
    options.read_ahead = 0;
    OK(brooklet_model_open(path, &options, &model));
    CHECK(brooklet_model_vocab_size(model) == 4096);
    CHECK(brooklet_model_context_limit(model) >= 512 && brooklet_model_size_bytes(model) > 1000000);
    CHECK(brooklet_model_vocab_size(NULL) == 0 && brooklet_model_size_bytes(NULL) == 0);
    CHECK(brooklet_model_context_limit(NULL) == 0 && !brooklet_is_end(NULL, 0) && !brooklet_is_end(model, UINT32_MAX));
}

static void texts(void) {
    const char text[] = "caf\xc3\xa9 \xf0\x9f\x8c\x8a <|im_end|>";
    uint32_t ids[64], plain[64];
    size_t count = 0, plain_count = 0, len = 0, got = 0;
    char back[256], streamed[256] = "";
    brooklet_decoder *decoder = NULL;

    FAILS(BROOKLET_STATUS_BUFFER, "", brooklet_tokenize(model, text, strlen(text), true, true, NULL, 0, &count));
    OK(brooklet_tokenize(model, text, strlen(text), true, true, ids, 64, &len));
    CHECK(len == count && brooklet_is_end(model, ids[len - 1]));
    OK(brooklet_tokenize(model, text, strlen(text), false, false, plain, 64, &plain_count));
    CHECK(plain_count > count && !brooklet_is_end(model, plain[plain_count - 1]));
    FAILS(BROOKLET_STATUS_ARGUMENT, "UTF-8", brooklet_tokenize(model, "\xff", 1, false, false, ids, 64, &len));
    FAILS(BROOKLET_STATUS_ARGUMENT, "text", brooklet_tokenize(model, NULL, 3, false, false, ids, 64, &len));

    OK(brooklet_detokenize(model, plain, plain_count, false, back, sizeof back, &len));
    CHECK(len == strlen(text) && strcmp(back, text) == 0);
    FAILS(BROOKLET_STATUS_BUFFER, "", brooklet_detokenize(model, plain, plain_count, false, back, len, &got));
    CHECK(got == len);

    OK(brooklet_decoder_new(model, false, &decoder));
    for (size_t i = 0; i < plain_count; i++) {
        const char *piece;
        OK(brooklet_decoder_push(decoder, plain[i], &piece, &len));
        CHECK(strlen(piece) == len);
        strcat(streamed, piece);
    }
    const char *rest;
    OK(brooklet_decoder_finish(decoder, &rest, &len));
    CHECK(len == 0 && strcmp(streamed, text) == 0);
    FAILS(BROOKLET_STATUS_ARGUMENT, "decoder", brooklet_decoder_push(NULL, 0, &rest, &len));
    brooklet_decoder_free(decoder);
    brooklet_decoder_free(NULL);

    OK(brooklet_chat_ids(model, MESSAGES, strlen(MESSAGES), NULL, 0, true, prompt, ROOM, &prompt_len));
    OK(brooklet_chat_ids(model, MESSAGES, strlen(MESSAGES), TOOLS, strlen(TOOLS), true, prompt + prompt_len,
                         ROOM - prompt_len, &len));
    CHECK(len > prompt_len + 10);
    char written[ROOM];
    OK(brooklet_chat_text(model, MESSAGES, strlen(MESSAGES), NULL, 0, true, written, sizeof written, &len));
    CHECK(strlen(written) == len && strstr(written, "<|im_start|>user\nSet a timer") != NULL);
    FAILS(BROOKLET_STATUS_ARGUMENT, "messages",
          brooklet_chat_ids(model, "[{", 2, NULL, 0, true, prompt + prompt_len, ROOM - prompt_len, &len));
}

static void sessions(const char *folder) {
    uint32_t first[64], second[64], id = 0;
    size_t n, kept = 99, len, vocab = brooklet_model_vocab_size(model);
    const float *logits;
    const uint32_t *held;
    brooklet_session *session = new_session(512, true), *fork = NULL, *tiny = new_session(4, true);
    char path[ROOM];

    CHECK(brooklet_session_context(session) == 512 && brooklet_session_position(session) == 0);
    FAILS(BROOKLET_STATUS_ARGUMENT, "", brooklet_session_feed(session, NULL, 0));
    id = UINT32_MAX;
    FAILS(BROOKLET_STATUS_ARGUMENT, "4294967295", brooklet_session_feed(session, &id, 1));
    FAILS(BROOKLET_STATUS_CONTEXT_FULL, "context of 4", brooklet_session_feed(tiny, prompt, prompt_len));
    brooklet_session_free(tiny);

    OK(brooklet_session_prompt(session, prompt, prompt_len, &kept));
    CHECK(kept == 0 && brooklet_session_position(session) == prompt_len);
    OK(brooklet_session_logits(session, &logits, &len));
    CHECK(len == vocab && isfinite(logits[0]) && isfinite(logits[vocab - 1]));
    OK(brooklet_session_fork(session, &fork));
    n = answer(session, first, 64);
    CHECK(n > 3 && n < 64);
    CHECK(answer(fork, second, 64) == n && memcmp(first, second, n * sizeof *first) == 0);
    OK(brooklet_detokenize(model, first, n, false, path, sizeof path, &len));
    puts(path);
    OK(brooklet_session_tokens(session, &held, &len));
    CHECK(len == prompt_len + n && memcmp(held, prompt, prompt_len * sizeof *held) == 0);

    /* The same prompt again: its start is kept. */
    OK(brooklet_session_prompt(session, prompt, prompt_len, &kept));
    CHECK(kept == prompt_len - 1 && brooklet_session_position(session) == prompt_len);

    /* What was saved goes on as what was there. */
    snprintf(path, sizeof path, "%s/session", folder);
    OK(brooklet_session_save(session, path));
    OK(brooklet_session_reset(session));
    CHECK(brooklet_session_position(session) == 0);
    OK(brooklet_session_load(session, path));
    CHECK(brooklet_session_position(session) == prompt_len);
    CHECK(answer(session, second, 64) == n && memcmp(first, second, n * sizeof *first) == 0);
    FAILS(BROOKLET_STATUS_FILE, __FILE__, brooklet_session_load(session, __FILE__));
    FAILS(BROOKLET_STATUS_IO, "/no/such", brooklet_session_load(session, "/no/such"));

    OK(brooklet_session_rollback(session, prompt_len));
    CHECK(answer(session, second, 64) == n && memcmp(first, second, n * sizeof *first) == 0);
    FAILS(BROOKLET_STATUS_ARGUMENT, "", brooklet_session_rollback(session, 10000));

    OK(brooklet_session_reset(session));
    OK(brooklet_session_feed_text(session, "hello", 5, false));
    CHECK(brooklet_session_position(session) >= 2);

    brooklet_session_free(fork);
    brooklet_session_free(session);
    brooklet_session_free(NULL);
}

static void sampling(void) {
    brooklet_sampling sampling, bad;
    brooklet_session *session = new_session(512, false);
    uint32_t a[16], b[16];
    char larger[sizeof sampling + 8];
    OK(brooklet_sampling_init(&sampling, sizeof sampling, NULL));
    CHECK(fabsf(sampling.temperature - 0.3f) < 1e-6f && fabsf(sampling.repetition_penalty - 1.05f) < 1e-6f);
    sampling.temperature = 5;
    sampling.min_p = 0;
    sampling.seed = 7;
    for (int turn = 0; turn < 2; turn++) {
        /* From nothing each time: a prompt that is partly known is computed in other pieces, which round otherwise, and at
         * this temperature a draw may hang on it. */
        OK(brooklet_session_reset(session));
        OK(brooklet_session_prompt(session, prompt, prompt_len, NULL));
        OK(brooklet_session_set_sampling(session, &sampling));
        for (int i = 0; i < 16; i++) {
            OK(brooklet_session_sample(session, turn ? &b[i] : &a[i]));
        }
    }
    CHECK(memcmp(a, b, sizeof a) == 0);
    bad = sampling;
    bad.top_p = 0;
    FAILS(BROOKLET_STATUS_ARGUMENT, "top_p", brooklet_session_set_sampling(session, &bad));
    bad = sampling;
    bad.size = 3;
    FAILS(BROOKLET_STATUS_ARGUMENT, "size", brooklet_session_set_sampling(session, &bad));
    /* A later version's struct: what this one does not know must be 0. */
    memset(larger, 0, sizeof larger);
    memcpy(larger, &sampling, sizeof sampling);
    size_t size = sizeof larger;
    memcpy(larger, &size, sizeof size);
    OK(brooklet_session_set_sampling(session, (const brooklet_sampling *)(const void *)larger));
    larger[sizeof larger - 1] = 1;
    CHECK(brooklet_session_set_sampling(session, (const brooklet_sampling *)(const void *)larger) ==
          BROOKLET_STATUS_ARGUMENT);
    FAILS(BROOKLET_STATUS_ARGUMENT, "session", brooklet_session_sample(NULL, a));
    brooklet_session_free(session);
}

/* Feeds until it is stopped: there is more to feed than the other thread lets through. */
static void *feed(void *of) {
    brooklet_session *session = of;
    brooklet_status status = BROOKLET_STATUS_OK;
    while (status == BROOKLET_STATUS_OK) {
        status = brooklet_session_feed(session, prompt, prompt_len);
        if (status == BROOKLET_STATUS_CONTEXT_FULL) {
            status = brooklet_session_reset(session);
        }
    }
    CHECK(status == BROOKLET_STATUS_ABORTED);
    return NULL;
}

static void threads(void) {
    brooklet_session *session = new_session(512, true);
    pthread_t thread;
    uint32_t id;
    CHECK(pthread_create(&thread, NULL, feed, session) == 0);
    while (brooklet_session_position(session) == 0) {
    }
    OK(brooklet_session_abort(session));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(brooklet_session_sample(session, &id) == BROOKLET_STATUS_ABORTED);
    CHECK(brooklet_session_feed(session, prompt, 1) == BROOKLET_STATUS_ABORTED);
    OK(brooklet_session_resume(session));
    OK(brooklet_session_prompt(session, prompt, prompt_len, NULL));
    OK(brooklet_session_sample(session, &id));
    brooklet_session_free(session);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: test MODEL FOLDER\n");
        return 2;
    }
    opening(argv[1]);
    texts();
    sessions(argv[2]);
    sampling();
    threads();
    brooklet_model_close(model);
    brooklet_model_close(NULL);
    return 0;
}
