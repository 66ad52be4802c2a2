/*
 * brooklet for Java and Kotlin: what Brooklet.kt calls. docs/phones.md says how an app builds it.
 *
 * Texts cross as byte[] of UTF-8: a JNI string is modified UTF-8, which spells NUL and everything beyond U+FFFF differently.
 * Handles are pointers. As in brooklet.h, what frees or closes may not run beside any other call with the same handle.
 */
#include "brooklet.h"

#include <jni.h>
#include <stdlib.h>
#include <string.h>

typedef struct conversation {
    const brooklet_model *model;
    brooklet_session *session;
    brooklet_decoder *decoder;
    uint32_t drawn;   /* a token that was shown and is not fed yet, */
    bool has_drawn;   /* if there is one */
    bool answering;   /* a prompt is set and its answer has not ended */
} conversation;

static void *pointer(jlong handle) {
    return (void *)(intptr_t)handle;
}

static jlong handle(const void *pointer) {
    return (jlong)(intptr_t)pointer;
}

static jbyteArray new_bytes(JNIEnv *env, const char *text, size_t len) {
    jbyteArray bytes = (*env)->NewByteArray(env, (jsize)len);
    if (bytes) {
        (*env)->SetByteArrayRegion(env, bytes, 0, (jsize)len, (const jbyte *)text);
    }
    return bytes;
}

/* Throws an exception with a text in UTF-8. Where Java has no memory for it, that is what is thrown. */
static void throw_text(JNIEnv *env, const char *class_name, const char *text) {
    jclass string_class, class;
    jmethodID make;
    jobject message, thrown;
    jstring charset = (*env)->NewStringUTF(env, "UTF-8");
    jbyteArray bytes = charset ? new_bytes(env, text, strlen(text)) : NULL;

    if (!bytes || !(string_class = (*env)->FindClass(env, "java/lang/String")) ||
        !(make = (*env)->GetMethodID(env, string_class, "<init>", "([BLjava/lang/String;)V")) ||
        !(message = (*env)->NewObject(env, string_class, make, bytes, charset)) ||
        !(class = (*env)->FindClass(env, class_name)) ||
        !(make = (*env)->GetMethodID(env, class, "<init>", "(Ljava/lang/String;)V")) ||
        !(thrown = (*env)->NewObject(env, class, make, message))) {
        return;
    }
    (*env)->Throw(env, (jthrowable)thrown);
}

/* Whether a call went well; throws where it did not. */
static bool ok(JNIEnv *env, brooklet_status status) {
    const char *class_name = "java/lang/IllegalStateException";
    switch (status) {
    case BROOKLET_STATUS_OK:
        return true;
    case BROOKLET_STATUS_ABORTED:
        class_name = "java/util/concurrent/CancellationException";
        break;
    case BROOKLET_STATUS_ARGUMENT:
    case BROOKLET_STATUS_TEMPLATE:
        class_name = "java/lang/IllegalArgumentException";
        break;
    case BROOKLET_STATUS_IO:
    case BROOKLET_STATUS_FILE:
        class_name = "java/io/IOException";
        break;
    case BROOKLET_STATUS_MEMORY:
        class_name = "java/lang/OutOfMemoryError";
        break;
    default:
        break;
    }
    throw_text(env, class_name, brooklet_last_error());
    return false;
}

/* Memory for count items of a size, at least one; throws where there is none. */
static void *allocate(JNIEnv *env, size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        throw_text(env, "java/lang/OutOfMemoryError", "no memory for the text of a call");
    }
    return memory;
}

/* A copy of a byte[] with a NUL behind it, to be freed; NULL where it throws. */
static char *copy_bytes(JNIEnv *env, jbyteArray bytes, size_t *len) {
    char *text;
    if (!bytes) {
        throw_text(env, "java/lang/IllegalArgumentException", "expected a byte[], found null");
        return NULL;
    }
    *len = (size_t)(*env)->GetArrayLength(env, bytes);
    text = allocate(env, *len + 1, 1);
    if (text) {
        (*env)->GetByteArrayRegion(env, bytes, 0, (jsize)*len, (jbyte *)text);
    }
    return text;
}

static void free_conversation(conversation *of) {
    if (of) {
        brooklet_decoder_free(of->decoder);
        brooklet_session_free(of->session);
        free(of);
    }
}

/* Opens a GGUF file. */
JNIEXPORT jlong JNICALL Java_brooklet_Native_openModel(JNIEnv *env, jobject self, jbyteArray path) {
    brooklet_model *model = NULL;
    size_t len;
    char *text = copy_bytes(env, path, &len);
    (void)self;
    if (text) {
        ok(env, brooklet_model_open(text, NULL, &model));
        free(text);
    }
    return handle(model);
}

