// brooklet in JavaScript: the C library of ffi/include/brooklet.h, compiled to WebAssembly.
//
// Pointers and sizes are 32 bits wide and point into the module's memory, which holds the model: files of less than 2 GB.
// All runs in the caller's thread.

// Offsets of the fields of brooklet_sampling and brooklet_session_options that are set here, and the structs' sizes.
const SAMPLING = { size: 40, temperature: 4, topP: 8, minP: 12, repetitionPenalty: 16, topK: 20, seed: 32 };
const SESSION = { size: 24, context: 4, kvType: 16, lowMemory: 20 };
const KV_TYPES = { default: 0, f16: 1, f32: 2, q8_0: 3 };

const [STATUS_OK, STATUS_BUFFER] = [0, 3];

const encoder = new TextEncoder();

/** A call that failed, in the library's words. */
export class BrookletError extends Error {}

/**
 * Instantiates the library.
 *
 * @param {WebAssembly.Module} module what `tools/wasm build` makes
 * @param wasi an implementation of WASI preview 1 whose preopened folders hold the models, with node's interface
 * @returns {Promise<Brooklet>}
 */
export async function instantiate(module, wasi) {
    // node 20 may crash where WebAssembly calls its WASI directly (the fast calls of V8): a function in between keeps it
    // from doing so.
    const imports = {};
    for (const [namespace, functions] of Object.entries(wasi.getImportObject())) {
        const wrapped = Object.entries(functions).map(([name, call]) => [name, (...args) => call(...args)]);
        imports[namespace] = Object.fromEntries(wrapped);
    }
    const instance = await WebAssembly.instantiate(module, imports);
    wasi.initialize(instance);
    return new Brooklet(instance.exports);
}

/** The library's functions, without their prefix and with failures as exceptions. */
class Brooklet {
    constructor(exports) {
        this.exports = exports;
        // What functions write through their last one or two pointers.
        this.out = this.allocate(8);
    }

    // Memory grows under way, and then its buffer is another one: views are made for one use.
    view() {
        return new DataView(this.exports.memory.buffer);
    }

    word(at) {
        return this.view().getUint32(at, true);
    }

    text(at, length) {
        return new TextDecoder().decode(new Uint8Array(this.exports.memory.buffer, at, length));
    }

    allocate(length) {
        // WebAssembly's numbers have a sign, pointers have none.
        const at = this.exports.malloc(length) >>> 0;
        if (at === 0) {
            throw new BrookletError(`no memory for ${length} bytes`);
        }
        return at;
    }

    /** Calls `use(at, length)` with a text in the module's memory, which has a NUL behind it. */
    lend(text, use) {
        const encoded = encoder.encode(text);
        const at = this.allocate(encoded.length + 1);
        try {
            const bytes = new Uint8Array(this.exports.memory.buffer, at, encoded.length + 1);
            bytes.set(encoded);
            bytes[encoded.length] = 0;
            return use(at, encoded.length);
        } finally {
            this.exports.free(at);
        }
    }

    /** Calls a function that returns a status. */
    call(name, ...args) {
        this.check(this.exports[`brooklet_${name}`](...args));
    }

    check(status) {
        if (status !== STATUS_OK) {
            const at = this.exports.brooklet_last_error() >>> 0;
            const bytes = new Uint8Array(this.exports.memory.buffer, at);
            throw new BrookletError(this.text(at, bytes.indexOf(0)));
        }
    }

    /** As `call`, of a function that writes an object through one more pointer. */
    make(name, ...args) {
        this.call(name, ...args, this.out);
        return this.word(this.out);
    }

    /** As `call`, of a function that writes a text through two more pointers. */
    write(name, ...args) {
        this.call(name, ...args, this.out, this.out + 4);
        return this.text(this.word(this.out), this.word(this.out + 4));
    }

    /** Ids from a function that takes a buffer, its capacity and where to write how many there are. */
    ids(name, ...args) {
        // Asked with no room first, to learn how much it takes; that it does not fit is no failure.
        const status = this.exports[`brooklet_${name}`](...args, 0, 0, this.out);
        this.check(status === STATUS_BUFFER ? STATUS_OK : status);
        const count = this.word(this.out);
        const at = this.allocate(4 * Math.max(count, 1));
        try {
            this.call(name, ...args, at, count, this.out);
            return Array.from(new Uint32Array(this.exports.memory.buffer, at, count));
        } finally {
            this.exports.free(at);
        }
    }

    /**
     * Opens a GGUF file of a preopened folder.
     *
     * @param {string} path
     * @param {{context?: number, kvType?: "default" | "f16" | "f32" | "q8_0", lowMemory?: boolean}} options
     */
    open(path, options = {}) {
        return new Model(this, path, options);
    }
}

