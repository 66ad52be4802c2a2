"""Examples for the home controller: conversations with calls in LFM2's format, made by seeded chance from wordings.py
and values.py. `python generate.py` prints a few; train.py draws its batches from `Generator`."""

import json
import random
import re

import values as v
import wordings as w

TOOLS = [
    {"name": "set_light", "parameters": {"room": "string", "on": "boolean", "brightness": "integer", "color": "string"}},
    {"name": "set_heating", "parameters": {"room": "string", "temperature": "number"}},
    {"name": "set_timer", "parameters": {"minutes": "integer", "seconds": "integer", "name": "string"}},
    {"name": "cancel_timer", "parameters": {"name": "string"}},
    {"name": "add_reminder", "parameters": {"text": "string", "day": "string", "time": "string", "minutes": "integer"}},
    {"name": "add_to_list", "parameters": {"item": "string"}},
    {"name": "get_status", "parameters": {"what": "string", "room": "string"}},
]
SYSTEM = "You are Brook, the voice of a small house.\nList of tools: <|tool_list_start|>" + json.dumps(TOOLS) + "<|tool_list_end|>"

GROUP = re.compile(r"\(([^()]*)\)")


def expand(rng, wording):
    """Chooses among the alternatives, innermost first."""
    while True:
        text = GROUP.sub(lambda m: rng.choice(m.group(1).split("|")), wording)
        if text == wording:
            return text
        wording = text


def lines(block):
    return [line for line in block.strip().split("\n") if line]


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


def tidy(text):
    text = re.sub(r" +", " ", text).strip()
    return re.sub(r" ([,.;:?!])", r"\1", text)