/* Closes a model; first free its sessions. */
JNIEXPORT void JNICALL Java_brooklet_Native_closeModel(JNIEnv *env, jobject self, jlong model) {
    (void)env;
    (void)self;
    brooklet_model_close(pointer(model));
}

/* An empty session; 0 for context and threads is brooklet's default. */
JNIEXPORT jlong JNICALL Java_brooklet_Native_newSession(JNIEnv *env, jobject self, jlong model, jint context, jint threads,
                                                        jboolean low_memory) {
    brooklet_session_options options;
    conversation *made;
    (void)self;
    if (context < 0 || threads < 0) {
        throw_text(env, "java/lang/IllegalArgumentException", "context and threads must be at least 0");
        return 0;
    }
    if (!ok(env, brooklet_session_options_init(&options, sizeof options))) {
        return 0;
    }
    options.context = (size_t)context;
    options.threads = (uint32_t)threads;
    options.low_memory = low_memory ? 1 : 0;
    made = allocate(env, 1, sizeof *made);
    if (!made) {
        return 0;
    }
    made->model = pointer(model);
    if (!ok(env, brooklet_session_new(made->model, &options, &made->session)) ||
        !ok(env, brooklet_decoder_new(made->model, true, &made->decoder))) {
        free_conversation(made);
        return 0;
    }
    return handle(made);
}

/* Frees a session. */
JNIEXPORT void JNICALL Java_brooklet_Native_freeSession(JNIEnv *env, jobject self, jlong session) {
    (void)env;
    (void)self;
    free_conversation(pointer(session));
}

/* Takes a whole conversation, a JSON array of messages; only what is new since the last one is computed. */
JNIEXPORT void JNICALL Java_brooklet_Native_prompt(JNIEnv *env, jobject self, jlong session, jbyteArray messages) {
    conversation *of = pointer(session);
    size_t len, unused, count = 0;
    const char *rest;
    uint32_t *ids = NULL;
    char *text = copy_bytes(env, messages, &len);
    brooklet_status status;
    (void)self;
    if (!text) {
        return;
    }
    of->has_drawn = of->answering = false;

    /* Asked with no room first, to learn how much it takes. */
    status = brooklet_chat_ids(of->model, text, len, NULL, 0, true, NULL, 0, &count);
    if ((status == BROOKLET_STATUS_BUFFER || ok(env, status)) && (ids = allocate(env, count, sizeof *ids)) &&
        ok(env, brooklet_chat_ids(of->model, text, len, NULL, 0, true, ids, count, &count)) &&
        ok(env, brooklet_decoder_finish(of->decoder, &rest, &unused)) &&
        ok(env, brooklet_session_prompt(of->session, ids, count, NULL))) {
        of->answering = true;
    }
    free(ids);
    free(text);
}

/* The next piece of the answer, of one whole character or more, or null at its end. */
JNIEXPORT jbyteArray JNICALL Java_brooklet_Native_next(JNIEnv *env, jobject self, jlong session) {
    conversation *of = pointer(session);
    const char *text;
    size_t len = 0;
    (void)self;
    while (of->answering && len == 0) {
        if (of->has_drawn && !ok(env, brooklet_session_feed(of->session, &of->drawn, 1))) {
            return NULL;
        }
        of->has_drawn = false;
        if (!ok(env, brooklet_session_sample(of->session, &of->drawn))) {
            return NULL;
        }
        if (brooklet_is_end(of->model, of->drawn)) {
            of->answering = false;
            if (!ok(env, brooklet_decoder_finish(of->decoder, &text, &len))) {
                return NULL;
            }
        } else {
            of->has_drawn = true;
            if (!ok(env, brooklet_decoder_push(of->decoder, of->drawn, &text, &len))) {
                return NULL;
            }
        }
    }
    return len ? new_bytes(env, text, len) : NULL;
}

/* From any thread: ends the call that runs now and every later one with a CancellationException, until resume. */
JNIEXPORT void JNICALL Java_brooklet_Native_abort(JNIEnv *env, jobject self, jlong session) {
    (void)self;
    ok(env, brooklet_session_abort(((conversation *)pointer(session))->session));
}

/* Takes abort back. */
JNIEXPORT void JNICALL Java_brooklet_Native_resume(JNIEnv *env, jobject self, jlong session) {
    (void)self;
    ok(env, brooklet_session_resume(((conversation *)pointer(session))->session));
}