/** A model with one session, which keeps what a conversation's turns have in common. */
class Model {
    constructor(library, path, { context = 0, kvType = "default", lowMemory = false }) {
        if (!Object.hasOwn(KV_TYPES, kvType)) {
            throw new BrookletError(`kvType ${kvType}: expected one of ${Object.keys(KV_TYPES).join(", ")}`);
        }
        this.library = library;
        this.model = library.lend(path, (at) => library.make("model_open", at, 0));
        this.session = 0;
        const options = library.allocate(SESSION.size);
        try {
            library.call("session_options_init", options, SESSION.size);
            library.view().setUint32(options + SESSION.context, context, true);
            library.view().setInt32(options + SESSION.kvType, KV_TYPES[kvType], true);
            library.view().setInt32(options + SESSION.lowMemory, Number(lowMemory), true);
            this.session = library.make("session_new", this.model, options);
        } catch (error) {
            this.close();
            throw error;
        } finally {
            library.exports.free(options);
        }
    }

    /** Frees all that the model holds but the library itself. */
    close() {
        this.library.exports.brooklet_session_free(this.session);
        this.library.exports.brooklet_model_close(this.model);
    }

    /** How tokens are drawn: what is not given is what the model's file recommends. */
    setSampling({ temperature, topP, minP, repetitionPenalty, topK, seed }) {
        const { library } = this;
        const at = library.allocate(SAMPLING.size);
        try {
            library.call("sampling_init", at, SAMPLING.size, this.model);
            const view = library.view();
            for (const [field, value] of Object.entries({ temperature, topP, minP, repetitionPenalty })) {
                if (value !== undefined) {
                    view.setFloat32(at + SAMPLING[field], value, true);
                }
            }
            if (topK !== undefined) {
                view.setUint32(at + SAMPLING.topK, topK, true);
            }
            if (seed !== undefined) {
                view.setBigUint64(at + SAMPLING.seed, BigInt(seed), true);
            }
            library.call("session_set_sampling", this.session, at);
        } finally {
            library.exports.free(at);
        }
    }

    /** Makes the session hold exactly these ids; what it holds of their start is kept. */
    prompt(ids) {
        this.lendIds(ids, (at) => this.library.call("session_prompt", this.session, at, ids.length, 0));
    }

    lendIds(ids, use) {
        const at = this.library.allocate(4 * ids.length);
        try {
            new Uint32Array(this.library.exports.memory.buffer, at, ids.length).set(ids);
            use(at);
        } finally {
            this.library.exports.free(at);
        }
    }

    /** The ids of a text, with the token that begins one in front; control tokens in it are parsed. */
    tokenize(text) {
        return this.library.lend(text, (at, length) => this.library.ids("tokenize", this.model, at, length, 1, 1));
    }

    /** The logits after the last token. */
    logits() {
        this.library.call("session_logits", this.session, this.library.out, this.library.out + 4);
        const [at, length] = [this.library.word(this.library.out), this.library.word(this.library.out + 4)];
        return Float32Array.from(new Float32Array(this.library.exports.memory.buffer, at, length));
    }

    /**
     * The answer to a conversation, piece by piece.
     *
     * @param {{role: string, content: string}[]} messages as transformers takes them
     * @param {{tools?: object[], sampling?: object}} options schemas of functions that the model may call, and what
     *     `setSampling` takes
     * @returns {Generator<string>}
     */
    *chat(messages, { tools, sampling = {} } = {}) {
        const { library } = this;
        const { exports } = library;
        this.setSampling(sampling);
        const ids = library.lend(JSON.stringify(messages), (messagesAt, messagesLength) =>
            library.lend(tools ? JSON.stringify(tools) : "", (toolsAt, toolsLength) =>
                library.ids("chat_ids", this.model, messagesAt, messagesLength, tools ? toolsAt : 0, toolsLength, 1),
            ),
        );
        this.prompt(ids);
        const decoder = library.make("decoder_new", this.model, 0);
        try {
            while (exports.brooklet_session_position(this.session) < exports.brooklet_session_context(this.session)) {
                const id = library.make("session_sample", this.session);
                if (exports.brooklet_is_end(this.model, id)) {
                    break;
                }
                yield library.write("decoder_push", decoder, id);
                this.lendIds([id], (at) => library.call("session_feed", this.session, at, 1));
            }
            yield library.write("decoder_finish", decoder);
        } finally {
            exports.brooklet_decoder_free(decoder);
        }
    }
}
