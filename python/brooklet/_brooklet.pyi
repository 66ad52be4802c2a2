from collections.abc import Callable, Sequence
from os import PathLike
from typing import Optional, Union, final

__all__ = ["BrookletError", "convert", "quantize", "Generation", "Model", "__VERSION__"]

__VERSION__: str

class BrookletError(Exception): ...

def convert(
    checkpoint_dir: Union[str, PathLike[str]],
    output: Union[str, PathLike[str]],
    type: str = "q4_0",
    progress: Optional[Callable[[int, int], object]] = None,
    *,
    imatrix: Union[str, PathLike[str], None] = None,
    search: bool = False,
    lora: Optional[Sequence[Union[str, PathLike[str]]]] = None,
    lora_scale: float = 1.0,
) -> list[str]: ...
def quantize(
    input: Union[str, PathLike[str]],
    output: Union[str, PathLike[str]],
    type: str = "q4_0",
    progress: Optional[Callable[[int, int], object]] = None,
    *,
    imatrix: Union[str, PathLike[str], None] = None,
    search: bool = False,
) -> list[str]: ...
@final
class Model:
    def __new__(
        cls,
        path: Union[str, PathLike[str]],
        n_ctx: Optional[int] = None,
        n_threads: Optional[int] = None,
        kv_type: Optional[str] = None,
        low_memory: bool = False,
        seed: Optional[int] = None,
    ) -> Model: ...
    @property
    def n_ctx(self) -> int: ...
    @property
    def n_vocab(self) -> int: ...
    @property
    def n_tokens(self) -> int: ...
    def tokenize(self, text: str, add_bos: bool, special: bool) -> list[int]: ...
    def detokenize(self, ids: Sequence[int], skip_special: bool) -> str: ...
    def render(self, messages: str, tools: Optional[str], add_generation_prompt: bool) -> str: ...
    def encode(self, messages: str, tools: Optional[str], add_generation_prompt: bool) -> list[int]: ...
    def logits(self, ids: Sequence[int], all: bool) -> bytes: ...
    def start(
        self,
        ids: Sequence[int],
        chat: bool,
        *,
        max_tokens: Optional[int],
        temperature: Optional[float],
        top_k: Optional[int],
        top_p: Optional[float],
        min_p: Optional[float],
        repeat_penalty: Optional[float],
        seed: Optional[int],
        stop: Sequence[str],
        ignore_eos: bool,
    ) -> Generation: ...

@final
class Generation:
    def __iter__(self) -> Generation: ...
    def __next__(self) -> str: ...
    def run(self) -> str: ...
    @property
    def finish_reason(self) -> Optional[str]: ...
    @property
    def tool_calls(self) -> tuple[str, Optional[str]]: ...
    @property
    def counts(self) -> tuple[int, int, int]: ...
