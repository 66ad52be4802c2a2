"""A byte-level BPE of 4,096 tokens with LFM2's pre-tokenizer regex and the names of its special tokens.

Copying is what a small model finds hardest, so a word is made of the same tokens wherever it stands: merges are
learned within words and within single digits, never across the space or the bracket before a word. Afterwards the
commonest words that no value contains are joined with the space before them, and the names of functions and arguments
with the sign before them."""

import json
import pathlib
import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

REGEX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
APART = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"  # words and digits alone
SPECIAL = ["<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|fim_pre|>", "<|fim_mid|>", "<|fim_suf|>", "<|im_start|>", "<|im_end|>",
           "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>", "<|tool_call_end|>", "<|tool_response_start|>",
           "<|tool_response_end|>", "<|reserved_4|>", "<|reserved_5|>"]
PAD, BOS, END = 0, 1, 7
TEMPLATE = pathlib.Path(__file__).with_name("chat_template.jinja")
SPACE = "Ġ"  # as byte-level BPE writes it


def pre_tokenizer(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])


def train(texts, system, value_words, vocab_size=4096, joined=480):
    """A tokenizer trained on `texts`, which joins words with the space before them unless they are in `value_words`."""
    apart = Tokenizer(models.BPE())
    apart.pre_tokenizer = pre_tokenizer(APART)
    signs = [("_", name) for name in dict.fromkeys(re.findall(r"_([a-z]+)\b", system))]
    signs += [("[", verb) for verb in ("set", "add", "get", "cancel")]
    signs += [("(", name) for name in ("room", "name", "text", "item", "what", "hours", "minutes", "seconds")]
    signs += [("'", end) for end in ("s", "t", "re", "ve", "m", "ll", "d")]
    apart.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=vocab_size - joined - len(signs), special_tokens=SPECIAL, show_progress=False,
                                                         initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(apart.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(m) for m in model["merges"]]
    count = {}
    for text in texts:
        for word in re.findall(r" ([A-Za-z]+)", text):
            count[word] = count.get(word, 0) + 1
    common = [(SPACE, w) for w in sorted(count, key=count.get, reverse=True) if len(w) > 1 and w in vocab and w not in value_words]
    for a, b in signs + common:
        if len(vocab) < vocab_size and b in vocab and a + b not in vocab:
            vocab[a + b] = len(vocab)
            merges.append((a, b))
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.pre_tokenizer = pre_tokenizer(REGEX)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="<|startoftext|> $A", pair="<|startoftext|> $A <|startoftext|> $B", special_tokens=[("<|startoftext|>", BOS)])
    return tokenizer


def save(tokenizer, folder, max_length):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    template = TEMPLATE.read_text()
    (folder / "chat_template.jinja").write_text(template)
    decoder = {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True} for i, t in enumerate(SPECIAL)}
    config = {"added_tokens_decoder": decoder, "bos_token": "<|startoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>",
              "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "legacy": False,
              "model_max_length": max_length, "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