class Generator:
    def __init__(self, corpus_words, test=False):
        self.test = test
        self.texts = v.Texts(corpus_words, test)
        self.blocks = {name: v.part(name, lines(block), test) for name, block in vars(w).items()
                       if name.isupper() and isinstance(block, str)}
        self.refusals = [(topic, line) for topic, block in w.REFUSALS.items() for line in lines(block) if v.held("REFUSALS", line) == test]
        self.talk = []
        for pattern, answer in w.TALK:
            for line in pattern.strip("()").split("|") if pattern.startswith("(") and pattern.endswith(")") and pattern.count("(") == 1 else [pattern]:
                if v.held("TALK", line) == test:
                    self.talk.append((line, answer))

    # One request: (wording with slots filled, calls). -----------------------------------------------------------

    def pick(self, rng, block):
        return expand(rng, rng.choice(self.blocks[block]))

    def light(self, rng):
        kind = rng.choices(["LIGHT_ON", "LIGHT_OFF", "LIGHT_PERCENT", "LIGHT_LEVEL", "LIGHT_DIM", "LIGHT_COLOR", "ALL_ON", "ALL_OFF", "ALL_PERCENT", "ALL_COLOR"],
                           [24, 22, 20, 5, 5, 14, 3, 5, 1.5, 1.5])[0]
        if not self.blocks[kind]:
            kind = "LIGHT_ON"
        text = self.pick(rng, kind)
        name, slots = "all", {}
        if not kind.startswith("ALL"):
            name, slots["room"] = v.room(rng)
        brightness = color = None
        if kind.endswith("PERCENT"):
            brightness, slots["pct"] = v.brightness(rng, self.test)
        elif kind == "LIGHT_LEVEL":
            brightness = rng.choice(list(w.LEVELS))
            slots["level"] = rng.choice(w.LEVELS[brightness])
        elif kind == "LIGHT_DIM":
            brightness = 30
        elif kind.endswith("COLOR"):
            color = slots["color"] = rng.choice(v.COLORS)
        return text, slots, [call("set_light", room=name, on=not kind.endswith("OFF"), brightness=brightness, color=color)]

    def heating(self, rng):
        kind = rng.choices(["HEAT", "HEAT_ALL", "COLD", "HOT", "HEAT_ON", "HEAT_OFF"], [50, 9, 16, 15, 4, 6])[0]
        if not self.blocks[kind]:
            kind = "HEAT"
        text = self.pick(rng, kind)
        name, slots = "all", {}
        if kind != "HEAT_ALL":
            name, slots["room"] = v.room(rng)
        temperature = {"COLD": 22, "HOT": 18, "HEAT_ON": 21, "HEAT_OFF": 5}.get(kind)
        if temperature is None:
            temperature, slots["temp"] = v.temperature(rng, self.test)
            slots["deg"] = rng.choice(v.DEGREES + [""] * 5) if not text.startswith("{temp}") else " degrees"
        return text, slots, [call("set_heating", room=name, temperature=temperature)]

    def timer(self, rng):
        kind = rng.choice(["TIMER", "TIMER_NAMED"])
        text = self.pick(rng, kind)
        arg, said = v.duration(rng, self.test)
        slots = {"dur": said, "durs": said}
        if "{durs}" in text:  # "a five minute timer"
            slots["durs"] = re.sub(r"\b(minute|second|hour)s\b", r"\1", said)
            slots["durs"] = re.sub(r"^an? ", "", slots["durs"]) if re.search(r"\ba (\w+ )?{durs}", text) else slots["durs"]
        name = None
        if kind == "TIMER_NAMED":
            name = slots["name"] = self.texts.timer(rng)
        return text, slots, [call("set_timer", **arg, name=name)]

    def cancel(self, rng):
        if rng.random() < 0.45:
            return self.pick(rng, "CANCEL"), {}, [call("cancel_timer")]
        name = self.texts.timer(rng)
        return self.pick(rng, "CANCEL_NAMED"), {"name": name}, [call("cancel_timer", name=name)]

    def reminder(self, rng):
        kind = rng.choices(["REMIND_WHEN", "REMIND_NOUN", "REMIND_BARE", "REMIND_BARE_NOUN"], [60, 25, 11, 4])[0]
        if not self.blocks[kind]:
            kind = "REMIND_WHEN"
        text = self.pick(rng, kind)
        slots, when = {}, {}
        if "{when}" in text:
            when, slots["when"] = v.moment(rng, self.test)
            # After "for" or before "is" the time stands without its preposition.
            if re.search(r"for {when}|{when} is", text):
                slots["when"] = re.sub(r"^(at|on|for|by) ", "", slots["when"])
            if "is {when}" in text:
                slots["when"] = re.sub(r"^(for|by) ", "at ", slots["when"])
        key = "noun" if "{noun}" in text else "task"
        body = slots[key] = self.texts.noun(rng) if key == "noun" else self.texts.task(rng)
        return text, slots, [call("add_reminder", text=body, day=when.get("day"), time=when.get("time"), minutes=when.get("minutes"))]

    def shopping(self, rng):
        bare, item = self.texts.item(rng)
        text = self.pick(rng, "LIST")
        if "{bare}" in text:
            item = bare
        return text, {"item": item, "bare": bare}, [call("add_to_list", item=bare)]

    def status(self, rng):
        kind, what = rng.choice([("STATUS_LIGHT", "light"), ("STATUS_LIGHT", "light"), ("STATUS_LIGHT_ALL", "light"), ("STATUS_TEMP", "temperature"), ("STATUS_TEMP", "temperature"),
                                 ("STATUS_HEAT", "heating"), ("STATUS_HEAT", "heating"), ("STATUS_TIMERS", "timers"), ("STATUS_REMINDERS", "reminders"), ("STATUS_LIST", "list")])
        text = self.pick(rng, kind) + ("?" if rng.random() < 0.6 else "")
        slots, name = {}, None
        if what in ("light", "temperature", "heating"):
            name = "all"
            if "{room}" in text:
                name, slots["room"] = v.room(rng)
        return text, slots, [call("get_status", what=what, room=name)]

    INTENTS = {"set_light": light, "set_heating": heating, "set_timer": timer, "cancel_timer": cancel, "add_reminder": reminder,
               "add_to_list": shopping, "get_status": status}
    SHARE = {"set_light": 18, "set_heating": 11, "set_timer": 18, "cancel_timer": 9, "add_reminder": 22, "add_to_list": 13, "get_status": 9}

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
        if imperative and dress and rng.random() < 0.32:
            text = f"{rng.choice(w.ASK)} {text}" + ("?" if rng.random() < 0.4 else "")
        if dress and rng.random() < 0.22:
            text = f"{rng.choice(w.PREFIX)} {text}"
        if dress and rng.random() < 0.22:
            end = text[-1] if text[-1] in "?." else ""
            text = f"{text.rstrip('?.')}{rng.choice([' ', ', ', ' '])}{rng.choice(w.SUFFIX)}{end}"
        if dress and rng.random() < 0.10:
            clause = rng.choice(w.BEFORE)
            text = f"{clause}{rng.choice([', ', '. ', ', so ', ' and '])}{text}" if rng.random() < 0.7 else f"{text}{rng.choice([', ', '. ', ', because '])}{clause}"
        if "{room}" in text:
            r = rng.random()
            if r < 0.08:
                text = text.replace("the {room}", rng.choice(["my", "our", "that"]) + " {room}")
            elif r < 0.15:
                text = text.replace("the {room}", "{room}")
        for key, value in slots.items():
            text = text.replace("{" + key + "}", value)
        return tidy(text), calls

    def style(self, rng, text, calls):
        """Case and final punctuation; free texts in the calls follow the case of what was said."""
        r = rng.random()
        if r < 0.40:
            text = text[0].upper() + text[1:]
            text = re.sub(r"([.?!] )([a-z])", lambda m: m.group(1) + m.group(2).upper(), text)
        elif r < 0.70:
            text = text.lower()
            calls = [call(c["name"], **{k: a.lower() if isinstance(a, str) else a for k, a in c["arguments"].items()}) for c in calls]
        if text[-1] not in "?.!" and rng.random() < 0.45:
            question = re.match(r"(can|could|would|will|is|are|do|did|what|how|which|who|when|may|have|where) ", text.lower())
            text += "?" if question and rng.random() < 0.8 else rng.choice([".", ".", ".", "!"])
        return text, calls

    def single(self, rng, intent=None):
        text, calls = self.request(rng, intent)
        # A free text that opens the sentence is written as it stands there.
        text, styled = self.style(rng, text, calls)
        for c in styled:
            for k in ("text", "item", "name"):
                a = c["arguments"].get(k)
                if a and a not in text and (a[0].upper() + a[1:]) in text:
                    c["arguments"][k] = a[0].upper() + a[1:]
        return text, styled

    PAIRS = [
        ("!(turn|switch) (on|+) the (light|lights) in the {room} and the {room2}", "on"), ("!(turn|switch) on the {room} and {room2} (light|lights)", "on"),
        ("(light|lights) on in the {room} and (in |)the {room2}", "on"), ("!light up the {room} and the {room2}", "on"), ("the {room} and the {room2} (need|want) light", "on"),
        ("!(turn|switch) (off) the (light|lights) in the {room} and (in |)the {room2}", "off"), ("!(turn|switch) off the {room} and {room2} (light|lights)", "off"),
        ("(light|lights) off in the {room} and (in |)the {room2}", "off"), ("!(turn|switch) the {room} and the {room2} (light|lights|) off", "off"), ("no light in the {room} and (in |)the {room2}", "off"),
        ("{room} (light |)on(,| and) {room2} (light |)off", "on off"), ("{room} (light |)off(,| and) {room2} (light |)on", "off on"), ("{room} (light|lights) off and {room2} (light|lights) on", "off on"),
        ("!(turn|switch) the {room} light on and the {room2} light off", "on off"), ("!(turn|switch) off the {room} and (turn|switch) on the {room2}", "off on"),
        ("!set the {room} to {pct} and the {room2} to {pct2}", "pct pct"), ("{room} to {pct}(,| and) {room2} to {pct2}", "pct pct"), ("!dim the {room} and the {room2} to {pct}", "pct same"),
        ("{room} (light |)(to|at) {pct}(,| and) {room2} (light |)off", "pct off"), ("{room} (light |)off(,| and) {room2} (light |)(to|at) {pct2}", "off pct"),
        ("!(set|heat|bring|put) the {room} to {temp} (degrees |)and the {room2} to {temp2}(| degrees)", "heat heat"), ("{room} {temp} degrees(,| and) {room2} {temp2} degrees", "heat heat"),
        ("!(set|heat) the {room} and the {room2} to {temp} degrees", "heat same"), ("{temp} degrees in the {room} and {temp2} (degrees |)in the {room2}", "heat heat"),
        ("!make the {room} {color} and the {room2} {color2}", "color color"), ("{color} light in the {room} and {color2} (light |)in the {room2}", "color color"),
        ("!(make|turn) the {room} {color} and (set|heat) it to {temp} degrees", "color heat1"), ("light on in the {room} and heat it to {temp}(| degrees)", "on heat1"),
        ("!(turn|switch) on the {room} light and (set|heat) it to {temp} degrees", "on heat1"), ("light (off|out) in the {room} and (set it|heat it|the heating) to {temp}(| degrees)", "off heat1"),
        ("!(add|put) {item} and {item2} (to|on) the (shopping list|list)", "list"), ("(we|I) need {item} and {item2}", "list"), ("we're out of {item} and {item2}", "list"), ("{item} and {item2} on the list", "list"),
        ("buy {item} and {item2}", "list"), ("we need {item}, and also {item2}", "list"), ("there is no {item} and no {item2} left", "list"), ("shopping list: {item}, {item2}", "list"),
        ("!set (a timer|timers) for {dur} and (for |one for |)(a second one for |another for |){dur2}", "timers"), ("!(set|start) two timers, {dur} and {dur2}", "timers"),
        ("!time the {name} for {dur} and the {name2} for {dur2}", "named"), ("{name} {dur}(,| and) {name2} {dur2}", "named"), ("the {name} needs {dur} and the {name2} {dur2}", "named"),
        ("!set a timer for the {name} for {dur} and (one |)for the {name2} for {dur2}", "named"), ("!remind me to {task} {when} and to {task2} {when2}", "remind"), ("!remind me {when} to {task} and {when2} to {task2}", "remind"),
        ("is the light on in the {room} and (in |)the {room2}", "light?"), ("how warm is it in the {room} and (in |)the {room2}", "temp?"), ("what's the temperature in the {room} and (in |)the {room2}", "temp?"),
        ("is the light on in the {room}, and how warm is it (there|in there)", "light? temp1?"), ("what's on the list and which reminders do I have", "list? reminders?"), ("!check my reminders and the (shopping list|list)", "reminders? list?"),
    ]

    def double(self, rng):
        if rng.random() < 0.45:
            pairs = [p for p in self.PAIRS if v.held("PAIRS", p[0]) == self.test]
            text, kind = rng.choice(pairs)
            return self.pair(rng, expand(rng, text.replace("(on|+)", "on").replace("(off)", "off")), kind)
        a, calls_a = self.request(rng, dress=rng.random() < 0.5)
        while True:
            b, calls_b = self.request(rng, dress=rng.random() < 0.25)
            if calls_b != calls_a:
                break
        if self.test:
            joint = rng.choice([" and ", ", and ", ", then ", ". Also, "])
        else:
            joint = rng.choice(w.JOIN)
        a = a.rstrip("?.") + ("?" if a.endswith("?") and joint.startswith(".") else "")
        if joint == " as well as ":
            joint = " and "
        if a.endswith("?"):
            joint = joint[1:]
        return tidy(a + joint + b), calls_a + calls_b

    def pair(self, rng, text, kind):
        slots = {}
        (r1, slots["room"]), (r2, slots["room2"]) = v.room(rng), v.room(rng)
        while r2 == r1:
            r2, slots["room2"] = v.room(rng)
        b1, slots["pct"] = v.brightness(rng, self.test)
        b2, slots["pct2"] = v.brightness(rng, self.test)
        t1, slots["temp"] = v.temperature(rng, self.test)
        t2, slots["temp2"] = v.temperature(rng, self.test)
        c1, c2 = rng.sample(v.COLORS, 2)
        slots["color"], slots["color2"] = c1, c2
        light = lambda room, **kw: call("set_light", room=room, on=kw.pop("on", True), **kw)
        heat = lambda room, t: call("set_heating", room=room, temperature=t)
        ask = lambda what, room=None: call("get_status", what=what, room=room)
        if kind == "list":
            (i1, _), (i2, _) = self.texts.item(rng), self.texts.item(rng)
            slots["item"], slots["item2"] = i1, i2
            calls = [call("add_to_list", item=i1), call("add_to_list", item=i2)]
        elif kind in ("timers", "named"):
            (d1, slots["dur"]), (d2, slots["dur2"]) = v.duration(rng, self.test), v.duration(rng, self.test)
            n1 = n2 = None
            if kind == "named":
                n1, n2 = slots["name"], slots["name2"] = self.texts.timer(rng), self.texts.timer(rng)
            calls = [call("set_timer", **d1, name=n1), call("set_timer", **d2, name=n2)]
        elif kind == "remind":
            (m1, slots["when"]), (m2, slots["when2"]) = v.moment(rng, self.test), v.moment(rng, self.test)
            slots["task"], slots["task2"] = self.texts.task(rng), self.texts.task(rng)
            calls = [call("add_reminder", text=slots[t], day=m.get("day"), time=m.get("time"), minutes=m.get("minutes")) for t, m in (("task", m1), ("task2", m2))]
        else:
            one = {"on": lambda r, i: light(r), "off": lambda r, i: light(r, on=False), "pct": lambda r, i: light(r, brightness=(b1, b2)[i]),
                   "same": lambda r, i: None, "heat": lambda r, i: heat(r, (t1, t2)[i]), "color": lambda r, i: light(r, color=(c1, c2)[i]),
                   "heat1": lambda r, i: heat(r1, t1), "light?": lambda r, i: ask("light", r), "temp?": lambda r, i: ask("temperature", r),
                   "temp1?": lambda r, i: ask("temperature", r1), "list?": lambda r, i: ask("list"), "reminders?": lambda r, i: ask("reminders")}
            plan = kind.split()
            plan = plan * 2 if len(plan) == 1 else plan
            calls = [one[p](r, i) for i, (p, r) in enumerate(zip(plan, (r1, r2)))]
            if plan[1] == "same":
                calls[1] = call(calls[0]["name"], **{**calls[0]["arguments"], "room": r2})
            if "color heat1" == kind or "off heat1" == kind or "on heat1" == kind:
                slots.pop("room2")
        if kind == "off pct":
            calls[1]["arguments"]["brightness"] = b2
        return self.word(rng, text, slots, calls)

    FOLLOW_ROOM = lines("""
and the {room} too
and (in |)the {room}
(the|) {room} too
also (in |)the {room}
the same (for|in) the {room}
same (for|in|thing in) the {room}
(now|then) the {room}
do (that|the same|it) in the {room} (too|as well|)
and the {room} as well
what about the {room}
and now the {room}
the {room} as well
(please |)(also|too) the {room}
{room} as well
{room} also
likewise (in|for) the {room}
and for the {room}
now do the {room}
same again for the {room}
""")
    FOLLOW_OTHER = lines("""
no, (in |)the {room}
(sorry, |)I meant (in |)the {room}
(oh |)not there, (in |)the {room}
I mean the {room}
wrong room, (I meant |)the {room}
(actually|rather|sorry), (in |)the {room}
no no, the {room}
""")

    def follow_up(self, rng, last):
        """(text, calls): a request that needs the last call."""
        name, args = last["name"], last["arguments"]
        some = lambda key, block: expand(rng, rng.choice(v.part(key, lines(block), self.test) or lines(block)))
        choices = []
        if "room" in args and args["room"] != "all":
            choices += ["room", "room", "other"]
        choices += {"set_light": ["off", "pct", "color", "dim"] if args.get("on") else ["on", "on"], "set_heating": ["temp", "temp"],
                    "set_timer": ["cancel", "again"], "cancel_timer": ["again"], "add_to_list": ["item"], "add_reminder": ["task", "task"],
                    "get_status": {"light": ["off", "on", "pct"], "temperature": ["temp"], "heating": ["temp"], "list": ["item"], "timers": ["cancel"]}.get(args.get("what"), [])}[name]
        if not choices:
            return None
        kind, slots = rng.choice(choices), {}
        room = args.get("room", "all")
        if kind in ("room", "other"):
            new, slots["room"] = v.room(rng)
            block = self.FOLLOW_ROOM if kind == "room" else self.FOLLOW_OTHER
            text = expand(rng, rng.choice(v.part("FOLLOW", block, self.test) or block))
            calls = [call(name, **{**args, "room": new})]
        elif kind in ("off", "on"):
            text = some("F" + kind, {"off": "!(turn|switch) it off (again|)\n(and |)off again\noff please\n!put it out\n(now |)off\n!(turn|switch) that off\nit can go off now\nlight off again\nokay, off", "on": "!(turn|switch) it (back |)on (again|)\n(and |)on again\non again please\n!put it on\nit can go on\nback on\n!(turn|switch) that on"}[kind])
            calls = [call("set_light", room=room, on=kind == "on")]
        elif kind == "dim":
            text = some("Fdim", "!make it (dimmer|darker|less bright)\ntoo bright\n!dim it (a bit|)\na bit darker\nthat's too bright\nless bright\nnot so bright")
            calls = [call("set_light", room=room, on=True, brightness=30)]
        elif kind == "pct":
            n, slots["pct"] = v.brightness(rng, self.test)
            text = some("Fpct", "!(make|set) it (to |at |){pct}\n(to|at) {pct}\n(no, |better |rather |and now |){pct}\n!(dim|set|turn|bring) it to {pct}\nat {pct} please\nI'd like {pct}\n{pct} is enough\n!go to {pct}")
            calls = [call("set_light", room=room, on=True, brightness=n)]
        elif kind == "color":
            slots["color"] = rng.choice(v.COLORS)
            text = some("Fcolor", "!make it {color}\n(and |now |)in {color}\n(no, |better |rather ){color}\n!(turn|change|set|switch) it to {color}\nI'd like {color}\n{color} please\n!(turn|paint) it {color}\nit should be {color}")
            calls = [call("set_light", room=room, on=True, color=slots["color"])]
        elif kind == "temp":
            n, slots["temp"] = v.temperature(rng, self.test)
            text = some("Ftemp", "!(make|set) it (to |){temp}(| degrees)\n(no, |better |rather |and now ){temp}(| degrees)\n!(heat|set|bring) it to {temp}(| degrees)\n!go to {temp}\nI'd (like|prefer) {temp}(| degrees)\n{temp} degrees please\nit should be {temp}\n{temp} is (enough|better)")
            calls = [call("set_heating", room=room, temperature=n)]
        elif kind == "cancel":
            text = some("Fcancel", "!(cancel|stop|delete|end) it (again|)\n!(cancel|stop) that\nI don't need it any more\n!forget it\nstop it please\nno, cancel that")
            calls = [call("cancel_timer", name=args.get("name"))]
        elif kind == "again":
            arg, slots["dur"] = v.duration(rng, self.test)
            text = some("Fagain", "and (another|a second) (one|timer) (for|of) {dur}\n!set another one for {dur}\nand one for {dur}\nanother {dur} please\nand {dur} more")
            calls = [call("set_timer", **arg)]
        elif kind == "item":
            bare, slots["item"] = self.texts.item(rng)
            text = some("Fitem", "(and|also) {item}\n{item} too\n{item} as well\n!add {item} too\nand {item} please\nwe also need {item}\noh, and {item}\nand put {item} on it")
            calls = [call("add_to_list", item=bare)]
        else:
            when, slots["when"] = v.moment(rng, self.test)
            slots["task"] = self.texts.task(rng)
            text = some("Ftask", "and {when} to {task}\nand to {task} {when}\nalso to {task} {when}\nand also {when} to {task}\nanother one {when} to {task}\nthen {when} to {task}")
            calls = [call("add_reminder", text=slots["task"], day=when.get("day"), time=when.get("time"), minutes=when.get("minutes"))]
        return self.word(rng, text, slots, calls, dress=rng.random() < 0.4)

    def refusal(self, rng):
        topic, line = rng.choice(self.refusals)
        text = expand(rng, line)
        _, said = v.room(rng)
        text, _ = self.word(rng, text, {"room": said}, [])
        return self.style(rng, text, [])[0], w.REFUSE.format(topic=topic)

    def small_talk(self, rng):
        line, answer = rng.choice(self.talk)
        text = expand(rng, line)
        if rng.random() < 0.2:
            text = f"{rng.choice(['hey', 'oh,', 'well,', 'so,', 'ok,'])} {text}"
        return self.style(rng, tidy(text), [])[0], answer

    # JSON extraction ----------------------------------------------------------------------------------------------

    CITIES = ["Hamburg", "Lyon", "Turin", "Leeds", "Porto", "Vienna", "Oslo", "Ghent", "Krakow", "Malmo", "Basel", "Dublin", "Athens", "Riga", "Bonn", "Graz", "Nice", "York", "Seville", "Tartu", "Utrecht", "Cork", "Bern", "Pisa"]
    SURNAMES = "Meyer Smith Jones Rossi Dubois Novak Silva Kowalski Larsen Murphy Weber Costa Moreau Fischer Walker Young Baker Hill Green Carter Evans Hansen Keller Brandt Ferrari Lopez Garcia Martin Bauer Wagner".split()

    def extraction(self, rng):
        first = rng.choice([p for p in self.texts.people if p[0].isupper() and " " not in p])
        person = f"{first} {rng.choice(v.part('surname', self.SURNAMES, self.test))}"
        city = rng.choice(v.part("city", self.CITIES, self.test))
        item = rng.choice([i for i in self.texts.items if not i.startswith("a ")])
        if not self.test and rng.random() < 0.6:
            person = f"{self.texts.any_word(rng).capitalize()} {self.texts.any_word(rng).capitalize()}"
            city, item = self.texts.any_word(rng).capitalize(), self.texts.some(rng, 1, 2)
        count, price = rng.randint(2, 60), rng.randint(3, 99)
        day, (time, _) = rng.choice(v.DAYS).capitalize(), v.clock(rng, self.test)
        name, _ = v.room(rng)
        degrees, humidity = rng.randint(28, 56) / 2, rng.randint(20, 90)
        degrees = int(degrees) if degrees == int(degrees) else degrees
        phone = f"{rng.randint(100, 999)} {rng.randint(100, 999)} {rng.randint(100, 999)}"
        mail = f"{first.lower()}@{rng.choice(['mail', 'post', 'home', 'web'])}.{rng.choice(['org', 'com', 'net', 'de'])}"
        schema = rng.choice([
            ({"name": person, "city": city, "item": item, "count": count, "price": price},
             ["{name} from {city} (ordered|bought|wants|has ordered) {count} {item} for {price} euros", "{count} {item} for {price} euros, (ordered|bought) by {name} in {city}", "{name} ({city}|of {city}) paid {price} euros for {count} {item}"]),
            ({"name": person, "day": day, "time": time, "city": city},
             ["{name} (comes|arrives|is coming) on {day} at {time} from {city}", "on {day} at {time} we meet {name} in {city}", "(the meeting|our appointment) with {name} in {city} is on {day} at {time}", "{name} will be in {city} on {day}, {time}"]),
            ({"name": person, "phone": phone, "email": mail},
             ["you can reach {name} at {phone} or {email}", "{name}, phone {phone}, mail {email}", "(write to|contact) {name} at {email} or call {phone}", "the number of {name} is {phone}, the address {email}"]),
            ({"room": name, "temperature": degrees, "humidity": humidity, "time": time},
             ["at {time} the {room} (had|showed|reported) {temperature} degrees and {humidity} percent humidity", "the sensor in the {room} (reports|says|reads) {temperature} degrees, {humidity} percent humidity at {time}",
              "{room}, {time}: {temperature} degrees, humidity {humidity} percent", "it was {temperature} degrees with {humidity} percent humidity in the {room} at {time}"]),
        ])
        facts, texts = schema
        texts = v.part("extract", texts, self.test) or texts
        text = expand(rng, rng.choice(texts))
        for k, a in facts.items():
            text = text.replace("{" + k + "}", str(a))
        keys = [k for k in facts if rng.random() < 0.75] or list(facts)[:2]
        rng.shuffle(keys)
        listed = keys[0] if len(keys) == 1 else ", ".join(keys[:-1]) + f" and {keys[-1]}"
        ask = rng.choice(v.part("extract-ask", ["extract {keys} as JSON", "give me {keys} as JSON", "return {keys} as JSON", "find {keys}, answer in JSON", "{keys} as JSON please", "JSON with {keys}", "turn this into JSON with {keys}", "pull out {keys} as JSON",
                                                "get {keys} from this text as JSON", "what are {keys}? Answer in JSON", "make JSON with {keys}", "write {keys} as JSON"], self.test) or ["extract {keys} as JSON"])
        ask = ask.replace("{keys}", listed)
        ask = ask[0].upper() + ask[1:]
        text = text[0].upper() + text[1:]
        prompt = f"{ask}: {text}." if rng.random() < 0.8 else f"{text}. {ask}."
        return prompt, json.dumps({k: facts[k] for k in keys})

    # Conversations ------------------------------------------------------------------------------------------------

    def conversation(self, rng):
        """(kind, messages) of one training conversation."""
        r = rng.random()
        if r < 0.07:
            kind, (user, answer) = "refusal", self.refusal(rng)
        elif r < 0.10:
            kind, (user, answer) = "talk", self.small_talk(rng)
        elif r < 0.19:
            kind, (user, answer) = "extraction", self.extraction(rng)
        else:
            return self.house(rng, r)
        return kind, [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]

    def house(self, rng, r):
        if r < 0.31:
            user, calls = self.style(rng, *self.double(rng))
            kind = "double"
        else:
            user, calls = self.single(rng)
            kind = calls[0]["name"]
        messages = [{"role": "user", "content": user}, {"role": "assistant", "content": render_calls(calls)}]
        turns = rng.choices([0, 1, 2, 3], [62, 16, 18, 4])[0]
        for turn in range(turns):
            result, answer = outcome(rng, calls, self.texts)
            messages += [{"role": "tool", "content": result}, {"role": "assistant", "content": answer}]
            if turn == turns - 1 and rng.random() < 0.5:
                break
            follow = self.follow_up(rng, calls[0]) if len(calls) == 1 and rng.random() < 0.75 else None
            if follow is None:
                q = rng.random()
                if q < 0.12:
                    user, answer = self.refusal(rng)
                    messages += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
                    break
                follow = self.request(rng)
            user, calls = self.style(rng, *follow)
            messages += [{"role": "user", "content": user}, {"role": "assistant", "content": render_calls(calls)}]
        return kind, messages


