"""Examples for the home controller: conversations with calls in LFM2's format, made by seeded chance from wordings/ and
values/. `python generate.py [SEED [COUNT [SPLIT]]]` prints a few; train.py draws its batches from `Generator`."""

import json
import random
import re

import values as v
import wordings as w

TOOLS = [
    {"name": "set_light", "parameters": {"room": "string", "on": "boolean", "brightness": "integer", "color": "string"}},
    {"name": "set_heating", "parameters": {"room": "string", "temperature": "number"}},
    {"name": "set_timer", "parameters": {"hours": "integer", "minutes": "integer", "seconds": "integer", "name": "string"}},
    {"name": "cancel_timer", "parameters": {"name": "string"}},
    {"name": "add_reminder", "parameters": {"text": "string", "day": "string", "time": "string", "hours": "integer", "minutes": "integer"}},
    {"name": "add_to_list", "parameters": {"item": "string"}},
    {"name": "get_status", "parameters": {"what": "string", "room": "string"}},
]
SYSTEM = "You are Brook, the voice of a small house.\nList of tools: <|tool_list_start|>" + json.dumps(TOOLS) + "<|tool_list_end|>"
REFUSE = "Sorry, I can't {topic}. I can help with lights, heating, timers, reminders and the shopping list."


def call(name, /, **args):
    return {"name": name, "arguments": {k: a for k, a in args.items() if a is not None}}


def literal(value):
    if isinstance(value, bool) or not isinstance(value, str):
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def render_calls(calls):
    """[f(a="b", c=1)], as LFM2 writes it."""
    one = lambda c: f"{c['name']}({', '.join(f'{k}={literal(a)}' for k, a in c['arguments'].items())})"
    return f"<|tool_call_start|>[{', '.join(map(one, calls))}]<|tool_call_end|>"


def typo(rng, text):
    """One slip of the finger in a word of the wording (never in a slot)."""
    spots = [m for m in re.finditer(r"(?<![{\w'])[a-z]{4,}(?![\w}'])", text)]
    if not spots:
        return text
    m = rng.choice(spots)
    word = m.group()
    i = rng.randint(1, len(word) - 2)
    word = rng.choice([word[:i] + word[i + 1:], word[:i] + word[i] + word[i:], word[:i] + word[i + 1] + word[i] + word[i + 2:]])
    return text[:m.start()] + word + text[m.end():]


KEPT = set("on off out no not don't never without cancel stop end kill clear dim dark light lights lamp lamps timer countdown heat heating warm cold hot "
           "list remind reminder remember all every everywhere both and in for at by to from half full".split())


def unknown(rng, text, word):
    """A wording in which one word that does not carry the meaning is one that nobody knows."""
    spots = [m for m in re.finditer(r"(?<![{\w'])[a-z]{3,}(?![\w}'])", text) if m.group() not in KEPT]
    if len(text.split()) < 6 or not spots:
        return text
    m = rng.choice(spots)
    return text[:m.start()] + word + text[m.end():]


def tidy(text):
    text = re.sub(r" +", " ", text).strip()
    return re.sub(r" ([,.;:?!])", r"\1", text)


def reminder_call(text, when):
    return call("add_reminder", text=text, day=when.get("day"), time=when.get("time"), hours=when.get("hours"), minutes=when.get("minutes"))


REMARKS = """{who} {ing}|{who} {ing}|{who} {ing} with {person}|{who} {b}|{who} back {day}|{person} is coming {day}|{person} leaves {day}|we fly to {b} {day}
{who} done with the {a}|the {a} is {b}|the {a} is here|my {a} is {b} again|there's {a} in the {b}|{person} {b}s the {a}|it's {b} today|the {b} rang
I {b} the {a}|I have {a}|we had {item} for lunch|{person} brought {item}|the {item} tasted fine|{noun} was fine|{noun} is over|I'm late for {noun}
{person} and {person} are {b}|{person} likes {item}|I can't find the {a}|what a {b} day|my {b} hurts|{person} said {b}|the {b} is so {b}|I don't like {item}
{person} is {b}|our {a} broke|the {b} next door is {b}|I was {ing} all day|{person} hates {ing}|{who} tired of {ing}|I love {ing}""".replace("\n", "|").split("|")


