"""Plain English from two Debian packages: the King James Bible (bible-kjv-text, printed by bible-kjv) and the English
Debian Administrator's Handbook (debian-handbook). Needs apt-get and dpkg, nothing installed."""

import html
import pathlib
import re
import subprocess


def fetch(work):
    """Writes work/kjv.txt and work/handbook.txt, one paragraph a line."""
    work = pathlib.Path(work)
    if (work / "handbook.txt").exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", "bible-kjv-text", "bible-kjv", "debian-handbook"], cwd=work, check=True)
    for deb in work.glob("*.deb"):
        subprocess.run(["dpkg", "-x", deb, work / "root"], check=True)
    usr = work.resolve() / "root/usr"
    printed = subprocess.run([usr / "bin/bible", "-f", "-p", usr / "lib"], input="gen1:1-rev22:21\n", text=True, capture_output=True, check=True).stdout
    verses = re.findall(r"^(\w+?\d+):(\d+) (.*)$", printed, re.M)
    chapters = {}
    for chapter, _, verse in verses:
        chapters.setdefault(chapter, []).append(verse.strip())
    (work / "kjv.txt").write_text("\n".join(" ".join(c[i:i + 6]) for c in chapters.values() for i in range(0, len(c), 6)) + "\n")
    paragraphs = []
    for page in sorted((usr / "share/doc/debian-handbook/html/en-US").glob("*.html")):
        for p in re.findall(r"<p>(.*?)</p>|<div class=\"para\">(.*?)</div>", page.read_text(), re.S):
            text = html.unescape(re.sub(r"<[^>]+>", "", p[0] or p[1]))
            text = re.sub(r"\s+", " ", text).strip().replace("’", "'").replace("“", '"').replace("”", '"')
            if len(text) > 80:
                paragraphs.append(text)
    (work / "handbook.txt").write_text("\n".join(dict.fromkeys(paragraphs)) + "\n")


def load(work):
    """(training paragraphs, held-out paragraphs) by source: one in forty is held out."""
    train, test = {}, {}
    for source in ("kjv", "handbook"):
        paragraphs = (pathlib.Path(work) / f"{source}.txt").read_text().splitlines()
        test[source] = paragraphs[::40]
        train[source] = [p for i, p in enumerate(paragraphs) if i % 40]
    return train, test


def vocabulary(train):
    """Words of the corpus that are used at least twice, for texts that nobody could guess."""
    count = {}
    for paragraphs in train.values():
        for word in re.findall(r"\b[A-Za-z][a-z]{2,}\b", " ".join(paragraphs)):
            count[word] = count.get(word, 0) + 1
    return sorted(w for w, n in count.items() if n >= 2)


if __name__ == "__main__":
    fetch("work")
    train, test = load("work")
    for source in train:
        print(source, len(train[source]), "paragraphs,", sum(map(len, train[source])), "characters; held out", len(test[source]))
    print(len(vocabulary(train)), "words;", train["handbook"][100], train["kjv"][100])
