/*
 * Asks a model one question and prints the answer as it comes.
 *
 *   cargo build --release -p brooklet-ffi
 *   cc -std=c99 -Iffi/include examples/chat.c -Ltarget/release -lbrooklet -o chat
 *   LD_LIBRARY_PATH=target/release ./chat model.gguf "Why is the sky blue?"
 */
#include "brooklet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program where a call failed. */
static void check(brooklet_status status) {
    if (status != BROOKLET_STATUS_OK) {
        fprintf(stderr, "chat: %s\n", brooklet_last_error());
        exit(1);
    }
}

/* A conversation of one message, as JSON. */
static char *conversation(const char *text) {
    static const char start[] = "[{\"role\": \"user\", \"content\": \"", end[] = "\"}]";
    char *json = malloc(sizeof start + 6 * strlen(text) + sizeof end);
    char *at = json;
    if (!json) {
        fprintf(stderr, "chat: no memory\n");
        exit(1);
    }
    at += sprintf(at, "%s", start);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\' || c < 0x20) {
            at += sprintf(at, "\\u%04x", c);
        } else {
            *at++ = (char)c;
        }
    }
    sprintf(at, "%s", end);
    return json;
}

int main(int argc, char **argv) {
    brooklet_model *model;
    brooklet_session *session;
    brooklet_decoder *decoder;
    uint32_t *ids, id;
    size_t count = 0, text_len;
    const char *text;
    char *messages;

    if (argc != 3) {
        fprintf(stderr, "usage: chat MODEL.gguf QUESTION\n");
        return 2;
    }
    check(brooklet_model_open(argv[1], NULL, &model));
    check(brooklet_session_new(model, NULL, &session));
    check(brooklet_decoder_new(model, false, &decoder));

    /* Asked with no room first, to learn how much it takes. */
    messages = conversation(argv[2]);
    brooklet_chat_ids(model, messages, strlen(messages), NULL, 0, true, NULL, 0, &count);
    ids = malloc((count + 1) * sizeof *ids);
    check(brooklet_chat_ids(model, messages, strlen(messages), NULL, 0, true, ids, ids ? count : 0, &count));
    check(brooklet_session_prompt(session, ids, count, NULL));

    while (brooklet_session_position(session) < brooklet_session_context(session)) {
        check(brooklet_session_sample(session, &id));
        if (brooklet_is_end(model, id)) {
            break;
        }
        check(brooklet_decoder_push(decoder, id, &text, &text_len));
        fwrite(text, 1, text_len, stdout);
        fflush(stdout);
        check(brooklet_session_feed(session, &id, 1));
    }
    check(brooklet_decoder_finish(decoder, &text, &text_len));
    fwrite(text, 1, text_len, stdout);
    putchar('\n');

    free(ids);
    free(messages);
    brooklet_decoder_free(decoder);
    brooklet_session_free(session);
    brooklet_model_close(model);
    return 0;
}
