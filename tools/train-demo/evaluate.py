"""Greedy answers of a checkpoint to the test sets, judged call by call and argument by argument:
`python evaluate.py ../../models/demo`, or `python evaluate.py demo-q4_0.gguf` to let brooklet answer from a converted file."""

import argparse
import ast
import json
import math
import pathlib
import subprocess

import torch
from transformers import AutoTokenizer, Lfm2ForCausalLM

import corpus
import generate

HERE = pathlib.Path(__file__).parent
START, END = "<|tool_call_start|>", "<|tool_call_end|>"


def parse_calls(answer):
    """The calls that an answer makes: [] where it makes none, None where they do not parse."""
    if START not in answer:
        return []
    inside = answer.split(START, 1)[1].split(END)[0]
    try:
        items = ast.parse(inside.strip(), mode="eval").body.elts
        return [{"name": c.func.id, "arguments": {k.arg: ast.literal_eval(k.value) for k in c.keywords}} for c in items]
    except (SyntaxError, ValueError, AttributeError):
        return None


def same(a, b):
    """Equal with equal types (21 == 21.0 counts, True == 1 does not)."""
    if type(a) is bool or type(b) is bool:
        return a is b
    return a == b


def exact(case, answer):
    """Whether the answer is the expected one: all calls with all arguments; for a case without calls, a refusal
    without calls; for a case with a sentence, that sentence."""
    answer = answer.replace("<|im_end|>", "").strip()
    if "answer" in case:
        return answer == case["answer"]
    calls = parse_calls(answer)
    if not case["calls"]:
        return calls == [] and answer.startswith("Sorry, I can't")
    return (calls is not None and len(calls) == len(case["calls"]) and
            all(c["name"] == e["name"] and c["arguments"].keys() == e["arguments"].keys() and
                all(same(c["arguments"][k], v) for k, v in e["arguments"].items()) for c, e in zip(calls, case["calls"])))


def prompt(case, index):
    """Every other case carries the system turn with the list of tools."""
    pieces = generate.render(case["messages"], generate.SYSTEM if index % 2 else None, generate=True)
    return "".join(text for text, _ in pieces)


@torch.no_grad()
def answers(net, tokenizer, prompts, batch=32, limit=120):
    tokenizer.padding_side = "left"
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    result = [""] * len(prompts)
    for at in range(0, len(order), batch):
        rows = order[at:at + batch]
        inputs = tokenizer([prompts[i] for i in rows], return_tensors="pt", padding=True, add_special_tokens=False)
        out = net.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=limit, do_sample=False)
        for i, ids in zip(rows, out[:, inputs["input_ids"].shape[1]:]):
            result[i] = tokenizer.decode(ids).split("<|im_end|>")[0].replace("<|pad|>", "")
    return result


def brooklet_answers(program, gguf, prompts, limit=120):
    command = [program, "run", "-m", gguf, "--raw", "--temp", "0", "--repeat-penalty", "1", "-n", str(limit), "--json", "-p"]
    run = lambda prompt: subprocess.run([*command, prompt], capture_output=True, text=True, check=True).stdout
    return [json.loads(run(prompt).strip().splitlines()[-1])["text"] for prompt in prompts]


@torch.no_grad()
def perplexity(net, tokenizer, paragraphs, window=192):
    """Per token, over windows that start with <|startoftext|>."""
    ids = [i for p in paragraphs for i in tokenizer(p)["input_ids"]]
    total = count = 0
    for at in range(0, len(ids) - window, window):
        row = torch.tensor([ids[at:at + window + 1]])
        logits = net(row[:, :-1]).logits.float()
        total += torch.nn.functional.cross_entropy(logits[0], row[0, 1:], reduction="sum").item()
        count += window
    return math.exp(total / count)


def report(cases, given, show):
    kinds = {}
    for case, answer in zip(cases, given):
        good = exact(case, answer)
        kinds.setdefault(case["kind"], []).append(good)
        if show and not good:
            want = case.get("answer") or (generate.render_calls(case["calls"]) if case["calls"] else "a refusal")
            print(f"  {case['kind']}: {case['messages'][-1]['content']}\n    want {want}\n    got  {answer}")
    for kind, good in kinds.items():
        print(f"  {kind:14} {sum(good):4} of {len(good):4}  {sum(good) / len(good):6.1%}")
    total = sum(map(sum, kinds.values()))
    print(f"  {'all':14} {total:4} of {len(cases):4}  {total / len(cases):6.1%}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("model", type=pathlib.Path, help="a checkpoint's folder, or a GGUF file made of it")
    p.add_argument("--brooklet", type=pathlib.Path, default=HERE.parents[1] / "target/release/brooklet", help="what runs a GGUF file")
    p.add_argument("--sets", nargs="*", default=["heldout", "hand"])
    p.add_argument("--eval", type=pathlib.Path, default=HERE.parents[1] / "models/demo/eval")
    p.add_argument("--work", type=pathlib.Path, help="corpus folder's parent: measure perplexity of its held-out text too")
    p.add_argument("--every", type=int, default=1, help="only each n-th case")
    p.add_argument("--show", action="store_true", help="print what went wrong")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    sets = {name: [json.loads(line) for line in (args.eval / f"{name}.jsonl").read_text().splitlines()][::args.every] for name in args.sets}
    if args.model.is_dir():
        net = Lfm2ForCausalLM.from_pretrained(args.model, dtype=torch.float32)  # the file's bf16 values, computed in f32
        tokenizer = AutoTokenizer.from_pretrained(args.model)
        run = lambda prompts: answers(net, tokenizer, prompts)
    else:
        run = lambda prompts: brooklet_answers(args.brooklet, args.model, prompts)
    for name, cases in sets.items():
        print(f"{name}: {len(cases)} cases")
        report(cases, run([prompt(c, i) for i, c in enumerate(cases)]), args.show)
    if args.work and args.model.is_dir():
        _, test = corpus.load(args.work / "corpus")
        for source, paragraphs in test.items():
            print(f"perplexity {source}: {perplexity(net, tokenizer, paragraphs):.1f}")


if __name__ == "__main__":
    main()
