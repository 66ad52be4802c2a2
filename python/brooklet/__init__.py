"""Runs LFM2 language models from GGUF files on small machines, and makes such files of checkpoints.

    import brooklet

    brooklet.convert("LFM2-350M", "lfm2-350m.gguf")
    model = brooklet.Model("lfm2-350m.gguf")
    print(model.chat([{"role": "user", "content": "Why is the sky blue?"}]).text)

What goes wrong is a ValueError (an argument), a TypeError, an OSError such as FileNotFoundError, or a
BrookletError (a file that is no model, a model that cannot do it), each in the library's words.
"""

import json
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Callable, Dict, Iterator, List, Literal, Optional, Sequence, Union, overload

from . import _brooklet, _openai
from ._brooklet import BrookletError
from ._schema import function_schema

__all__ = ["BrookletError", "Model", "Reply", "__version__", "convert", "function_schema", "quantize"]

__version__ = _brooklet.__VERSION__

Message = Dict[str, Any]
#: A function's JSON schema, or a Python function with types and a docstring.
Tool = Union[Dict[str, Any], Callable[..., Any]]


@dataclass
class Reply:
    """What a model wrote, or a piece of it."""

    #: The text outside of tool calls; of a piece, what it adds.
    text: str
    #: `{"type": "function", "function": {"name": …, "arguments": {…}}}` each, as chat templates take them.
    tool_calls: List[Dict[str, Any]] = field(default_factory=list)
    #: "stop", "length" or "tool_calls"; None for every piece but the last.
    finish_reason: Optional[str] = None
    #: prompt_tokens, of which cached_tokens were not computed again; completion_tokens; total_tokens.
    usage: Dict[str, int] = field(default_factory=dict)
    #: Why a list of tool calls does not parse, where one does not; it is then in the text as it was written.
    tool_call_error: Optional[str] = None

    @property
    def message(self) -> Message:
        """The turn to append to the conversation."""
        calls = {"tool_calls": self.tool_calls} if self.tool_calls else {}
        return {"role": "assistant", "content": self.text, **calls}


