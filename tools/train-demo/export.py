"""Writes a checkpoint of train.py as transformers does: `python export.py --work work ../../models/demo`."""

import argparse
import pathlib

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, Lfm2ForCausalLM

import model
import tokenizer as tok


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("work"))
    args = p.parse_args()
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    state = torch.load(args.work / "checkpoint.pt")
    config = model.config(tokenizer.get_vocab_size(), tok.BOS, tok.END, tok.PAD)
    net = Lfm2ForCausalLM(config)
    missing = net.load_state_dict(state["net"], strict=False)
    if missing.unexpected_keys or missing.missing_keys not in ([], ["lm_head.weight"]):
        raise SystemExit(f"the checkpoint does not fit Lfm2ForCausalLM: {missing}")
    net.tie_weights()
    net = net.to(torch.bfloat16)
    net.generation_config = GenerationConfig(bos_token_id=tok.BOS, eos_token_id=tok.END, pad_token_id=tok.PAD)
    net.save_pretrained(args.folder)
    tok.save(tokenizer, args.folder, config.max_position_embeddings)
    print(f"step {state['step']}, {state['tokens']} tokens -> {args.folder}")


if __name__ == "__main__":
    main()
