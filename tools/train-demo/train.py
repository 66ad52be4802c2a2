"""Trains the demo model, resumably: `python train.py` starts, or goes on where it was stopped.

Everything comes from the seed and the step number, so a run that was stopped and resumed sees the same data. The rate
stays level and falls to zero over the last part of --steps (--fall) or, with --until, of the time until then. Matrices
are trained by Muon (momentum made orthogonal), the rest by Adam.

Rows have one length, so that a compiled network has one shape: each holds several conversations and pieces of plain
English, and the network keeps them apart.
"""

import argparse
import collections
import datetime
import json
import multiprocessing
import os
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

LENGTH = 512  # tokens a row
MAX_LENGTH = 384  # of a conversation
TEXT_LENGTH = 192  # of a piece of plain English
ANSWER, TEXT = 1, 2  # what a token is, where it is to be learned
WEIGHTS = numpy.array([0.0, 1.0, 0.25], numpy.float32)
SYSTEM_SHARE = 0.10  # conversations that carry the list of tools
BLOCK = 16  # steps whose data is made together
OPEN_ROWS = 48  # rows that are filled at a time


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("work"), help="where corpus, checkpoints and log live")
    p.add_argument("--steps", type=int, default=4500)
    p.add_argument("--until", help="HH:MM[:SS], local time: end then, whatever the step, instead of after --steps")
    p.add_argument("--rows", type=int, default=12, help=f"rows of {LENGTH} tokens a step")
    p.add_argument("--micro", type=int, default=6, help="rows a forward pass")
    p.add_argument("--seed", type=int, default=3)
    p.add_argument("--muon", type=float, default=0.02, help="learning rate of the matrices")
    p.add_argument("--adam", type=float, default=3e-3, help="learning rate of embedding, norms and conv kernels")
    p.add_argument("--fall", type=float, default=0.7, help="the part of the run over which the rates fall to zero")
    p.add_argument("--dropout", type=float, default=0.0, help="of what each half of a layer adds")
    p.add_argument("--text-share", type=float, default=0.06, help="share of plain English")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--threads", type=int, default=2, help="of a CPU that multiplies")
    p.add_argument("--makers", type=int, default=1, help="processes that make the data")
    p.add_argument("--save-every", type=float, default=240.0, help="seconds between checkpoints")
    p.add_argument("--init", type=pathlib.Path, help="a checkpoint's folder whose weights and tokenizer to start from")
    p.add_argument("--bf16", action="store_true", help="multiply in bfloat16 (for GPUs, and processors with AVX512-BF16)")
    p.add_argument("--compile", action="store_true", help="use torch.compile (needs a C++ compiler; about 1.4 times as fast)")
    return p.parse_args()


FUNCTION_WORDS = set("the my our your for with of and to in at on from about before after some more by is it that this all no as up out off "
                     "down back again over minutes minute hours hour seconds second time day".split())