class Generator:
    """Requests, calls and conversations of one split."""

    def __init__(self, corpus_words, split="train"):
        self.split = split
        self.texts = v.Texts(corpus_words, split)
        self.blocks = {}
        for name in ("lights", "heating", "timers", "reminders", "list", "status"):
            self.blocks |= w.of_split(name, split)
        self.pairs, self.follow = w.of_split("pairs", split), w.of_split("follow_ups", split)
        self.refusals = [(topic, line) for topic, lines in w.of_split("refusals", split).items() for line in lines]
        talk = w.of_split("talk", split)
        if split == "train":  # each answer is given as often
            most = max(map(len, talk.values()))
            talk = {answer: (lines * most)[:most] for answer, lines in talk.items()}
        self.talk = [(line, answer) for answer, lines in talk.items() for line in lines]
        self.asks, self.facts = w.of_split("extraction", split), w.of_split("facts", split)
        self.speech = w.read("speech")
        self.before = v.part("BEFORE", self.speech["BEFORE"], split)
        if split == "train":
            for block, lines in w.more("speech").items():
                (self.before if block == "BEFORE" else self.speech[block]).extend(lines)

    # One request: (wording, what fills its slots, calls). -----------------------------------------------------

    def choose(self, rng, shares):
        """One of the blocks, by their shares, among those that the split has lines of; and a wording of it."""
        shares = {block: share for block, share in shares.items() if block in self.blocks}
        block = rng.choices(list(shares), list(shares.values()))[0]
        return block, w.expand(rng, rng.choice(self.blocks[block]))

    def light(self, rng):
        kind, text = self.choose(rng, {"LIGHT_ON": 23, "LIGHT_OFF": 21, "LIGHT_PERCENT": 19, "LIGHT_LEVEL": 6, "LIGHT_DIM": 7, "LIGHT_COLOR": 13, "LIGHT_BOTH": 6,
                                       "ALL_ON": 3, "ALL_OFF": 5, "ALL_PERCENT": 2, "ALL_COLOR": 2})
        name, slots = "all", {}
        if not kind.startswith("ALL"):
            name, slots["room"] = v.room(rng)
        brightness = color = None
        if kind.endswith(("PERCENT", "BOTH")):
            brightness, slots["pct"] = v.brightness(rng, self.split)
        elif kind == "LIGHT_LEVEL":
            brightness = rng.choice(list(v.LEVELS))
            slots["level"] = rng.choice(v.LEVELS[brightness])
        elif kind == "LIGHT_DIM":
            brightness = 30
        if kind.endswith(("COLOR", "BOTH")):
            color = slots["color"] = rng.choice(v.COLORS)
        return text, slots, [call("set_light", room=name, on=not kind.endswith("OFF"), brightness=brightness, color=color)]

    def heating(self, rng):
        kind, text = self.choose(rng, {"HEAT": 48, "HEAT_ALL": 9, "COLD": 15, "HOT": 15, "HEAT_ON": 6, "HEAT_OFF": 7})
        name, slots = "all", {}
        if kind != "HEAT_ALL":
            name, slots["room"] = v.room(rng)
        temperature = {"COLD": 22, "HOT": 18, "HEAT_ON": 21, "HEAT_OFF": 5}.get(kind)
        if temperature is None:
            temperature, slots["temp"] = v.temperature(rng, self.split)
            slots["deg"] = rng.choice(v.DEGREES + [""] * 5) if not text.startswith("{temp}") else " degrees"
        return text, slots, [call("set_heating", room=name, temperature=temperature)]

    def timer(self, rng):
        kind, text = self.choose(rng, {"TIMER": 45, "TIMER_NAMED": 55})
        length, slots, name = {}, {}, None
        length, slots["dur"], slots["durs"] = v.duration(rng, self.split)
        if re.match(r"(8|11|18|eight|eleven|hour\b)", slots["durs"]):
            text = text.replace("a {durs}", "an {durs}")
        if kind == "TIMER_NAMED":
            name = slots["name"] = self.texts.timer(rng)
        return text, slots, [call("set_timer", **length, name=name)]

    def cancel(self, rng):
        kind, text = self.choose(rng, {"CANCEL": 42, "CANCEL_NAMED": 58})
        if kind == "CANCEL":
            return text, {}, [call("cancel_timer")]
        name = self.texts.timer(rng)
        return text, {"name": name}, [call("cancel_timer", name=name)]

    def reminder(self, rng):
        _, text = self.choose(rng, {"REMIND_WHEN": 58, "REMIND_NOUN": 26, "REMIND_BARE": 11, "REMIND_BARE_NOUN": 5})
        slots, when = {}, {}
        if "{when}" in text:
            when, slots["when"] = v.moment(rng, self.split)
            # After "for" or before "is" the time stands without its preposition.
            if re.search(r"for {when}|{when} is", text):
                slots["when"] = re.sub(r"^(at|on|for|by) ", "", slots["when"])
            if "is {when}" in text:
                slots["when"] = re.sub(r"^(for|by) ", "at ", slots["when"])
        key = "noun" if "{noun}" in text else "task"
        slots[key] = self.texts.noun(rng) if key == "noun" else self.texts.task(rng)
        return text, slots, [reminder_call(slots[key], when)]

    def shopping(self, rng):
        bare, item = self.texts.item(rng)
        _, text = self.choose(rng, {"LIST": 1})
        return text, {"item": item, "bare": bare}, [call("add_to_list", item=bare)]

    def status(self, rng):
        kind, text = self.choose(rng, {"STATUS_LIGHT": 20, "STATUS_LIGHT_ALL": 10, "STATUS_TEMP": 20, "STATUS_HEAT": 20, "STATUS_TIMERS": 10,
                                       "STATUS_REMINDERS": 10, "STATUS_LIST": 10})
        what = {"LIGHT": "light", "TEMP": "temperature", "HEAT": "heating", "TIMERS": "timers", "REMINDERS": "reminders", "LIST": "list"}[kind.split("_")[1]]
        text += "?" if rng.random() < 0.6 and text[-1] not in "?." else ""
        slots, name = {}, None
        if what in ("light", "temperature", "heating"):
            name = "all"
            if "{room}" in text:
                name, slots["room"] = v.room(rng)
        return text, slots, [call("get_status", what=what, room=name)]

    INTENTS = {"set_light": light, "set_heating": heating, "set_timer": timer, "cancel_timer": cancel, "add_reminder": reminder,
               "add_to_list": shopping, "get_status": status}
    SHARE = {"set_light": 18, "set_heating": 11, "set_timer": 18, "cancel_timer": 9, "add_reminder": 22, "add_to_list": 12, "get_status": 12}

    def request(self, rng, intent=None, dress=True):
        """(text, calls) of one request, in someone's manner of speaking."""
        intent = intent or rng.choices(list(self.SHARE), list(self.SHARE.values()))[0]
        text, slots, calls = self.INTENTS[intent](self, rng)
        return self.word(rng, text, slots, calls, dress)

    def word(self, rng, text, slots, calls, dress=True):
        imperative = text.startswith("!")
        text = text.lstrip("!")
        if dress and rng.random() < 0.06:
            text = typo(rng, text)
        if self.split == "train" and rng.random() < 0.10:
            text = unknown(rng, text, self.texts.any_word(rng))
        if imperative and dress and rng.random() < 0.30:
            text = f"{rng.choice(self.speech['ASK'])} {text}" + ("?" if rng.random() < 0.4 and text[-1] not in "?." else "")
        if dress and rng.random() < 0.20:
            text = f"{rng.choice(self.speech['PREFIX'])} {text}"
        if dress and rng.random() < 0.20:
            end = text[-1] if text[-1] in "?." else ""
            # After a free text only what cannot be part of it.
            free = re.search(r"\{(task|noun|item|bare|name)2?\}\W*$", text)
            text = f"{text.rstrip('?.')}{rng.choice([' ', ', ', ' '])}{rng.choice(self.speech['THANKS' if free else 'SUFFIX'])}{end}"
        if dress and rng.random() < 0.14:
            clause = self.remark(rng)
            text = f"{clause}{rng.choice([', ', '. ', ', so ', ' and '])}{text}" if rng.random() < 0.55 else f"{text.rstrip('.')}{rng.choice([', ', '. ', ', because '])}{clause}"
        if "{room}" in text:
            r = rng.random()
            if r < 0.08:
                text = text.replace("the {room}", rng.choice(["my", "our", "that"]) + " {room}")
            elif r < 0.15:
                text = text.replace("the {room}", "{room}")
        for key, value in slots.items():
            text = text.replace("{" + key + "}", value)
        return tidy(text), calls

    def remark(self, rng):
        """A clause that asks for nothing. In training half of them are made of any words, of tasks and of times, so that
        these too are seen where nothing is to be done."""
        if self.split != "train" or rng.random() < 0.5:
            return rng.choice(self.before)
        texts = self.texts
        verb, thing = rng.choice(texts.tasks)
        ing = (verb[:-1] if verb.endswith("e") else verb) + "ing"
        fill = {
            "a": lambda: texts.some(rng, 1, 2), "b": lambda: texts.any_word(rng), "who": lambda: rng.choice(["I'm", "we're", f"{texts.person(rng)} is"]),
            "ing": lambda: " ".join([ing, *thing.split()[:4]]).replace("@", texts.person(rng)), "person": lambda: texts.person(rng),
            "noun": lambda: texts.noun(rng), "item": lambda: rng.choice(texts.items), "day": lambda: v.day_of(rng, whole=True)[1],
        }
        return re.sub(r"{(\w+)}", lambda m: fill[m.group(1)](), rng.choice(REMARKS))

    def style(self, rng, text, calls):
        """Case and final punctuation. Where all is in small letters, so are the texts in the calls; a capital that only
        the start of a sentence has does not go into them."""
        r = rng.random()
        if r < 0.45:
            text = text[0].upper() + text[1:]
            text = re.sub(r"(?<![ap]\.m)([.?!] )([a-z])", lambda m: m.group(1) + m.group(2).upper(), text)
        elif r < 0.72:
            text = text.lower()
            calls = [call(c["name"], **{k: a.lower() if isinstance(a, str) else a for k, a in c["arguments"].items()}) for c in calls]
        if text[-1] not in "?.!" and rng.random() < 0.45:
            question = re.match(r"(can|could|would|will|is|are|do|did|what|how|which|who|when|may|have|where) ", text.lower())
            text += "?" if question and rng.random() < 0.8 else rng.choice([".", ".", ".", "!"])
        return text, calls

    def single(self, rng, intent=None):
        return self.style(rng, *self.request(rng, intent))

    # Two requests in one. -----------------------------------------------------------------------------------------

    def double(self, rng):
        r = rng.random()
        if r < 0.45:
            kind = rng.choice([k for k, lines in self.pairs.items() for _ in lines])
            return self.pair(rng, w.expand(rng, rng.choice(self.pairs[kind])), kind)
        if r < 0.55:
            return self.items(rng)
        a, calls_a = self.request(rng, dress=rng.random() < 0.5)
        while True:
            b, calls_b = self.request(rng, dress=rng.random() < 0.25)
            if calls_b != calls_a:
                break
        joint = rng.choice(self.speech["JOIN"]).replace("_", " ")
        a = a.rstrip("?.") + ("?" if a.endswith("?") and joint.startswith(".") else "")
        if a.endswith("?"):
            joint = joint[1:]
        return tidy(a + joint + b), calls_a + calls_b

    def items(self, rng):
        """Several things for the list at once."""
        text, pairs = self.choose(rng, {"LIST": 1})[1], [self.texts.item(rng) for _ in range(rng.choice([2, 2, 2, 3]))]
        slots = {"item": listing([said for _, said in pairs]), "bare": listing([bare for bare, _ in pairs])}
        return self.word(rng, text, slots, [call("add_to_list", item=bare) for bare, _ in pairs])

    def pair(self, rng, text, kind):
        """A wording for two calls of known kinds: "on off", "heat heat", "list", "named" ..."""
        slots = {}
        (r1, slots["room"]), (r2, slots["room2"]) = v.room(rng), v.room(rng)
        while r2 == r1:
            r2, slots["room2"] = v.room(rng)
        (b1, slots["pct"]), (b2, slots["pct2"]) = v.brightness(rng, self.split), v.brightness(rng, self.split)
        (t1, slots["temp"]), (t2, slots["temp2"]) = v.temperature(rng, self.split), v.temperature(rng, self.split)
        slots["color"], slots["color2"] = c1, c2 = rng.sample(v.COLORS, 2)
        if kind == "list":
            (i1, slots["item"]), (i2, slots["item2"]) = self.texts.item(rng), self.texts.item(rng)
            slots["bare"], slots["bare2"] = i1, i2
            calls = [call("add_to_list", item=i1), call("add_to_list", item=i2)]
        elif kind in ("timers", "named"):
            (d1, slots["dur"], _), (d2, slots["dur2"], _) = v.duration(rng, self.split), v.duration(rng, self.split)
            n1 = n2 = None
            if kind == "named":
                n1, n2 = slots["name"], slots["name2"] = self.texts.timer(rng), self.texts.timer(rng)
            calls = [call("set_timer", **d1, name=n1), call("set_timer", **d2, name=n2)]
        elif kind == "remind":
            (m1, slots["when"]), (m2, slots["when2"]) = v.moment(rng, self.split), v.moment(rng, self.split)
            slots["task"], slots["task2"] = self.texts.task(rng), self.texts.task(rng)
            calls = [reminder_call(slots["task"], m1), reminder_call(slots["task2"], m2)]
        else:
            light = lambda room, **args: call("set_light", room=room, on=args.pop("on", True), **args)
            heat = lambda room, degrees: call("set_heating", room=room, temperature=degrees)
            ask = lambda what, room=None: call("get_status", what=what, room=room)
            one = {
                "on": lambda room, i: light(room), "off": lambda room, i: light(room, on=False),
                "pct": lambda room, i: light(room, brightness=(b1, b2)[i]), "color": lambda room, i: light(room, color=(c1, c2)[i]),
                "heat": lambda room, i: heat(room, (t1, t2)[i]), "heat1": lambda room, i: heat(r1, t1),
                "light?": lambda room, i: ask("light", room), "temp?": lambda room, i: ask("temperature", room),
                "heat?": lambda room, i: ask("heating", room), "temp1?": lambda room, i: ask("temperature", r1), "heat1?": lambda room, i: ask("heating", r1),
                "list?": lambda room, i: ask("list"), "reminders?": lambda room, i: ask("reminders"), "timers?": lambda room, i: ask("timers"),
            }
            plan = kind.split() * (1 if " " in kind else 2)
            calls = [one[plan[0]](r1, 0)]
            second = calls[0]["arguments"] | {"room": r2}
            calls.append(call(calls[0]["name"], **second) if plan[1] == "same" else one[plan[1]](r2, 1))
        return self.word(rng, text, slots, calls)

    # Requests that need the one before. ---------------------------------------------------------------------------

    def follow_up(self, rng, last):
        """(text, calls), or None where nothing follows."""
        name, args = last["name"], last["arguments"]
        choices = ["room", "room", "other"] if args.get("room", "all") != "all" else []
        choices += {
            "set_light": ["off", "pct", "color", "dim"] if args.get("on") else ["on", "on"], "set_heating": ["temp", "temp"],
            "set_timer": ["cancel", "again"], "cancel_timer": ["again"], "add_to_list": ["item"], "add_reminder": ["task", "task"],
            "get_status": {"light": ["off", "on", "pct"], "temperature": ["temp"], "heating": ["temp"], "list": ["item"], "timers": ["cancel"]}.get(args.get("what"), []),
        }[name]
        choices = [c for c in choices if c in self.follow]
        if not choices:
            return None
        kind, slots, room = rng.choice(choices), {}, args.get("room", "all")
        text = w.expand(rng, rng.choice(self.follow[kind]))
        if kind in ("room", "other"):
            new = room
            while new == room:
                new, slots["room"] = v.room(rng)
            made = call(name, **{**args, "room": new})
        elif kind in ("off", "on"):
            made = call("set_light", room=room, on=kind == "on")
        elif kind == "dim":
            made = call("set_light", room=room, on=True, brightness=30)
        elif kind == "pct":
            n, slots["pct"] = v.brightness(rng, self.split)
            made = call("set_light", room=room, on=True, brightness=n)
        elif kind == "color":
            slots["color"] = rng.choice(v.COLORS)
            made = call("set_light", room=room, on=True, color=slots["color"])
        elif kind == "temp":
            n, slots["temp"] = v.temperature(rng, self.split)
            made = call("set_heating", room=room, temperature=n)
        elif kind == "cancel":
            made = call("cancel_timer", name=args.get("name"))
        elif kind == "again":
            length, slots["dur"], slots["durs"] = v.duration(rng, self.split)
            made = call("set_timer", **length)
        elif kind == "item":
            bare, slots["item"] = self.texts.item(rng)
            slots["bare"] = bare
            made = call("add_to_list", item=bare)
        else:
            when, slots["when"] = v.moment(rng, self.split)
            slots["task"] = self.texts.task(rng)
            made = reminder_call(slots["task"], when)
        return self.word(rng, text, slots, [made], dress=rng.random() < 0.4)

    # Talk and extraction. -----------------------------------------------------------------------------------------

    def refusal(self, rng):
        topic, line = rng.choice(self.refusals)
        text, _ = self.word(rng, w.expand(rng, line), {"room": v.room(rng)[1]}, [])
        return self.style(rng, text, [])[0], REFUSE.format(topic=topic)

    def small_talk(self, rng):
        line, answer = rng.choice(self.talk)
        text = w.expand(rng, line).lstrip("!")
        if rng.random() < 0.06:
            text = typo(rng, text)
        if rng.random() < 0.15:
            text = f"{rng.choice(['hey', 'oh,', 'well,', 'so,', 'ok,', 'hey brook,'])} {text}"
        return self.style(rng, tidy(text), [])[0], answer

    def fact(self, rng, key):
        """A value for a key of wordings/facts.txt."""
        texts, free = self.texts, rng.random() < self.texts.free * 1.2
        word = lambda: texts.any_word(rng).capitalize()
        number = lambda low, high: v.of_split(key, self.split, lambda: rng.randint(low, high))
        first = word() if free else rng.choice(texts.first_names)
        whole = f"{first} {word() if free else rng.choice(texts.surnames)}"
        return {
            "name": lambda: whole, "author": lambda: whole,
            "city": lambda: word() if free else rng.choice(texts.cities),
            "item": lambda: texts.some(rng, 1, 2) if free else rng.choice([i for i in texts.items if not i.startswith(("a ", "an "))]),
            "company": lambda: " ".join([word(), word(), word()][rng.randint(0, 1):] + [rng.choice(["and Sons", "Foods", "Motors", "Street Shop", word()])][rng.randint(0, 1):])
            if free else rng.choice(texts.companies),
            "street": lambda: f"{rng.randint(1, 120)} {word()} {rng.choice(['Street', 'Road', 'Lane', 'Way'])}" if free else rng.choice(texts.streets),
            "title": lambda: " ".join(["The", word(), word()][rng.randint(0, 1):]) if free else rng.choice(texts.titles),
            "email": lambda: f"{first.lower()}@{rng.choice(['mail', 'post', 'home', 'web'])}.{rng.choice(['org', 'com', 'net', 'de'])}",
            "phone": lambda: f"{rng.randint(100, 999)} {rng.randint(100, 999)} {rng.randint(100, 999)}",
            "day": lambda: rng.choice(v.DAYS).capitalize(), "room": lambda: v.room(rng)[0],
            "date": lambda: rng.choice(["{d} {m}", "{m} {d}", "{d} {m} {y}"]).format(d=rng.randint(1, 28), m=rng.choice(v.MONTHS), y=rng.randint(2015, 2030)),
            "time": lambda: "{:02}:{:02}".format(*v.of_split("clock", self.split, lambda: (rng.randint(0, 23), rng.choice([0, 15, 30, 45, rng.randint(0, 59)])))),
            "temperature": lambda: v.of_split("degrees", self.split, lambda: rng.choice([rng.randint(10, 35), rng.randint(100, 350) / 10])),
            "count": lambda: number(2, 60), "price": lambda: number(3, 199), "humidity": lambda: number(20, 90), "age": lambda: number(3, 95),
            "year": lambda: number(1900, 2026), "amount": lambda: number(20, 9999), "weight": lambda: number(2, 900),
        }[key]()

    def drill(self, rng):
        """Facts under keys that nobody knows: what to extract can only be read off the request."""
        keys = list(dict.fromkeys(self.texts.any_word(rng).lower() for _ in range(rng.randint(2, 5))))
        facts = {k: self.value(rng) for k in keys}
        form = rng.choice(["{k}: {a}", "{k} {a}", "the {k} is {a}", "{k} = {a}", "its {k} was {a}"])
        said = [form.format(k=k, a=said) for k, (_, said) in facts.items()]
        rng.shuffle(said)
        return {k: a for k, (a, _) in facts.items()}, rng.choice([", ", "; ", ", ", " and "]).join(said)

    def value(self, rng):
        """(a value for a drill, how it is said): numbers in words are written in digits."""
        texts, n, same = self.texts, rng.randint(1, 99), lambda value: (value, value)
        return rng.choice([
            lambda: same(texts.some(rng, 1, 3)), lambda: same(texts.any_word(rng).capitalize()), lambda: same(texts.person(rng)),
            lambda: same(rng.randint(1, 999)), lambda: same(rng.randint(10, 999) / 10), lambda: (n, v.words(n, rng)),
            lambda: (n + 0.5, f"{v.words(n, rng)} {rng.choice(['point five', 'and a half'])}"),
        ])()

    def extraction(self, rng):
        if self.split == "train" and rng.random() < 0.3:
            facts, text = self.drill(rng)
        else:
            kind = rng.choice([k for k, lines in self.facts.items() for _ in lines])
            facts = {key: self.fact(rng, key) for key in kind.split(", ")}
            text = w.expand(rng, rng.choice(self.facts[kind]))
            text = text[0].upper() + text[1:]  # but no value is written otherwise than it is copied
            for key, value in facts.items():
                text = text.replace("{" + key + "}", str(value))
        keys = [k for k in facts if rng.random() < 0.75] or list(facts)[:2]
        rng.shuffle(keys)
        first = rng.random() < 0.75
        ask = w.expand(rng, rng.choice(self.asks["before" if first else "after"])).replace("{keys}", listing(keys))
        ask, text = ask[0].upper() + ask[1:], text.rstrip(".")
        prompt = f"{ask.rstrip(':')}: {text}." if first else f"{text}. {ask}" + ("." if ask[-1] not in "?.!" else "")
        return prompt, json.dumps({k: facts[k] for k in keys}, ensure_ascii=False)

    # Conversations. -----------------------------------------------------------------------------------------------

    def conversation(self, rng):
        """(kind, messages) of one conversation."""
        kind = rng.choices(["refusal", "talk", "extraction", "double", "single"], [9, 16, 28, 17, 30])[0]
        if kind in ("double", "single"):
            return self.house(rng, kind)
        user, answer = {"refusal": self.refusal, "talk": self.small_talk, "extraction": self.extraction}[kind](rng)
        return kind, [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]

    def house(self, rng, kind):
        user, calls = self.style(rng, *self.double(rng)) if kind == "double" else self.single(rng)
        messages = [{"role": "user", "content": user}, {"role": "assistant", "content": render_calls(calls)}]
        turns = rng.choices([0, 1, 2, 3], [58, 18, 20, 4])[0]
        for turn in range(turns):
            result, answer = outcome(rng, calls, self.texts)
            messages += [{"role": "tool", "content": result}, {"role": "assistant", "content": answer}]
            if turn == turns - 1 and rng.random() < 0.5:
                break
            follow = self.follow_up(rng, calls[0]) if len(calls) == 1 and rng.random() < 0.75 else None
            if follow is None and rng.random() < 0.15:
                user, answer = self.refusal(rng) if rng.random() < 0.7 else self.small_talk(rng)
                messages += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
                break
            if follow is None:
                follow = self.double(rng) if rng.random() < 0.15 else self.request(rng)
            user, calls = self.style(rng, *follow)
            messages += [{"role": "user", "content": user}, {"role": "assistant", "content": render_calls(calls)}]
        return kind, messages


