"""Trains the demo model on a CPU, resumably: `python train.py` starts, or goes on where it was stopped.

Everything comes from the seed and the step number, so a run that was stopped and resumed sees the same data. The rate
stays level and falls to zero over the last part of --steps (--fall) or, with --until, of the time until then. Matrices
are trained by Muon (momentum made orthogonal), the rest by Adam.
"""

import argparse
import datetime
import json
import math
import pathlib
import random
import re
import shutil
import time

import numpy
import safetensors.torch
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import corpus
import generate
import model
import tokenizer as tok

MAX_LENGTH = 384
TEXT_LENGTH = 192
TEXT_WEIGHT = 0.25  # of a token of plain English, where one of an answer counts 1
SYSTEM_SHARE = 0.10  # conversations that carry the list of tools
BLOCK = 16  # steps whose data is made together, so that rows of like length meet


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("work"), help="where corpus, checkpoints and log live")
    p.add_argument("--steps", type=int, default=2248)
    p.add_argument("--until", help="HH:MM, local time: end then, whatever the step, instead of after --steps")
    p.add_argument("--tokens", type=int, default=5600, help="tokens a step")
    p.add_argument("--micro", type=int, default=2800, help="tokens a forward pass")
    p.add_argument("--seed", type=int, default=3)
    p.add_argument("--muon", type=float, default=0.02, help="learning rate of the matrices")
    p.add_argument("--adam", type=float, default=3e-3, help="learning rate of embedding, norms and conv kernels")
    p.add_argument("--fall", type=float, default=0.3, help="the part of the run over which the rates fall to zero")
    p.add_argument("--text-share", type=float, default=0.06, help="share of plain English")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--save-every", type=float, default=240.0, help="seconds between checkpoints")
    p.add_argument("--init", type=pathlib.Path, help="a checkpoint's folder whose weights and tokenizer to start from")
    p.add_argument("--bf16", action="store_true", help="multiply in bfloat16 (for processors with AVX512-BF16; about 1.5 times as fast there)")
    p.add_argument("--compile", action="store_true", help="use torch.compile (needs a C++ compiler; about 1.4 times as fast)")
    return p.parse_args()


FUNCTION_WORDS = set("the my our your for with of and to in at on from about before after some more by is it that this all no as up out off "
                     "down back again over minutes minute hours hour seconds second time day".split())