class Data:
    """What there is to learn, by the number of its block of steps."""

    def __init__(self, args):
        corpus.fetch(args.work / "corpus")
        train, _ = corpus.load(args.work / "corpus")
        self.generator = generate.Generator(corpus.vocabulary(train))
        self.forbidden = test_prompts()
        self.args = args
        path = args.work / "tokenizer.json"
        if args.init and not path.exists():
            shutil.copy(args.init / "tokenizer.json", path)
        if not path.exists():
            self.train_tokenizer(train).save(str(path))
        self.tokenizer = Tokenizer.from_file(str(path))
        self.generator.texts.pieces = sorted(t for t in self.tokenizer.get_vocab() if re.fullmatch("[a-z]{2,}", t))
        stream = {s: [i for e in self.tokenizer.encode_batch(train[s], add_special_tokens=False) for i in [tok.BOS] + e.ids] for s in train}
        self.windows = [ids[i:i + TEXT_LENGTH] for ids in stream.values() for i in range(0, len(ids) - TEXT_LENGTH, TEXT_LENGTH)]

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

    def documents(self, rng):
        """Conversations and pieces of plain English without end: (ids, what each one is)."""
        made = text = 0
        while True:
            pieces = [self.example(rng) for _ in range(64)]
            flat = iter(self.tokenizer.encode_batch([t for p in pieces for t, _ in p], add_special_tokens=False))
            for p in pieces:
                ids, kinds = [], []
                for _, role in p:
                    piece = next(flat).ids
                    ids += piece
                    kinds += [ANSWER if role == "assistant" else 0] * len(piece)
                if len(ids) <= MAX_LENGTH:
                    made += len(ids)
                    yield ids, kinds
            while text < (made + text) * self.args.text_share:
                text += TEXT_LENGTH
                yield rng.choice(self.windows), [0] + [TEXT] * (TEXT_LENGTH - 1)

    def block(self, number):
        """(ids, kinds, documents), each [rows of all steps of a block, LENGTH]; a document's number is 1 or more, 0 is padding."""
        rng = random.Random(f"{self.args.seed}:{number}")
        count = self.args.rows * BLOCK
        opened, rows = [], []  # each a list of documents
        size = lambda row: sum(len(ids) for ids, _ in row)
        for document in self.documents(rng):
            room = [row for row in opened if size(row) + len(document[0]) <= LENGTH]
            if room:
                max(room, key=size).append(document)
            elif len(opened) < OPEN_ROWS:
                opened.append([document])
            else:
                fullest = max(opened, key=size)
                rows.append(fullest)
                opened.remove(fullest)
                opened.append([document])
                if len(rows) == count:
                    break
        rng.shuffle(rows)
        ids, kinds, documents = (numpy.zeros((count, LENGTH), kind) for kind in (numpy.int32, numpy.uint8, numpy.int32))
        for r, row in enumerate(rows):
            at = 0
            for n, (i, k) in enumerate(row, 1):
                ids[r, at:at + len(i)], kinds[r, at:at + len(i)], documents[r, at:at + len(i)] = i, k, n
                at += len(i)
        return ids, kinds, documents


def test_prompts():
    """Every request of heldout and dev, reduced to letters and digits: none of them may be trained on. (The hand-written
    set did not exist for training to leave out; overlap.py counts what it has in common.)"""
    found = set()
    for name in ("heldout", "dev"):
        for line in (pathlib.Path(__file__).parents[2] / f"models/demo/eval/{name}.jsonl").read_text().splitlines():
            found |= {generate.plain(m["content"]) for m in json.loads(line)["messages"][-1:] if m["role"] == "user"}
    return found


def set_up_maker(args):
    global maker
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    maker = Data(args)


def make(number):
    return maker.block(number)


def blocks(args, first):
    """The blocks from the first on, in order, made ahead by other processes."""
    with multiprocessing.get_context("spawn").Pool(args.makers, set_up_maker, (args,)) as pool:
        number, ahead = first, collections.deque()
        while True:
            while len(ahead) < 2 * args.makers:
                ahead.append(pool.apply_async(make, (number,)))
                number += 1
            yield ahead.popleft().get()