def plural(n, unit):
    return f"{n} {unit if n == 1 else unit + 's'}"


def listing(parts):
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def length(result):
    """1 hour and 30 minutes"""
    return listing([plural(result[u + "s"], u) for u in ("hour", "minute", "second") if u + "s" in result])


def where(room):
    return "in the whole house" if room == "all" else f"in the {room}"


def answer_to(result):
    """The sentence that tells one result: a function of it, so that it can be checked word by word."""
    get = result.get
    if "error" in result:
        return f"Sorry, {get('error')}."
    if "light" in result:
        what = "All lights are" if get("room") == "all" else f"The {get('room')} light is"
        shade = f" at {get('brightness')} percent" if "brightness" in result else ""
        return f"{what} {get('light')}{shade}{' in ' + get('color') if 'color' in result else ''}."
    if "lights_on" in result:
        return f"The light is on in the {listing(get('lights_on'))}." if get("lights_on") else "All lights are off."
    if "heating" in result:
        return f"The heating {where(get('room'))} is set to {get('heating')} degrees."
    if "temperature" in result:
        return f"It is {get('temperature')} degrees {where(get('room'))}."
    if "timer" in result or "cancelled" in result:
        name = get("timer") or get("cancelled")
        who = "The timer" if name == "timer" else f"The {name} timer"
        return f"{who} is cancelled." if "cancelled" in result else f"{who} runs for {length(result)}."
    if "reminder" in result:
        when = [get("day"), f"at {get('time')}" if "time" in result else None, f"in {length(result)}" if "hours" in result or "minutes" in result else None]
        said = " ".join(filter(None, when))
        return f"I will remind you: {get('reminder')}{', ' + said if said else ''}."
    if "added" in result:
        return f"I put {get('added')} on the list."
    if "timers" in result:
        said = [f"{t['timer']}, {t['left']}" for t in get("timers")]
        return f"Time left: {'; '.join(said)}." if said else "There is no timer running."
    if "reminders" in result:
        return f"Your reminders: {'; '.join(get('reminders'))}." if get("reminders") else "You have no reminders."
    return f"On the list: {listing(get('list'))}." if get("list") else "The shopping list is empty."


