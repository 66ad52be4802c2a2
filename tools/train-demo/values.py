"""What the requests are about: rooms, numbers, times, texts; each with how people say it and how a call writes it.

Everything belongs to one of three splits: "train"; "dev", which is looked at while training; "test", which is kept
for the end. Lines of a list (wordings, names, items) are dealt out by `part`, numbers and times by `side`. Closed
sets that must be seen to be known (rooms, colours, days, fixed phrases such as "half an hour") are in all three.
"""

import hashlib
import pathlib

FOLDER = pathlib.Path(__file__).with_name("values")
SALT = "brook-4"


def fingerprint(kind, value):
    return int.from_bytes(hashlib.blake2b(f"{SALT}:{kind}:{value}".encode(), digest_size=4).digest(), "big")


def side(kind, value):
    """The split of a number or a time: test for two in sixteen, dev for one."""
    n = fingerprint(kind, value) % 16
    return "test" if n < 2 else "dev" if n == 2 else "train"


def part(kind, values, split):
    """The members of a list that belong to a split: one in eight to test (one at least, of six or more), one in
    sixteen to dev (one at least, of twelve or more), by a hash that never changes."""
    order = sorted(dict.fromkeys(values), key=lambda v: fingerprint(kind, v))
    test = max(len(order) // 8, len(order) >= 6)
    dev = test + max(len(order) // 16, len(order) >= 12)
    chosen = set({"test": order[:test], "dev": order[test:dev], "train": order[dev:]}[split])
    return [v for v in dict.fromkeys(values) if v in chosen]


def read(name, folder=FOLDER):
    """The lines of values/NAME.txt."""
    return [line for line in (folder / f"{name}.txt").read_text().splitlines() if line]


# Canonical name: how people say it (the first one most often).
ROOMS = {
    "kitchen": ["kitchen"],
    "living room": ["living room", "lounge", "sitting room", "parlour", "livingroom"],
    "bedroom": ["bedroom", "bed room", "sleeping room"],
    "bathroom": ["bathroom", "toilet", "washroom", "bath", "loo", "restroom"],
    "hallway": ["hallway", "hall", "corridor", "entrance", "entry hall"],
    "office": ["office", "study", "home office"],
    "garage": ["garage"],
    "garden": ["garden", "yard", "backyard", "back yard"],
    "kids room": ["kids room", "nursery", "children's room", "kid's room", "kids' room", "baby's room", "childrens room"],
    "attic": ["attic", "loft"],
    "basement": ["basement", "cellar"],
    "dining room": ["dining room", "diningroom"],
    "guest room": ["guest room", "spare room", "guestroom", "spare bedroom"],
    "laundry room": ["laundry room", "utility room", "laundry"],
    "workshop": ["workshop", "hobby room"],
    "balcony": ["balcony", "terrace"],
}
COLORS = ["red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "warm white", "turquoise"]
LEVELS = {
    50: ["half", "half brightness", "half power", "medium", "medium brightness", "half strength", "half light"],
    100: ["full", "full brightness", "full power", "maximum", "the maximum", "maximum brightness", "max", "full light",
          "full blast", "full strength", "the brightest"],
    10: ["minimum", "the minimum", "the lowest", "the lowest level", "night light", "minimum brightness",
         "the lowest setting", "night light level"],
}
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
DEGREES = [" degrees", " degrees", " degrees", " degrees", "°", " °C", " degrees celsius", " C"]

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen").split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def words(n, rng=None):
    """A number below 1,000 in words."""
    if n >= 100:
        rest = f" and {words(n % 100, rng)}" if n % 100 else ""
        return f"{ONES[n // 100] if n >= 200 or rng is None or rng.random() < 0.5 else 'a'} hundred{rest}"
    if n < 20:
        return ONES[n]
    dash = "-" if rng is not None and rng.random() < 0.4 else " "
    return TENS[n // 10] + (dash + ONES[n % 10] if n % 10 else "")


def number(rng, n):
    return words(n, rng) if rng.random() < 0.45 else str(n)


def of_split(kind, split, draw):
    """Draws until the value belongs to the split."""
    while True:
        value = draw()
        if side(kind, value) == split:
            return value


def room(rng):
    """(canonical, spoken)"""
    name = rng.choice(list(ROOMS))
    spoken = ROOMS[name]
    return name, spoken[0] if rng.random() < 0.55 else rng.choice(spoken)


def brightness(rng, split):
    n = of_split("brightness", split, lambda: 5 * rng.randint(1, 20) if rng.random() < 0.6 else rng.randint(1, 99))
    return n, number(rng, n) + rng.choice([" percent", " percent", " percent", "%", "%", " %", " per cent"])


def temperature(rng, split):
    if split == "train" and rng.random() < 0.15:  # beyond what a house needs, so that any number is understood
        n = of_split("temperature", split, lambda: float(rng.randint(1, 99)))
    else:
        n = of_split("temperature", split, lambda: rng.randint(20, 56) / 2 if rng.random() < 0.4 else float(rng.randint(8, 30)))
    whole = int(n)
    if n == whole:
        return whole, number(rng, whole)
    said = [f"{n}", f"{n}", f"{words(whole, rng)} and a half", f"{whole} and a half", f"{words(whole, rng)} point five"]
    return n, rng.choice(said)


# Fixed phrases: what they mean, how they are said, and before "timer".
PHRASES = [
    ((0, 30, 0), "half an hour", "half hour"), ((0, 30, 0), "half an hour", "30 minute"), ((0, 30, 0), "a half hour", "half-hour"),
    ((0, 15, 0), "a quarter of an hour", "quarter hour"), ((0, 15, 0), "quarter of an hour", "15 minute"),
    ((0, 15, 0), "a quarter hour", "quarter-hour"), ((0, 45, 0), "three quarters of an hour", "three quarter hour"),
    ((0, 45, 0), "three-quarters of an hour", "45 minute"), ((0, 45, 0), "three quarters of an hour", "three-quarter hour"),
    ((1, 0, 0), "an hour", "hour"), ((1, 0, 0), "one hour", "one hour"), ((1, 0, 0), "1 hour", "1 hour"), ((1, 0, 0), "an hour", "one-hour"),
    ((1, 30, 0), "an hour and a half", "hour and a half"), ((1, 30, 0), "one and a half hours", "one and a half hour"),
    ((1, 30, 0), "1.5 hours", "1.5 hour"), ((1, 30, 0), "one hour and a half", "1.5 hour"), ((1, 30, 0), "1 and a half hours", "hour and a half"),
    ((1, 15, 0), "an hour and a quarter", "hour and a quarter"), ((1, 15, 0), "one and a quarter hours", "one and a quarter hour"),
    ((1, 45, 0), "an hour and three quarters", "hour and three quarters"), ((0, 1, 0), "a minute", "minute"), ((0, 1, 0), "one minute", "one minute"),
    ((0, 1, 0), "1 minute", "1 minute"), ((0, 1, 30), "a minute and a half", "minute and a half"), ((0, 1, 30), "one and a half minutes", "one and a half minute"),
    ((0, 1, 30), "1.5 minutes", "1.5 minute"), ((0, 0, 30), "half a minute", "half minute"), ((0, 0, 30), "thirty seconds", "thirty second"),
]


def named(parts):
    """(1, 30, 0) -> {"hours": 1, "minutes": 30}"""
    return {k: n for k, n in zip(("hours", "minutes", "seconds"), parts) if n}


def duration(rng, split):
    """({"hours", "minutes", "seconds"} as said, "five minutes", "five minute" as before "timer")"""
    if rng.random() < 0.20:
        parts, said, before = rng.choice(PHRASES)
        return named(parts), said, before
    kind = rng.choices(["minutes", "seconds", "hours", "half hours", "hours minutes", "half minutes", "minutes seconds"],
                       [52, 9, 11, 6, 14, 4, 4])[0]
    common = [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 90]
    draw = {
        "minutes": lambda: (0, rng.choice(common) if rng.random() < 0.45 else rng.randint(2, 125), 0),
        "seconds": lambda: (0, 0, 5 * rng.randint(1, 24) if rng.random() < 0.7 else rng.randint(2, 99)),
        "hours": lambda: (rng.randint(2, 12) if rng.random() < 0.85 else rng.randint(13, 48), 0, 0),
        "half hours": lambda: (rng.randint(2, 9), 30, 0),
        "hours minutes": lambda: (rng.choice([1, 1, 1, 2, 2, 3, 4, 5, 6]), 5 * rng.randint(1, 11) if rng.random() < 0.7 else rng.randint(1, 59), 0),
        "half minutes": lambda: (0, rng.randint(2, 9), 30),
        "minutes seconds": lambda: (0, rng.randint(1, 20), 5 * rng.randint(1, 11)),
    }[kind]
    # Halves are too few to keep any back.
    parts = draw() if kind.startswith("half") else of_split(f"duration {kind}", split, draw)
    h, m, s = parts
    if kind.startswith("half"):
        n, unit = (h, "hour") if h else (m, "minute")
        w = number(rng, n)
        said, before = rng.choice([(f"{w} and a half {unit}s", f"{w} and a half {unit}"), (f"{n}.5 {unit}s", f"{n}.5 {unit}"),
                                   (f"{w} {unit}s and a half", f"{n}.5 {unit}"), (f"{w} and a half {unit}s", f"{w}-and-a-half-{unit}")])
        return named(parts), said, before
    short = {"hour": ["hours", "hours", "hours", "hours", "h", "hrs"], "minute": ["minutes"] * 6 + ["min", "mins"],
             "second": ["seconds"] * 4 + ["sec", "secs"]}
    pieces = []
    for n, unit in ((h, "hour"), (m, "minute"), (s, "second")):
        if n:
            one = {"hour": "an", "minute": "a", "second": "a"}[unit] if rng.random() < 0.5 else number(rng, 1)
            pieces.append(f"{one} {unit}" if n == 1 else f"{number(rng, n)} {rng.choice(short[unit])}")
    said = rng.choice([" and ", " and ", " and ", " ", ", "]).join(pieces)
    if len(pieces) == 1:
        n, unit = next((n, u) for n, u in ((h, "hour"), (m, "minute"), (s, "second")) if n)
        before = f"{number(rng, n)}{rng.choice([' ', ' ', ' ', '-'])}{unit}"
        if rng.random() < 0.05 and n > 2 and unit == "minute" and not pieces[0][0].isdigit():
            pieces[0] = pieces[0].replace("minutes", "minute")  # a slip that people make
    else:
        before = re_unit(pieces)
    return named(parts), said, before


def re_unit(pieces):
    """["an hour", "20 minutes"] -> "hour and 20 minute" """
    text = " and ".join(pieces)
    for unit in ("hour", "minute", "second"):
        text = text.replace(f"{unit}s", unit)
    return text.removeprefix("an ").removeprefix("a ")


def clock(rng, split):
    """("HH:MM", spoken without "at"); 1 to 11 mean the morning unless the words say otherwise."""
    def draw():
        h = rng.choice([*range(6, 24), *range(6, 23), *range(0, 6), 12])
        return h, rng.choice([0, 0, 0, 30, 30, 15, 45]) if rng.random() < 0.62 else rng.choice([5 * rng.randint(1, 11), rng.randint(1, 59)])
    h, m = of_split("clock", split, draw)
    value, late = f"{h:02}:{m:02}", h >= 12
    if rng.random() < 0.3 or (h == 0 and m):
        return value, rng.choice([f"{h}:{m:02}", f"{h}:{m:02}", f"{h:02}:{m:02}"])
    if h == 0:
        return value, rng.choice(["midnight", "midnight", "12 at night", "twelve at night"])
    if h == 12:
        if m == 0:
            return value, rng.choice(["noon", "noon", "midday", "12 o'clock", "twelve", "twelve o'clock", "12:00", "12 pm", "12 noon"])
        return value, spoken_clock(rng, 12, m)
    h12 = h % 12 or 12
    spoken = spoken_clock(rng, h12, m)
    digits = spoken[0].isdigit() and "past" not in spoken and " to " not in spoken
    if late:
        tails = [" pm", "pm", " p.m.", " PM"] * 2 if digits else [" pm"]
        tails += [" in the afternoon"] * 4 if h < 18 else [" in the evening"] * 4 if h < 22 else [" in the evening", " at night", " at night"]
        tails += [" in the evening"] if h == 17 else []
        return value, spoken + rng.choice(tails)
    tails = [" am", "am", " a.m.", " AM"] if digits else []
    tails += [" in the morning", " in the morning", "", "", "", "", ""] + ([" o'clock"] * 3 if m == 0 else [])
    return value, spoken + rng.choice(tails)


def spoken_clock(rng, h, m):
    """7:30 as people say it, on a clock of twelve hours."""
    nxt = h % 12 + 1
    to = [] if h == 12 else [words(nxt), words(nxt), str(nxt)]  # "ten to one" has no morning and no noon
    forms = [f"{h}:{m:02}", f"{h}:{m:02}", f"{h}.{m:02}"] if m else [str(h), words(h)]
    if m in (15, 30):
        forms += [f"{'quarter' if m == 15 else 'half'} past {words(h)}"] * 4
        forms += [f"{'a quarter' if m == 15 else 'half'} past {h}"]
    if m == 45:
        forms += [f"{q} to {n}" for n in to for q in ("quarter", "a quarter")]
    if m in (5, 10, 20, 25):
        forms += [f"{words(m)} past {words(h)}", f"{m} past {h}", f"{words(m)} past {words(h)}", f"{words(m)} minutes past {words(h)}"]
    if m in (35, 40, 50, 55):
        forms += [f"{words(60 - m)} to {n}" for n in to] + [f"{60 - m} to {n}" for n in to[2:]]
    if m >= 10:
        forms.append(f"{words(h)} {words(m, rng)}")
    elif m:
        forms.append(f"{words(h)} oh {words(m)}")
    return rng.choice(forms)


def moment(rng, split):
    """When: (arguments of add_reminder, spoken with its preposition)."""
    r = rng.random()
    if r < 0.34:
        value, said = clock(rng, split)
        return {"time": value}, f"{rng.choice(['at', 'at', 'at', 'at', 'for', 'by', 'today at', '', ''])} {said}".strip()
    if r < 0.48:
        return day_of(rng)
    if r < 0.66:
        day, said = day_of(rng, whole=True)
        value, at = clock(rng, split)
        return {**day, "time": value}, rng.choice([f"{said} at {at}", f"{said} at {at}", f"at {at} {said}", f"{said}, {at}", f"{said} {at}"])
    if r < 0.80:
        return part_of_day(rng, split)
    while True:
        arg, said, _ = duration(rng, split)
        if "seconds" not in arg:
            return arg, rng.choice([f"in {said}", f"in {said}", f"in {said}", f"{said} from now"])


def part_of_day(rng, split):
    """A time that a part of a day makes clear: "tonight at nine", "on Friday evening at half past six"."""
    def draw():
        name = rng.choice(["morning", "morning", "afternoon", "evening", "tonight"])
        h = rng.randint(*{"morning": (5, 11), "afternoon": (13, 17), "evening": (17, 22), "tonight": (18, 23)}[name])
        return name, h, rng.choice([0, 0, 0, 30, 15, 45, 20, 10, 50])
    name, h, m = draw()
    while side("clock", (h, m)) != split:
        name, h, m = draw()
    said, value = spoken_clock(rng, h % 12 or 12, m), f"{h:02}:{m:02}"
    if name == "tonight":
        return {"time": value}, rng.choice([f"tonight at {said}", f"at {said} tonight", f"tonight, {said}"])
    if name != "morning" and rng.random() < 0.35:
        return {"time": value}, rng.choice([f"this {name} at {said}", f"at {said} this {name}"])
    if rng.random() < 0.5:
        day, spoken = "tomorrow", f"tomorrow {name}"
    else:
        day = rng.choice(DAYS)
        spoken = rng.choice([f"on {day.capitalize()} {name}", f"on {day.capitalize()} {name}", f"{day.capitalize()} {name}", f"next {day.capitalize()} {name}"])
    return {"day": day, "time": value}, rng.choice([f"{spoken} at {said}", f"{spoken} at {said}", f"at {said} {spoken}", f"{spoken}, {said}"])


def day_of(rng, whole=False):
    """({"day"}, spoken), only the names of whole days where asked; today and tonight are left out of the call."""
    r = rng.random()
    if r < 0.05 and not whole:
        return {}, rng.choice(["today", "tonight", "this evening"])
    if r < 0.44:
        return {"day": "tomorrow"}, "tomorrow" if whole or rng.random() < 0.9 else rng.choice(["tomorrow morning", "tomorrow evening"])
    day = rng.choice(DAYS)
    name = day.capitalize()
    return {"day": day}, rng.choice([f"on {name}", f"on {name}", f"on {name}", name, f"next {name}", f"this {name}", f"coming {name}"])


QUANTITIES = ["a bottle of", "two bottles of", "a kilo of", "two kilos of", "half a kilo of", "a pack of", "three packs of", "a litre of", "two litres of",
              "a bag of", "a box of", "a can of", "four cans of", "a jar of", "some", "some", "some", "more", "more", "a bit of", "a dozen", "five", "two",
              "six", "a few", "a loaf of", "100 grams of", "500 g of", "a carton of", "two cartons of", "a tube of", "ten", "three", "a packet of",
              "a piece of", "the", "a"]


NAMES = ("items", "timer_names", "people", "nouns", "cities", "first_names", "surnames", "companies", "streets", "titles")


def lists_of(folder):
    """{name: its values} of a folder; a task is (verb, thing)."""
    tasks = [(verb, thing.strip()) for line in read("tasks", folder) for verb, things in [line.split(":")] for thing in things.split("|")]
    return {name: read(name, folder) for name in NAMES} | {"tasks": tasks}


def words_of(value):
    return (value if isinstance(value, str) else " ".join(value)).lower().split()


class Texts:
    """Free texts of a split: from the lists and, in training, so that copying is learned for any word, from words of
    the corpus and made-up ones. Words that only values of the other splits have are left out of those."""

    def __init__(self, vocabulary, split):
        self.split = split
        lists, more = lists_of(FOLDER), lists_of(FOLDER / "more")
        known = {w for name, values in lists.items() for v in part(name, values, "train") for w in words_of(v)}
        kept = {w for values in lists.values() for v in values for w in words_of(v)} - known
        for name, values in lists.items():
            chosen = part(name, values, split)
            if split == "train":  # those of values/more are for training alone, and none has a word of the other splits
                chosen += [v for v in more[name] if v not in values and not kept & set(words_of(v))]
            setattr(self, name, chosen)
        self.words = [w for w in vocabulary if w.lower() not in kept]
        self.free = 0.5 if split == "train" else 0.0
        self.pieces = []  # of words, as the tokenizer cuts them: training sets them

    def person(self, rng):
        if rng.random() < self.free * 0.6:
            return self.any_word(rng).capitalize()
        return rng.choice(self.people)

    def some(self, rng, least, most):
        """A few of any words; now and then one of them is so common that the text could seem to end before it."""
        words = [self.any_word(rng) for _ in range(rng.randint(least, most))]
        if len(words) > 1 and rng.random() < 0.25:
            if rng.random() < 0.5:
                words.insert(1, rng.choice("of with for in on to up".split()))
            else:
                words[-1] = rng.choice("time up off out free less light room day over water juice paper".split())
        return " ".join(words)

    def any_word(self, rng):
        """A word of the corpus, the head of one with the tail of another, syllables or tokens drawn alike (so that every
        token is copied as often as any other): those can only be copied."""
        r, word = rng.random(), rng.choice(self.words).lower()
        if self.pieces and rng.random() < 0.35:
            return "".join(rng.choice(self.pieces) for _ in range(rng.choice([1, 1, 2, 2, 3])))
        if r < 0.35:
            word = word[:rng.randint(2, 4)] + rng.choice(self.words)[-rng.randint(2, 5):].lower()
        elif r < 0.55:
            word = "".join(rng.choice("b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kl pl pr sch sh sp st str tr th".split()) + rng.choice("a e i o u y ai ea ee ie oo ou".split())
                           for _ in range(rng.randint(1, 3))) + rng.choice(["", "n", "r", "l", "s", "t", "ck", "m", "sh", "x"])
        if r > 0.96:
            for plain, odd in rng.sample([("e", "é"), ("a", "ä"), ("o", "ö"), ("u", "ü"), ("n", "ñ"), ("c", "ç")], 3):
                word = word.replace(plain, odd, 1)
        return word

    def task(self, rng):
        r = rng.random()
        verb, thing = rng.choice(self.tasks)
        if r < self.free * 0.5:
            thing = rng.choice(["the ", "the ", "my ", "a ", "our ", ""]) + self.some(rng, 1, 2)
        elif r < self.free * 0.8:
            return self.some(rng, 1, 4)
        elif rng.random() < 0.12 and thing:
            thing += rng.choice([f" for {self.person(rng)}", f" with {self.person(rng)}", " before dinner", " for the party", " after work", " again",
                                 " in the garage", " at the office", " from the shop"])
        return f"{verb} {thing}".strip().replace("@", self.person(rng))

    def noun(self, rng):
        if rng.random() < self.free * 0.85:
            return rng.choice(["the ", "the ", "my ", "", "our "]) + self.some(rng, 1, 2)
        return rng.choice(self.nouns).replace("@", self.person(rng))

    def item(self, rng):
        """(as the call writes it, as said): a leading some, a, an, the, more is not part of the item."""
        item = self.some(rng, 1, 3) if rng.random() < self.free else rng.choice(self.items)
        if not item.startswith(("a ", "an ")):
            q = rng.random()
            if q < 0.35:
                item = f"{rng.choice(QUANTITIES)} {item}"
            elif q < 0.40:
                item = f"{item} for {self.person(rng)}"
        return bare(item), item

    def timer(self, rng):
        return self.some(rng, 1, 2) if rng.random() < self.free else rng.choice(self.timer_names)


def bare(item):
    for article in ("some ", "an ", "a ", "the ", "more "):
        if item.startswith(article):
            return item[len(article):]
    return item