class Data:
    """Batches of (ids [rows, tokens], loss weights [rows, tokens]) by the number of their block of steps."""

    def __init__(self, args):
        corpus.fetch(args.work / "corpus")
        train, _ = corpus.load(args.work / "corpus")
        self.generator = generate.Generator(corpus.vocabulary(train))
        self.forbidden = test_prompts()
        self.args, self.cache = args, (None, None)
        path = args.work / "tokenizer.json"
        if args.init and not path.exists():
            shutil.copy(args.init / "tokenizer.json", path)
        if not path.exists():
            self.train_tokenizer(train).save(str(path))
        self.tokenizer = Tokenizer.from_file(str(path))
        self.generator.texts.pieces = sorted(t for t in self.tokenizer.get_vocab() if re.fullmatch("[a-z]{2,}", t))
        stream = {s: [i for e in self.tokenizer.encode_batch(train[s], add_special_tokens=False) for i in [tok.BOS] + e.ids] for s in train}
        self.windows = [numpy.array(ids[i:i + TEXT_LENGTH + 1]) for ids in stream.values() for i in range(0, len(ids) - TEXT_LENGTH, TEXT_LENGTH)]

    def train_tokenizer(self, train):
        rng = random.Random(self.args.seed)
        talk = ["".join(text for text, _ in generate.render(self.generator.conversation(rng)[1])) for _ in range(40000)]
        talk += [generate.SYSTEM] * 2000
        for special in tok.SPECIAL:
            talk = [t.replace(special, "\n") for t in talk]
        texts = self.generator.texts
        values = [*texts.items, *texts.timer_names, *texts.nouns, *texts.people, *texts.cities, *texts.first_names, *texts.surnames, *texts.companies,
                  *texts.streets, *texts.titles, *(" ".join(task) for task in texts.tasks)]
        words = {word for value in values for word in value.split()} - FUNCTION_WORDS
        return tok.train(talk + rng.sample(train["kjv"], 1000) + train["handbook"], generate.SYSTEM, words)

    def example(self, rng):
        while True:
            _, messages = self.generator.conversation(rng)
            if not any(m["role"] == "user" and generate.plain(m["content"]) in self.forbidden for m in messages):
                break
        return generate.render(messages, generate.SYSTEM if rng.random() < SYSTEM_SHARE else None)

    def block(self, number):
        """The micro-batches of one block of steps, in the order of use."""
        rng = random.Random(f"{self.args.seed}:{number}")
        budget = int(self.args.tokens * BLOCK * (1 - self.args.text_share))
        rows, total = [], 0
        while total < budget:
            pieces = [self.example(rng) for _ in range(64)]
            flat = self.tokenizer.encode_batch([t for p in pieces for t, _ in p], add_special_tokens=False)
            flat = iter(flat)
            for p in pieces:
                ids, weights = [], []
                for _, role in p:
                    piece = next(flat).ids
                    ids += piece
                    weights += [1.0 if role == "assistant" else 0.0] * len(piece)
                if len(ids) <= MAX_LENGTH:
                    rows.append((ids, weights))
                    total += len(ids)
        rows.sort(key=lambda r: (len(r[0]) + 3) // 4 + rng.random())
        batches, batch = [], []
        for row in rows:
            if batch and (len(batch) + 1) * max(len(r[0]) for r in batch + [row]) > self.args.micro:
                batches.append(self.pad(batch))
                batch = []
            batch.append(row)
        batches.append(self.pad(batch))
        size = self.args.micro // TEXT_LENGTH
        for _ in range(max(1, round(self.args.tokens * BLOCK * self.args.text_share / (size * TEXT_LENGTH)))):
            ids = numpy.stack([rng.choice(self.windows) for _ in range(size)])
            batches.append((ids, numpy.full(ids.shape, TEXT_WEIGHT, numpy.float32)))
        rng.shuffle(batches)
        return batches

    @staticmethod
    def pad(rows):
        length = max(len(r[0]) for r in rows)
        length = (length + 3) // 4 * 4
        ids = numpy.array([i + [tok.PAD] * (length - len(i)) for i, _ in rows])
        weights = numpy.array([w + [0.0] * (length - len(w)) for _, w in rows], numpy.float32)
        return ids, weights

    def step(self, number):
        block, k = divmod(number, BLOCK)
        if self.cache[0] != block:
            self.cache = (block, self.block(block))
        batches = self.cache[1]
        return [(torch.from_numpy(ids), torch.from_numpy(weights)) for ids, weights in batches[k * len(batches) // BLOCK:(k + 1) * len(batches) // BLOCK]]


def test_prompts():
    """Every request of heldout and dev, reduced to letters and digits: none of them may be trained on. (The hand-written
    set did not exist for training to leave out; overlap.py counts what it has in common.)"""
    found = set()
    for name in ("heldout", "dev"):
        for line in (pathlib.Path(__file__).parents[2] / f"models/demo/eval/{name}.jsonl").read_text().splitlines():
            found |= {generate.plain(m["content"]) for m in json.loads(line)["messages"][-1:] if m["role"] == "user"}
    return found


class Muon:
    """Momentum, made orthogonal by Newton-Schulz iteration, for matrices; equal shapes are done together."""

    def __init__(self, params, momentum=0.95, dtype=torch.float32):
        self.params, self.momentum, self.dtype = list(params), momentum, dtype
        self.buffers = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, rate, decay=0.02):
        shapes = {}
        for p, m in zip(self.params, self.buffers):
            m.lerp_(p.grad, 1 - self.momentum)
            shapes.setdefault(tuple(p.shape), []).append((p, p.grad.lerp(m, self.momentum)))
        for (rows, cols), group in shapes.items():
            x = torch.stack([g for _, g in group])
            x = x.mT if rows > cols else x
            x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(self.dtype)
            for _ in range(5):
                a = x @ x.mT
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            x = (x.mT if rows > cols else x).float()
            for (p, _), update in zip(group, x):
                p.mul_(1 - rate * decay).add_(update, alpha=-rate * max(1.0, rows / cols) ** 0.5)


def schedule(step, done, fall):
    """The rate's share after `done` of the run: level, then falling to zero over its last part."""
    return min(1.0, (step + 1) / 40) * min(1.0, max(0.0, 1 - done) / fall)


def next_time(clock):
    """The timestamp of the next time that a clock shows HH:MM."""
    now = datetime.datetime.now()
    then = datetime.datetime.combine(now.date(), datetime.time.fromisoformat(clock))
    return (then if then > now else then + datetime.timedelta(days=1)).timestamp()


def main():
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = Data(args)
    net = model.Lfm2(model.config(data.tokenizer.get_vocab_size(), tok.BOS, tok.END, tok.PAD))
    matrices = [p for n, p in net.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in net.named_parameters() if p.ndim != 2 or "embed" in n]
    muon = Muon(matrices, dtype=torch.bfloat16 if args.bf16 else torch.float32)
    adam = torch.optim.AdamW(others, lr=args.adam, betas=(0.9, 0.98), weight_decay=0.0)
    step, tokens, started, path = 0, 0, time.time(), args.work / "checkpoint.pt"
    if path.exists():
        state = torch.load(path)
        net.load_state_dict(state["net"])
        adam.load_state_dict(state["adam"])
        muon.buffers = state["muon"]
        step, tokens, started = state["step"], state["tokens"], state["started"]
    elif args.init:
        net.load_state_dict({k: t.float() for k, t in safetensors.torch.load_file(args.init / "model.safetensors").items()})
    hidden = torch.compile(net.hidden, dynamic=True) if args.compile else net.hidden
    log = open(args.work / "train.log", "a", buffering=1)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, from step {step} until {args.until or args.steps}", file=log)
    until = next_time(args.until) if args.until else None

    def save():
        torch.save({"net": net.state_dict(), "adam": adam.state_dict(), "muon": muon.buffers, "step": step, "tokens": tokens, "started": started}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    saved = began = time.time()
    losses = {"call": [], "text": []}
    seen, cpu = 0, time.process_time()
    while True:
        done = step / args.steps if until is None else (time.time() - started) / (until - started)
        if done >= 1:
            break
        rate, batches = schedule(step, done, args.fall), data.step(step)
        scale = sum(w[:, 1:].sum() for _, w in batches)
        for ids, weights in batches:
            picked = weights[:, 1:] > 0
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                h = hidden(ids[:, :-1])[picked].float()
            each = F.cross_entropy(h @ net.model.embed_tokens.weight.T, ids[:, 1:][picked], reduction="none")
            (each @ weights[:, 1:][picked] / scale).backward()
            losses["text" if weights[0, 0] == TEXT_WEIGHT else "call"].append(each.detach().mean().item())
            seen += ids.numel()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        muon.step(args.muon * rate)
        for group in adam.param_groups:
            group["lr"] = args.adam * rate
        adam.step()
        net.zero_grad(set_to_none=True)
        step += 1
        if step % 10 == 0:
            tokens += seen
            mean = {k: sum(x) / len(x) if x else math.nan for k, x in losses.items()}
            now = time.time()
            print(f"{time.strftime('%H:%M:%S')} step {step} tokens {tokens} loss {mean['call']:.4f} text {mean['text']:.3f} rate {rate:.3f} "
                  f"{seen / (now - began):.0f} tok/s {seen / (time.process_time() - cpu):.0f} tok/cpu-s", file=log)
            losses, seen, began, cpu = {"call": [], "text": []}, 0, now, time.process_time()
        if time.time() - saved > args.save_every:
            save()
            saved = time.time()
    save()
    print("done", file=log)


if __name__ == "__main__":
    main()
