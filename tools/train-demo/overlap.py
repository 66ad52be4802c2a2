"""How many requests of the hand-written set a training run saw word for word: `python overlap.py --work work --steps N`
draws its conversations again."""

import json

import generate
import make_tests
import train


def main():
    args = train.arguments()
    data, seen = train.Data(args), set()
    example = data.example

    def recorded(rng):
        pieces = example(rng)
        seen.update(generate.plain(text.removesuffix("<|im_end|>")) for text, role in pieces if role == "user")
        return pieces

    data.example = recorded
    for number in range(-(-args.steps // train.BLOCK)):
        data.block(number)
    cases = [json.loads(line) for line in (make_tests.EVAL / "hand.jsonl").read_text().splitlines()]
    same = [c["messages"][-1]["content"] for c in cases if generate.plain(c["messages"][-1]["content"]) in seen]
    print(f"{len(seen)} requests; {len(same)} of {len(cases)} hand-written ones among them:")
    print("\n".join(same))


if __name__ == "__main__":
    main()