def plural(n, unit):
    return f"{n} {unit if n == 1 else unit + 's'}"


def listing(parts):
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


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
        if "cancelled" in result:
            return f"{who} is cancelled."
        return f"{who} runs for {plural(get('minutes'), 'minute') if 'minutes' in result else plural(get('seconds'), 'second')}."
    if "reminder" in result:
        when = " ".join(x for x in [get("day") or "", f"at {get('time')}" if "time" in result else "", f"in {plural(get('minutes'), 'minute')}" if "minutes" in result else ""] if x)
        return f"I will remind you: {get('reminder')}{', ' + when if when else ''}."
    if "added" in result:
        return f"I put {get('added')} on the list."
    if "timers" in result:
        said = [f"{t['timer']}, {plural(t['minutes_left'], 'minute')}" for t in get("timers")]
        return f"Time left: {'; '.join(said)}." if said else "There is no timer running."
    if "reminders" in result:
        return f"Your reminders: {'; '.join(get('reminders'))}." if get("reminders") else "You have no reminders."
    return f"On the list: {listing(get('list'))}." if get("list") else "The shopping list is empty."


def outcome(rng, calls, texts):
    """(what the house answers, as JSON, the sentence that follows)"""
    results = []
    for c in calls:
        a, name = c["arguments"], c["name"]
        if rng.random() < 0.05 and "room" in a and a["room"] != "all":
            thing = "light" if name == "set_light" or a.get("what") == "light" else "heating" if name == "set_heating" or a.get("what") == "heating" else "sensor"
            results.append({"error": f"there is no {thing} in the {a['room']}"})
        elif name == "set_light":
            r = {"room": a["room"], "light": "on" if a["on"] else "off"}
            results.append(r | {k: a[k] for k in ("brightness", "color") if k in a})
        elif name == "set_heating":
            results.append({"room": a["room"], "heating": a["temperature"]})
        elif name == "set_timer":
            results.append({"timer": a.get("name", "timer")} | {k: a[k] for k in ("minutes", "seconds") if k in a})
        elif name == "cancel_timer":
            results.append({"error": "there is no such timer"} if rng.random() < 0.1 else {"cancelled": a.get("name", "timer")})
        elif name == "add_reminder":
            results.append({"reminder": a["text"]} | {k: a[k] for k in ("day", "time", "minutes") if k in a})
        elif name == "add_to_list":
            results.append({"added": a["item"]})
        elif a["what"] == "light":
            if a["room"] == "all":
                results.append({"lights_on": rng.sample(list(v.ROOMS), rng.randint(0, 3))})
            elif rng.random() < 0.5:
                results.append({"room": a["room"], "light": "off"})
            else:
                r = {"room": a["room"], "light": "on"}
                if rng.random() < 0.6:
                    r["brightness"] = rng.randint(1, 100)
                if rng.random() < 0.2:
                    r["color"] = rng.choice(v.COLORS)
                results.append(r)
        elif a["what"] in ("heating", "temperature"):
            n = rng.randint(10, 56) / 2
            results.append({"room": a["room"], a["what"]: int(n) if n == int(n) else n})
        elif a["what"] == "timers":
            results.append({"timers": [{"timer": texts.timer(rng) if rng.random() < 0.7 else "timer", "minutes_left": rng.randint(1, 90)} for _ in range(rng.randint(0, 2))]})
        elif a["what"] == "reminders":
            results.append({"reminders": [texts.task(rng) + (f" {rng.choice(['tomorrow', 'monday', 'friday', 'saturday', ''])} {rng.randint(0, 23):02}:{rng.randint(0, 11) * 5:02}".replace("  ", " ") if rng.random() < 0.6 else "") for _ in range(rng.randint(0, 3))]})
        else:
            results.append({"list": [texts.item(rng)[0] for _ in range(rng.randint(0, 4))]})
    content = json.dumps(results[0] if len(results) == 1 else results)
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
    gen = Generator(["lantern", "river", "stone", "prophet", "kernel"], test="test" in sys.argv)
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 40):
        kind, messages = gen.conversation(rng)
        print(kind, "|", " || ".join(m["content"] for m in messages))
