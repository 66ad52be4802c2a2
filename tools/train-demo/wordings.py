"""How people word the requests: wordings/*.txt, one wording a line under "## BLOCK". (a|b|) chooses; {slot} is
filled; a leading "!" marks an imperative, which may follow "could you"; "the {room}" may become "my {room}"."""

import pathlib
import re

import values as v

FOLDER = pathlib.Path(__file__).with_name("wordings")
GROUP = re.compile(r"\(([^()]*)\)")


def read(name, folder=FOLDER):
    """{block: its lines} of wordings/NAME.txt."""
    blocks = {}
    for line in (folder / f"{name}.txt").read_text().splitlines():
        if line.startswith("## "):
            lines = blocks.setdefault(line[3:], [])
        elif line:
            lines.append(line)
    return blocks


def more(name):
    """{block: the lines that wordings/more/NAME.txt adds}: they are for training alone, so that they move no line from one
    split to another, and what stands in wordings/NAME.txt already stays where it is."""
    every = read(name)
    return {block: [line for line in lines if line not in every.get(block, ())] for block, lines in read(name, FOLDER / "more").items()}


def of_split(name, split):
    """The lines of each block that belong to a split, in training with `more`; blocks without any are left out."""
    blocks = {block: v.part(f"{name} {block}", lines, split) for block, lines in read(name).items()}
    if split == "train":
        for block, lines in more(name).items():
            blocks.setdefault(block, []).extend(lines)
    return {block: lines for block, lines in blocks.items() if lines}


def expand(rng, wording):
    """Chooses among the alternatives, innermost first."""
    while True:
        text = GROUP.sub(lambda m: rng.choice(m.group(1).split("|")), wording)
        if text == wording:
            return text
        wording = text
