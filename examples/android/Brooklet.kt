package brooklet

import java.io.File

/** brooklet_jni.c. Texts are UTF-8, handles are pointers. */
internal object Native {
    init {
        System.loadLibrary("brooklet_jni")
    }

    external fun openModel(path: ByteArray): Long
    external fun closeModel(model: Long)
    external fun newSession(model: Long, context: Int, threads: Int, lowMemory: Boolean): Long
    external fun freeSession(session: Long)
    external fun prompt(session: Long, messages: ByteArray)
    external fun next(session: Long): ByteArray?
    external fun abort(session: Long)
    external fun resume(session: Long)
}

/**
 * A model with one conversation. Opening, [prompt], [next] and [close] take time: not for the main thread.
 * [abort] and [resume] return at once and may be called from any thread at any time.
 */
class Brooklet(file: File, context: Int = 2048, threads: Int = bigCores(), lowMemory: Boolean = true) : AutoCloseable {
    private val calls = Any() // held by the one call that runs
    private val life = Any() // held while the handles are looked at or freed
    private val model = Native.openModel(file.path.toByteArray())
    private var session = 0L

    init {
        try {
            session = Native.newSession(model, context, threads, lowMemory)
        } finally {
            if (session == 0L) Native.closeModel(model)
        }
    }

    /**
     * Takes the whole conversation, `[{"role": "user", "content": "…"}, …]`; only what is new is computed.
     * After an abort, the same call goes on where it stopped.
     */
    fun prompt(messagesJson: String) = synchronized(calls) { Native.prompt(handle(), messagesJson.toByteArray()) }

    /** The next piece of the answer, null at its end. A full context is an IllegalStateException. */
    fun next(): String? = synchronized(calls) { Native.next(handle())?.toString(Charsets.UTF_8) }

    /** Ends the call that runs, and every later one, with a java.util.concurrent.CancellationException. */
    fun abort() = synchronized(life) { if (session != 0L) Native.abort(session) }

    /** Takes [abort] back. */
    fun resume() = synchronized(life) { if (session != 0L) Native.resume(session) }

    /** Aborts, waits for the call that runs, and frees everything. */
    override fun close() {
        abort()
        synchronized(calls) {
            synchronized(life) {
                if (session == 0L) return
                Native.freeSession(session)
                session = 0L
                Native.closeModel(model)
            }
        }
    }

    private fun handle(): Long = synchronized(life) { check(session != 0L) { "this Brooklet is closed" }; session }

    companion object {
        /** Cores faster than the slowest kind; all of them where there is one kind, 0 (brooklet's choice) where none tells. */
        fun bigCores(): Int {
            val speeds = (0 until Runtime.getRuntime().availableProcessors()).mapNotNull { core ->
                val path = "/sys/devices/system/cpu/cpu$core/cpufreq/cpuinfo_max_freq"
                runCatching { File(path).readText().trim().toLong() }.getOrNull()
            }
            val slowest = speeds.minOrNull() ?: return 0
            return speeds.count { it > slowest }.takeIf { it > 0 } ?: speeds.size
        }
    }
}
