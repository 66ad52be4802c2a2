"""Writes the test sets, models/demo/eval/*.jsonl: {"kind", "messages", "calls"} or {"kind", "messages", "answer"}.

heldout: wordings and values that the generator keeps out of training, the same number of each kind.
dev: fewer of the same, of a split of their own, and dev.txt: what is looked at while training.
hand: hand.txt, if it is there: written by someone who had not seen the wordings, for people who had not seen it.
Run it before training: train.py leaves out every request that stands in heldout or dev.
"""

import ast
import json
import pathlib
import random

import generate

HERE = pathlib.Path(__file__).parent
EVAL = HERE.parents[1] / "models/demo/eval"
EACH = 45


def parse(source):
    """set_light(room="kitchen", on=True) -> {"name", "arguments"}"""
    tree = ast.parse(source.strip(), mode="eval").body
    return {"name": tree.func.id, "arguments": {k.arg: ast.literal_eval(k.value) for k in tree.keywords}}


def written(path):
    """Cases of a text file: "## kind" lines, and "request => calls" lines."""
    kind = None
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif line and not line.startswith("#"):
            prompt, expected = line.rsplit(" => ", 1)
            calls = [] if expected == "refuse" else [parse(c) for c in expected.split("; ")]
            yield {"kind": kind, "messages": [{"role": "user", "content": prompt}], "calls": calls}


def drawn(split, each, seed=8):
    gen = generate.Generator([], split)  # no words of the corpus: free texts come from the split's own lists
    rng = random.Random(seed)
    seen = set()

    def cases(kind, make):
        n = 0
        while n < each:
            case = make()
            key = generate.plain(json.dumps(case["messages"]))
            if key not in seen:
                seen.add(key)
                n += 1
                yield {"kind": kind, **case}

    def user(text):
        return [{"role": "user", "content": text}]

    for intent in gen.INTENTS:
        def single():
            text, calls = gen.single(rng, intent)
            return {"messages": user(text), "calls": calls}
        yield from cases(intent, single)

    def double():
        text, calls = gen.style(rng, *gen.double(rng))
        return {"messages": user(text), "calls": calls}

    def refusal():
        return {"messages": user(gen.refusal(rng)[0]), "calls": []}

    def follow_up():
        while True:
            text, calls = gen.single(rng)
            result, answer = generate.outcome(rng, calls, gen.texts)
            follow = gen.follow_up(rng, calls[0])
            if follow and not result.startswith('{"error'):
                said, after = gen.style(rng, *follow)
                return {"messages": user(text) + [{"role": "assistant", "content": generate.render_calls(calls)}, {"role": "tool", "content": result},
                                                  {"role": "assistant", "content": answer}] + user(said), "calls": after}

    def answer():
        text, calls = gen.single(rng) if rng.random() < 0.7 else gen.style(rng, *gen.double(rng))
        result, said = generate.outcome(rng, calls, gen.texts)
        return {"messages": user(text) + [{"role": "assistant", "content": generate.render_calls(calls)}, {"role": "tool", "content": result}], "answer": said}

    def extraction():
        text, said = gen.extraction(rng)
        return {"messages": user(text), "answer": said}

    def talk():
        text, said = gen.small_talk(rng)
        return {"messages": user(text), "answer": said}

    for kind, make in (("double", double), ("refusal", refusal), ("follow-up", follow_up), ("answer", answer), ("extraction", extraction), ("talk", talk)):
        yield from cases(kind, make)


def main():
    EVAL.mkdir(parents=True, exist_ok=True)
    own = [{**case, "kind": f"by hand {case['kind']}"} for case in written(HERE / "dev.txt")]
    sets = {"heldout": list(drawn("test", EACH)), "dev": [*drawn("dev", EACH // 3), *own]}
    if (HERE / "hand.txt").exists():
        sets["hand"] = list(written(HERE / "hand.txt"))
    for name, cases in sets.items():
        (EVAL / f"{name}.jsonl").write_text("".join(json.dumps(c, ensure_ascii=False) + "\n" for c in cases))
        kinds = {}
        for c in cases:
            kinds[c["kind"]] = kinds.get(c["kind"], 0) + 1
        print(name, len(cases), kinds)


if __name__ == "__main__":
    main()