class Model:
    """A model with one session: what a prompt has in common with the last one is not computed again.

    Several threads may use it: each call has the model to itself, the others wait. Streams let go of it
    between their pieces, so that other calls come between; what those replaced is computed again.
    """

    def __init__(
        self,
        path: "Union[str, PathLike[str]]",
        n_ctx: Optional[int] = None,
        n_threads: Optional[int] = None,
        kv_type: Optional[str] = None,
        low_memory: bool = False,
        seed: Optional[int] = None,
    ) -> None:
        """Opens a GGUF file.

        n_ctx: tokens that prompt and answer may take together; by default the model's own, at most 4096.
        n_threads: by default what `brooklet bench --tune` stored, else one a physical core.
        kv_type: how keys and values are stored, "f16" (the default), "f32" or "q8_0" (with low_memory the default).
        low_memory: less memory for less speed.
        seed: calls without a seed of their own use this one, the next ones after it; by default random.
        """
        sizes = (_whole("n_ctx", n_ctx), _whole("n_threads", n_threads))
        self._native = _brooklet.Model(path, *sizes, kv_type, low_memory, _whole("seed", seed))

    @property
    def n_ctx(self) -> int:
        """Tokens that prompt and answer may take together."""
        return self._native.n_ctx

    @property
    def n_vocab(self) -> int:
        """Entries of the vocabulary."""
        return self._native.n_vocab

    @property
    def n_tokens(self) -> int:
        """Tokens that the session holds."""
        return self._native.n_tokens

    def tokenize(self, text: str, add_bos: bool = True, special: bool = True) -> List[int]:
        """The ids of a text.

        add_bos: put the begin-of-text token in front where the model wants it.
        special: text that spells a control token (`<|im_end|>`) becomes it; leave it out for what strangers wrote.
        """
        return self._native.tokenize(text, add_bos, special)

    def detokenize(self, ids: Sequence[int], skip_special: bool = False) -> str:
        """The text of ids, with control tokens or without."""
        return self._native.detokenize(_ids(ids), skip_special)

    @overload
    def apply_chat_template(
        self,
        messages: Sequence[Message],
        tools: Optional[Sequence[Tool]] = None,
        add_generation_prompt: bool = False,
        tokenize: Literal[True] = True,
    ) -> List[int]: ...

    @overload
    def apply_chat_template(
        self,
        messages: Sequence[Message],
        tools: Optional[Sequence[Tool]] = None,
        add_generation_prompt: bool = False,
        *,
        tokenize: Literal[False],
    ) -> str: ...

    def apply_chat_template(
        self,
        messages: Sequence[Message],
        tools: Optional[Sequence[Tool]] = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
    ) -> Union[str, List[int]]:
        """The conversation as the model sees it, as ids or as text, with transformers' defaults.

        What messages and tools spell never becomes a control token among the ids.
        """
        give: Callable[..., Any] = self._native.encode if tokenize else self._native.render
        text: Union[str, List[int]] = give(_dump(messages), _tools(tools), add_generation_prompt)
        return text

    def logits(self, ids: Sequence[int], all: bool = False) -> "memoryview[float]":
        """The logits after the last id, or after each: float32, of shape (n_vocab,) or (len(ids), n_vocab).

        `numpy.asarray(model.logits(ids))` shares the memory. The session begins anew.
        """
        ids = _ids(ids)
        row = memoryview(self._native.logits(ids, all))
        return row.cast("f", (len(ids), self.n_vocab)) if all else row.cast("f")

    @overload
    def chat(
        self, messages: Sequence[Message], tools: Optional[Sequence[Tool]] = None, *, stream: Literal[False] = False,
        **options: Any,
    ) -> Reply: ...

    @overload
    def chat(
        self, messages: Sequence[Message], tools: Optional[Sequence[Tool]] = None, *, stream: Literal[True],
        **options: Any,
    ) -> Iterator[Reply]: ...

    def chat(  # type: ignore[misc]
        self,
        messages: Sequence[Message],
        tools: Optional[Sequence[Tool]] = None,
        *,
        max_tokens: Optional[int] = None,
        temperature: Optional[float] = None,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        min_p: Optional[float] = None,
        repeat_penalty: Optional[float] = None,
        seed: Optional[int] = None,
        stop: Union[str, Sequence[str]] = (),
        ignore_eos: bool = False,
        stream: bool = False,
    ) -> Union[Reply, Iterator[Reply]]:
        """Answers a conversation: `{"role": …, "content": …}` each, the roles system, user, assistant and tool.

        tools: JSON schemas of functions that the model may call, or Python functions with types and a docstring.
        max_tokens: of the answer; by default until the model ends it or the context is full.
        temperature, top_k, top_p, min_p, repeat_penalty: by default the file's own, else those that LFM2's authors
        recommend (0.3, 0, 1, 0.15, 1.05). Temperature 0 always takes the likeliest token.
        stop: texts before which the answer ends.
        ignore_eos: go on after the end-of-text token.
        stream: an iterator of pieces instead, of which the last has finish_reason, usage and tool_calls.
        """
        ids = self._native.encode(_dump(messages), _tools(tools), True)
        options = (max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed, stop, ignore_eos)
        return self._reply(ids, True, stream, *options)

    @overload
    def generate(
        self, prompt: Union[str, Sequence[int]], *, stream: Literal[False] = False, **options: Any
    ) -> Reply: ...

    @overload
    def generate(
        self, prompt: Union[str, Sequence[int]], *, stream: Literal[True], **options: Any
    ) -> Iterator[Reply]: ...

    def generate(  # type: ignore[misc]
        self,
        prompt: Union[str, Sequence[int]],
        *,
        max_tokens: Optional[int] = None,
        temperature: Optional[float] = None,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        min_p: Optional[float] = None,
        repeat_penalty: Optional[float] = None,
        seed: Optional[int] = None,
        stop: Union[str, Sequence[str]] = (),
        ignore_eos: bool = False,
        stream: bool = False,
    ) -> Union[Reply, Iterator[Reply]]:
        """Goes on with a text, taken as `tokenize` takes it, or with ids; options as of `chat`."""
        ids = self.tokenize(prompt) if isinstance(prompt, str) else _ids(prompt)
        options = (max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed, stop, ignore_eos)
        return self._reply(ids, False, stream, *options)

    def create_chat_completion(
        self, messages: Sequence[Message], tools: Optional[Sequence[Tool]] = None, stream: bool = False, **options: Any
    ) -> Any:
        """As `chat`, in the shape of OpenAI and llama-cpp-python: a dict, or an iterator of them.

        Arguments of tool calls are JSON texts, in messages as well.
        """
        chat: Callable[..., Any] = self.chat
        reply = chat(_openai.from_messages(messages), tools, stream=stream, **_openai.options(options))
        return _openai.chat_pieces(reply) if stream else _openai.chat(reply)

    def create_completion(self, prompt: Union[str, Sequence[int]], stream: bool = False, **options: Any) -> Any:
        """As `generate`, in the shape of OpenAI and llama-cpp-python: a dict, or an iterator of them."""
        generate: Callable[..., Any] = self.generate
        reply = generate(prompt, stream=stream, **_openai.options(options))
        return _openai.text_pieces(reply) if stream else _openai.text(reply)

    __call__ = create_completion

    def _reply(
        self,
        ids: List[int],
        chat: bool,
        stream: bool,
        max_tokens: Optional[int],
        temperature: Optional[float],
        top_k: Optional[int],
        top_p: Optional[float],
        min_p: Optional[float],
        repeat_penalty: Optional[float],
        seed: Optional[int],
        stop: Union[str, Sequence[str]],
        ignore_eos: bool,
    ) -> Union[Reply, Iterator[Reply]]:
        generation = self._native.start(
            ids,
            chat,
            max_tokens=_whole("max_tokens", max_tokens),
            temperature=temperature,
            top_k=_whole("top_k", top_k),
            top_p=top_p,
            min_p=min_p,
            repeat_penalty=repeat_penalty,
            seed=_whole("seed", seed),
            stop=[stop] if isinstance(stop, str) else list(stop),
            ignore_eos=ignore_eos,
        )
        return _pieces(generation) if stream else _end(generation, generation.run())