def steps(args, first):
    """For each step from the first on its passes: (ids, documents, places to learn, the ids there, their weights)."""
    for number, block in enumerate(blocks(args, first // BLOCK), first // BLOCK):
        for step in range(number * BLOCK, (number + 1) * BLOCK):
            if step < first:
                continue
            passes = []
            for at in range(step % BLOCK * args.rows, (step % BLOCK + 1) * args.rows, args.micro):
                ids, kinds, documents = (part[at:at + args.micro] for part in block)
                row, column = numpy.nonzero(kinds[:, 1:])
                kinds = kinds[row, column + 1]
                tensors = [torch.from_numpy(a) for a in (ids, documents, row * LENGTH + column, ids[row, column + 1].astype(numpy.int64), WEIGHTS[kinds])]
                if args.device != "cpu":
                    tensors = [t.pin_memory().to(args.device, non_blocking=True) for t in tensors]
                passes.append(tensors)
            yield passes


class Muon:
    """Momentum, made orthogonal by Newton-Schulz iteration, for matrices; equal shapes are done together."""

    def __init__(self, params, momentum=0.95, dtype=torch.float32):
        self.params, self.momentum, self.dtype = list(params), momentum, dtype
        self.buffers = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, rate, decay=0.02):
        gradients = [p.grad for p in self.params]
        torch._foreach_lerp_(self.buffers, gradients, 1 - self.momentum)
        torch._foreach_lerp_(gradients, self.buffers, self.momentum)
        shapes = {}
        for p in self.params:
            shapes.setdefault(tuple(p.shape), []).append(p)
        torch._foreach_mul_(self.params, 1 - rate * decay)
        for (rows, cols), group in shapes.items():
            x = torch.stack([p.grad for p in group])
            x = x.mT if rows > cols else x
            x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(self.dtype)
            for _ in range(5):
                a = x @ x.mT
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            x = (x.mT if rows > cols else x).float()
            torch._foreach_add_(group, list(x.unbind()), alpha=-rate * max(1.0, rows / cols) ** 0.5)


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
    torch.set_float32_matmul_precision("high")
    vocabulary = Data(args).tokenizer.get_vocab_size()  # makes corpus and tokenizer, if they are not there yet
    net = model.Lfm2(model.config(vocabulary, tok.BOS, tok.END, tok.PAD), args.dropout).to(args.device)
    matrices = [p for n, p in net.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in net.named_parameters() if p.ndim != 2 or "embed" in n]
    muon = Muon(matrices, dtype=torch.bfloat16 if args.bf16 else torch.float32)
    adam = torch.optim.AdamW(others, lr=args.adam, betas=(0.9, 0.98), weight_decay=0.0)
    step, tokens, started, path = 0, 0, time.time(), args.work / "checkpoint.pt"
    if path.exists():
        state = torch.load(path, map_location=args.device)
        net.load_state_dict(state["net"])
        adam.load_state_dict(state["adam"])
        muon.buffers = state["muon"]
        step, tokens, started = state["step"], state["tokens"], state["started"]
    elif args.init:
        net.load_state_dict({k: t.float() for k, t in safetensors.torch.load_file(args.init / "model.safetensors").items()})
    hidden = torch.compile(net.hidden) if args.compile else net.hidden
    log = open(args.work / "train.log", "a", buffering=1)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, from step {step} until {args.until or args.steps}", file=log)
    until = next_time(args.until) if args.until else None

    def save():
        torch.save({"net": net.state_dict(), "adam": adam.state_dict(), "muon": muon.buffers, "step": step, "tokens": tokens, "started": started}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    saved = began = time.time()
    losses, counts = torch.zeros(2, 2, device=args.device)  # of answers and of text, since the last line of the log
    for passes in steps(args, step):
        done = step / args.steps if until is None else (time.time() - started) / (until - started)
        if done >= 1:
            break
        rate = schedule(step, done, args.fall)
        scale = sum(weights.sum() for *_, weights in passes)
        for ids, documents, places, targets, weights in passes:
            with torch.autocast(args.device, torch.bfloat16, enabled=args.bf16):
                h = hidden(ids, documents)
            h = h.flatten(0, 1)[places].float()
            each = F.cross_entropy(h @ net.model.embed_tokens.weight.T, targets, reduction="none")
            (each @ weights / scale).backward()
            answer = torch.stack([weights == 1, weights < 1]).float()
            losses += answer @ each.detach()
            counts += answer.sum(1)
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        muon.step(args.muon * rate)
        for group in adam.param_groups:
            group["lr"] = args.adam * rate
        adam.step()
        net.zero_grad(set_to_none=True)
        step += 1
        tokens += args.rows * LENGTH
        if step % 50 == 0:
            now = time.time()
            mean = (losses / counts).tolist()
            print(f"{time.strftime('%H:%M:%S')} step {step} tokens {tokens} loss {mean[0]:.4f} text {mean[1]:.3f} rate {rate:.3f} "
                  f"{50 * args.rows * LENGTH / (now - began):.0f} tok/s", file=log)
            losses.zero_()
            counts.zero_()
            began = now
        if time.time() - saved > args.save_every:
            save()
            saved = time.time()
    save()
    print("done", file=log)


if __name__ == "__main__":
    main()
