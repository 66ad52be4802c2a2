"""Replies and messages in the shape of OpenAI's API, which llama-cpp-python shares."""

import json
import time
import uuid
from typing import Any, Dict, Iterator, List, Sequence


def options(given: Dict[str, Any]) -> Dict[str, Any]:
    """Options with llama-cpp-python's meaning: a limit of -1 is none, and no stop texts may be None."""
    given = dict(given)
    if (given.get("max_tokens") or 0) < 0:
        given["max_tokens"] = None
    if given.get("stop", ()) is None:
        del given["stop"]
    return given


def from_messages(messages: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Messages whose tool calls have arguments as chat templates take them: objects, not JSON texts."""
    return [
        {**m, "tool_calls": [_with_object(call) for call in m["tool_calls"]]} if m.get("tool_calls") else m
        for m in messages
    ]


def _with_object(call: Dict[str, Any]) -> Dict[str, Any]:
    function = call["function"]
    if not isinstance(function["arguments"], str):
        return call
    return {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}


def chat(reply: Any) -> Dict[str, Any]:
    """`chat.completion`."""
    message = {"role": "assistant", "content": reply.text, **_calls(reply)}
    return {**_head("chatcmpl", "chat.completion"), **_choice(reply, message=message), "usage": _usage(reply)}


def chat_pieces(replies: Iterator[Any]) -> Iterator[Dict[str, Any]]:
    """`chat.completion.chunk`s: the role, the text's pieces, the end with the calls."""
    head = _head("chatcmpl", "chat.completion.chunk")
    yield {**head, "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}
    for reply in replies:
        delta = {"content": reply.text} if reply.text else {}
        end = {"usage": _usage(reply)} if reply.finish_reason else {}
        yield {**head, **_choice(reply, delta={**delta, **_calls(reply)}), **end}


def text(reply: Any) -> Dict[str, Any]:
    """`text_completion`."""
    choice = _choice(reply, text=reply.text, logprobs=None)
    return {**_head("cmpl", "text_completion"), **choice, "usage": _usage(reply)}


def text_pieces(replies: Iterator[Any]) -> Iterator[Dict[str, Any]]:
    """`text_completion`s, one a piece."""
    head = _head("cmpl", "text_completion")
    for reply in replies:
        yield {**head, **_choice(reply, text=reply.text, logprobs=None)}


def _head(prefix: str, kind: str) -> Dict[str, Any]:
    return {"id": f"{prefix}-{uuid.uuid4()}", "object": kind, "created": int(time.time()), "model": "brooklet"}


def _choice(reply: Any, **fields: Any) -> Dict[str, Any]:
    return {"choices": [{"index": 0, **fields, "finish_reason": reply.finish_reason}]}


def _calls(reply: Any) -> Dict[str, Any]:
    calls = [
        {"index": i, "id": f"call_{uuid.uuid4().hex}", "type": "function",
         "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}}
        for i, call in enumerate(reply.tool_calls)
    ]
    return {"tool_calls": calls} if calls else {}


def _usage(reply: Any) -> Dict[str, Any]:
    usage = dict(reply.usage)
    cached = usage.pop("cached_tokens")
    return {**usage, "prompt_tokens_details": {"cached_tokens": cached}}