def _pieces(generation: _brooklet.Generation) -> Iterator[Reply]:
    for text in generation:
        yield Reply(text)
    yield _end(generation, "")


def _end(generation: _brooklet.Generation, text: str) -> Reply:
    prompt, completion, cached = generation.counts
    usage = {
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    calls, error = generation.tool_calls
    return Reply(text, json.loads(calls), generation.finish_reason, usage, error)


def convert(
    checkpoint_dir: "Union[str, PathLike[str]]",
    output: "Union[str, PathLike[str]]",
    type: str = "q4_0",
    progress: Optional[Callable[[int, int], object]] = None,
    *,
    imatrix: "Union[str, PathLike[str], None]" = None,
    search: bool = False,
    lora: "Optional[Sequence[Union[str, PathLike[str]]]]" = None,
    lora_scale: float = 1.0,
) -> List[str]:
    """Converts a checkpoint directory as Hugging Face lays it out to a GGUF file; returns warnings.

    type: f32, f16, bf16, q8_0, q4_0, iq4_nl, q4_k_m, q5_k_m or q6_k.
    progress: called with bytes done and bytes in all. What it raises stops the conversion, as Ctrl-C does; the file
    appears when it is complete.
    imatrix: an importance matrix's file, as `brooklet imatrix` and llama-imatrix write it, to weigh errors by.
    search: search longer for small errors, as an importance matrix has it done too.
    lora, lora_scale: directories of LoRA adapters that PEFT wrote, merged in turn, and how strongly they count.
    """
    return _brooklet.convert(
        checkpoint_dir, output, type, progress, imatrix=imatrix, search=search, lora=lora, lora_scale=lora_scale
    )


def quantize(
    input: "Union[str, PathLike[str]]",
    output: "Union[str, PathLike[str]]",
    type: str = "q4_0",
    progress: Optional[Callable[[int, int], object]] = None,
    *,
    imatrix: "Union[str, PathLike[str], None]" = None,
    search: bool = False,
) -> List[str]:
    """Converts a GGUF file of float weights to another type; arguments as of `convert`."""
    return _brooklet.quantize(input, output, type, progress, imatrix=imatrix, search=search)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _tools(tools: Optional[Sequence[Tool]]) -> Optional[str]:
    return _dump([function_schema(t) if callable(t) else t for t in tools]) if tools else None


def _whole(name: str, value: Optional[int]) -> Optional[int]:
    if value is not None and not 0 <= value < 1 << 64:
        raise ValueError(f"{name}: expected a whole number of at least 0, found {value}")
    return value


def _ids(ids: Sequence[int]) -> List[int]:
    for at, value in enumerate(ids):
        if not 0 <= value < 1 << 32:
            raise ValueError(f"ids: expected token ids, found {value} at {at}")
    return list(ids)