def some_reminder(rng, texts):
    """A line of the house's list of reminders."""
    when = {}
    if rng.random() < 0.7:
        when, _ = v.moment(rng, texts.split)
    parts = [texts.task(rng), when.get("day"), when.get("time"), f"in {length(when)}" if "hours" in when or "minutes" in when else None]
    return " ".join(filter(None, parts))


def status_of(rng, a, texts):
    what = a["what"]
    if what == "light" and a["room"] == "all":
        return {"lights_on": rng.sample(list(v.ROOMS), rng.randint(0, 4))}
    if what == "light":
        if rng.random() < 0.45:
            return {"room": a["room"], "light": "off"}
        result = {"room": a["room"], "light": "on"}
        if rng.random() < 0.6:
            result["brightness"] = rng.randint(1, 100)
        return result | ({"color": rng.choice(v.COLORS)} if rng.random() < 0.25 else {})
    if what in ("heating", "temperature"):
        n = rng.randint(10, 56) / 2
        return {"room": a["room"], what: int(n) if n == int(n) else n}
    if what == "timers":
        one = lambda: {"timer": texts.timer(rng) if rng.random() < 0.75 else "timer", "left": length(v.duration(rng, texts.split)[0])}
        return {"timers": [one() for _ in range(rng.randint(0, 2))]}
    if what == "reminders":
        return {"reminders": [some_reminder(rng, texts) for _ in range(rng.randint(0, 3))]}
    return {"list": [texts.item(rng)[0] for _ in range(rng.randint(0, 4))]}


