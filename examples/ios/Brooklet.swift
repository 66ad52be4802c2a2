import CBrooklet
import Foundation

/// A call of brooklet's that failed.
public struct BrookletError: LocalizedError {
    public let status: brooklet_status
    public let errorDescription: String?

    public var isAbort: Bool { status == BROOKLET_STATUS_ABORTED }
}

/// Throws where a call failed; on the thread that made the call, before its next one.
private func check(_ status: brooklet_status) throws {
    if status != BROOKLET_STATUS_OK {
        throw BrookletError(status: status, errorDescription: String(cString: brooklet_last_error()))
    }
}

/// A model with one conversation. Opening takes time: not for the main thread. Answers are computed one after the other,
/// on a queue of their own.
public final class Brooklet: @unchecked Sendable {
    private let model: OpaquePointer
    private let session: OpaquePointer
    private let decoder: OpaquePointer
    private let queue = DispatchQueue(label: "brooklet", qos: .userInitiated)

    public init(path: String, context: Int = 2048, threads: Int = Brooklet.bigCores(), lowMemory: Bool = true) throws {
        var model: OpaquePointer?
        var session: OpaquePointer?
        var decoder: OpaquePointer?
        do {
            var options = brooklet_session_options()
            try check(brooklet_session_options_init(&options, MemoryLayout<brooklet_session_options>.size))
            options.context = context
            options.threads = UInt32(threads)
            options.low_memory = lowMemory ? 1 : 0
            try check(brooklet_model_open(path, nil, &model))
            try check(brooklet_session_new(model, &options, &session))
            try check(brooklet_decoder_new(model, true, &decoder))
        } catch {
            brooklet_decoder_free(decoder)
            brooklet_session_free(session)
            brooklet_model_close(model)
            throw error
        }
        self.model = model!
        self.session = session!
        self.decoder = decoder!
    }

    // Every block on the queue holds self: none is under way here.
    deinit {
        brooklet_decoder_free(decoder)
        brooklet_session_free(session)
        brooklet_model_close(model)
    }

    /// The answer to a whole conversation, [["role": "user", "content": "…"], …], piece by piece; only what is new since the
    /// last one is computed. Whoever stops reading ends it at the next piece, abort() ends it within a prompt too.
    public func answer(to messages: [[String: String]]) throws -> AsyncThrowingStream<String, Error> {
        let json = try JSONSerialization.data(withJSONObject: messages)
        return AsyncThrowingStream { continuation in
            queue.async {
                do {
                    try self.run(json) { piece in
                        if case .terminated = continuation.yield(piece) { return false }
                        return true
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
        }
    }

    /// From any thread: the answer that runs, and every later one, ends with an error whose isAbort is true.
    public func abort() { brooklet_session_abort(session) }

    /// Takes abort() back.
    public func resume() { brooklet_session_resume(session) }

    private func run(_ messages: Data, show: (String) -> Bool) throws {
        let ids = try self.ids(of: messages)
        var text: UnsafePointer<CChar>?
        var length = 0
        try check(brooklet_decoder_finish(decoder, &text, &length)) // what an answer that was cut off left there
        try check(brooklet_session_prompt(session, ids, ids.count, nil))
        while true {
            var id: UInt32 = 0
            try check(brooklet_session_sample(session, &id))
            if brooklet_is_end(model, id) { break }
            try check(brooklet_decoder_push(decoder, id, &text, &length))
            if length > 0, let text, !show(String(cString: text)) { return }
            try check(brooklet_session_feed(session, &id, 1))
        }
        try check(brooklet_decoder_finish(decoder, &text, &length))
        if length > 0, let text { _ = show(String(cString: text)) }
    }

    /// The conversation as ids. Asked with no room first, to learn how much it takes.
    private func ids(of messages: Data) throws -> [UInt32] {
        try messages.withUnsafeBytes { bytes in
            let text = bytes.bindMemory(to: CChar.self)
            var count = 0
            let status = brooklet_chat_ids(model, text.baseAddress, text.count, nil, 0, true, nil, 0, &count)
            if status != BROOKLET_STATUS_BUFFER { try check(status) }
            let capacity = count
            var ids = [UInt32](repeating: 0, count: capacity)
            try check(brooklet_chat_ids(model, text.baseAddress, text.count, nil, 0, true, &ids, capacity, &count))
            return ids
        }
    }

    /// Cores of the fastest kind; 2 where the system does not tell.
    public static func bigCores() -> Int {
        var cores: Int32 = 0
        var size = MemoryLayout<Int32>.size
        return sysctlbyname("hw.perflevel0.physicalcpu", &cores, &size, nil, 0) == 0 && cores > 0 ? Int(cores) : 2
    }
}
