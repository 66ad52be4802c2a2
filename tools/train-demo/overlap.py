"""How many requests of the hand-written set training's conversations hold word for word:
`python overlap.py --conversations 1000000` draws as many. (A run draws about one for each 84 tokens.)"""

import argparse
import json
import pathlib
import random

import corpus
import generate
import make_tests


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("work"), help="where the corpus lives")
    p.add_argument("--conversations", type=int, default=1_000_000)
    p.add_argument("--seed", type=int, default=3)
    args = p.parse_args()
    corpus.fetch(args.work / "corpus")
    train, _ = corpus.load(args.work / "corpus")
    generator, rng = generate.Generator(corpus.vocabulary(train)), random.Random(args.seed)
    cases = [json.loads(line) for line in (make_tests.EVAL / "hand.jsonl").read_text().splitlines()]
    wanted = {generate.plain(c["messages"][-1]["content"]): c["messages"][-1]["content"] for c in cases}
    met = {}
    for _ in range(args.conversations):
        for message in generator.conversation(rng)[1]:
            if message["role"] == "user" and (said := generate.plain(message["content"])) in wanted:
                met[wanted[said]] = met.get(wanted[said], 0) + 1
    print(f"{len(met)} of {len(cases)} hand-written requests:")
    for said, times in sorted(met.items(), key=lambda pair: -pair[1]):
        print(f"{times:6} {said}")


if __name__ == "__main__":
    main()