def outcome(rng, calls, texts):
    """(what the house answers, as JSON, the sentence that follows)"""
    results = []
    for c in calls:
        a, name = c["arguments"], c["name"]
        if rng.random() < 0.05 and a.get("room", "all") != "all":
            thing = "light" if name == "set_light" or a.get("what") == "light" else "heating" if name == "set_heating" or a.get("what") == "heating" else "sensor"
            results.append({"error": f"there is no {thing} in the {a['room']}"})
        elif name == "set_light":
            results.append({"room": a["room"], "light": "on" if a["on"] else "off"} | {k: a[k] for k in ("brightness", "color") if k in a})
        elif name == "set_heating":
            results.append({"room": a["room"], "heating": a["temperature"]})
        elif name == "set_timer":
            results.append({"timer": a.get("name", "timer")} | {k: a[k] for k in ("hours", "minutes", "seconds") if k in a})
        elif name == "cancel_timer":
            results.append({"error": "there is no such timer"} if rng.random() < 0.1 else {"cancelled": a.get("name", "timer")})
        elif name == "add_reminder":
            results.append({"reminder": a["text"]} | {k: a[k] for k in ("day", "time", "hours", "minutes") if k in a})
        elif name == "add_to_list":
            results.append({"added": a["item"]})
        else:
            results.append(status_of(rng, a, texts))
    content = json.dumps(results[0] if len(results) == 1 else results, ensure_ascii=False)
    return content, " ".join(map(answer_to, results))


def render(messages, system=None, generate=False):
    """[(text, role)] pieces of a conversation in LFM2's chat format; an assistant's content, with its end, stands alone."""
    pieces = [("<|startoftext|>", "head")]
    if system:
        pieces.append((f"<|im_start|>system\n{system}<|im_end|>\n", "system"))
    for m in messages:
        content = m["content"]
        if m["role"] == "tool":
            content = f"<|tool_response_start|>{content}<|tool_response_end|>"
        pieces.append((f"<|im_start|>{m['role']}\n", "head"))
        pieces.append((f"{content}<|im_end|>", m["role"]))
        pieces.append(("\n", "head"))
    if generate:
        pieces.append(("<|im_start|>assistant\n", "head"))
    return pieces


def plain(text):
    """A request reduced to its letters and digits, to compare training with test."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


if __name__ == "__main__":
    import sys
    seed, count, split = (sys.argv[1:] + ["0", "40", "train"][len(sys.argv) - 1:])[:3]
    gen, rng = Generator(["lantern", "river", "stone", "prophet", "kernel"], split), random.Random(int(seed))
    for _ in range(int(count)):
        kind, messages = gen.conversation(rng)
        print(kind, "|", " || ".join(m["content"] for m in messages))
