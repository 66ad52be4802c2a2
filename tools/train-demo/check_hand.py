"""Which requests of the hand-written set the training wordings can produce: `python check_hand.py`. Wordings become
regular expressions over letters and digits, with the generator's own rooms, colours, numbers, politeness and clauses
for their slots; free texts match anything. Those requests are no test of new wordings."""

import json
import re

import generate
import make_tests
import values as v
import wordings as w


def one_of(texts):
    plain = {generate.plain(t) for t in texts}
    return "(?:" + "|".join(sorted(map(re.escape, plain - {""}), key=len, reverse=True)) + ")"


NUMBER = r"(?:\d+|(?:(?:an?|and|half|point|five|" + "|".join(v.ONES + v.TENS) + ")(?: |$)?)+)(?: \\d+)?"
UNIT = "(?:minutes?|mins?|hours?|seconds?|sec|an? hour|and a half|quarters? of an hour)"
SLOTS = {"room": one_of(s for spoken in v.ROOMS.values() for s in spoken), "color": one_of(v.COLORS), "pct": NUMBER + " ?(?:percent|per cent)?",
         "temp": NUMBER, "deg": "(?: ?degrees(?: celsius)?| ?c)?", "level": one_of(s for levels in w.LEVELS.values() for s in levels),
         "dur": rf"(?:{NUMBER} ?{UNIT}?(?: ?(?:and )?{NUMBER} ?{UNIT})*(?: of an hour)?)", "when": r"(?:at|for|by|in|on|next|this|tomorrow|tonight|\d|" + "|".join(v.ONES + v.DAYS) + r").{0,40}?"}
SLOTS["durs"] = SLOTS["dur"]
BEFORE = f"(?:(?:{one_of(w.PREFIX + w.ASK)}|{one_of(w.BEFORE)}(?: so| and)?) )" + "{0,3}"
AFTER = f"(?: (?:{one_of(w.SUFFIX)}|(?:because )?{one_of(w.BEFORE)}))" + "{0,2}"


def pattern(wording):
    out = ""
    for token in re.findall(r"\{\w+\}|[()|]|[^(){}|]+", re.sub(r"\bthe \{room\}", "(the|my|our|that|) {room}", wording.lstrip("!"))):
        if token.startswith("{"):
            out += SLOTS.get(token[1:-1].rstrip("2"), ".+?")
        elif token in "()|":
            out += {"(": "(?:", ")": ")", "|": "|"}[token]
        else:
            out += re.sub(r"[^a-z0-9]+", " *", token.lower())
    return re.compile(f"^{BEFORE} *(?:{out}) *{AFTER} *$")


FAMILY = {"set_light": ("LIGHT", "ALL"), "set_heating": ("HEAT", "COLD", "HOT"), "set_timer": "TIMER", "cancel_timer": "CANCEL", "add_reminder": "REMIND",
          "add_to_list": "LIST", "get_status": "STATUS", "double": "PAIRS", "refusal": "REFUSALS"}


def produced(cases):
    """{request: the wording that produces it}; of two requests in one only the fixed pairs are looked at."""
    generator = generate.Generator(["stone"])
    blocks = {**generator.blocks, "REFUSALS": [line for _, line in generator.refusals],
              "PAIRS": [p[0] for p in generator.PAIRS if not v.held("PAIRS", p[0])]}
    patterns = [(name, line, pattern(line)) for name, lines in blocks.items() for line in lines]
    found = {}
    for case in cases:
        said = generate.plain(case["messages"][0]["content"])
        for name, line, p in patterns:
            if name.startswith(FAMILY[case["kind"]]) and p.match(said):
                found[case["messages"][0]["content"]] = f"{name}: {line}"
                break
    return found


if __name__ == "__main__":
    cases = [json.loads(line) for line in (make_tests.EVAL / "hand.jsonl").read_text().splitlines()]
    found = produced(cases)
    for request, wording in found.items():
        print(f"{request}   <- {wording}")
    print(f"{len(found)} of {len(cases)}")
