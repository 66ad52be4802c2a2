"""What the requests are about: rooms, numbers, times, texts; each with how people say it and how a call writes it."""

import zlib


def held(kind, value):
    """Whether a wording or a value is kept out of training (about one in eight), by a hash that never changes."""
    return zlib.crc32(f"{kind}:{value}".encode()) % 8 == 0


def part(kind, values, test):
    """The values of a list that belong to the training or to the test side."""
    return [v for v in values if held(kind, v) == test]


# Canonical name: how people say it (the first one most often).
ROOMS = {
    "kitchen": ["kitchen"],
    "living room": ["living room", "lounge", "sitting room", "parlour", "livingroom"],
    "bedroom": ["bedroom", "bed room", "sleeping room"],
    "bathroom": ["bathroom", "toilet", "washroom", "bath", "loo", "restroom"],
    "hallway": ["hallway", "hall", "corridor", "entrance", "entry hall"],
    "office": ["office", "study", "home office"],
    "garage": ["garage"],
    "garden": ["garden", "yard", "backyard"],
    "kids room": ["kids room", "nursery", "children's room", "kid's room", "kids' room", "baby's room"],
    "attic": ["attic", "loft"],
    "basement": ["basement", "cellar"],
    "dining room": ["dining room", "diningroom"],
    "guest room": ["guest room", "spare room", "guestroom"],
    "laundry room": ["laundry room", "utility room"],
    "workshop": ["workshop", "hobby room"],
    "balcony": ["balcony", "terrace"],
}
COLORS = ["red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "warm white", "turquoise"]

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen").split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


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
    return words(n, rng) if rng.random() < 0.4 else str(n)


def room(rng):
    """(canonical, spoken)"""
    name = rng.choice(list(ROOMS))
    spoken = ROOMS[name]
    return name, spoken[0] if rng.random() < 0.6 else rng.choice(spoken)


def brightness(rng, test):
    while True:
        n = 5 * rng.randint(1, 20) if rng.random() < 0.7 else rng.randint(1, 99)
        if held("brightness", n) == test:
            break
    return n, number(rng, n) + rng.choice([" percent", " percent", " percent", "%", "%", " %", " per cent"])


def temperature(rng, test):
    while True:
        n = rng.randint(24, 52) / 2 if rng.random() < 0.4 else float(rng.randint(10, 28))
        if held("temperature", n) == test:
            break
    whole = int(n)
    value = whole if n == whole else n
    if n == whole:
        said = number(rng, whole)
    else:
        said = rng.choice([f"{n}", f"{n}", f"{words(whole, rng)} and a half", f"{whole} and a half",
                           f"{words(whole, rng)} point five"])
    return value, said


DEGREES = [" degrees", " degrees", " degrees", " degrees", "°", " °C", " degrees celsius", " C"]


def duration(rng, test):
    """({"minutes": n} or {"seconds": n}, spoken)"""
    while True:
        r = rng.random()
        if r < 0.66:
            n = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 35, 40, 45, 50]) if rng.random() < 0.5 \
                else rng.randint(1, 99)
            unit = rng.choice(["minutes", "minutes", "minutes", "min", "mins"]) if n > 1 else "minute"
            arg, said = {"minutes": n}, f"{'a' if n == 1 and rng.random() < 0.4 else number(rng, n)} {unit}"
        elif r < 0.80:
            n, said = rng.choice([(30, "half an hour"), (30, "a half hour"), (15, "a quarter of an hour"), (45, "three quarters of an hour"),
                                  (60, "an hour"), (60, "one hour"), (60, "1 hour"), (90, "an hour and a half"),
                                  (90, "one and a half hours"), (90, "one hour and a half"), (15, "a quarter hour"), (90, "1.5 hours")])
            return {"minutes": n}, said
        elif r < 0.88:
            n = rng.randint(2, 6)
            arg, said = {"minutes": 60 * n}, f"{number(rng, n)} hours"
        elif r < 0.92:
            n = 5 * rng.randint(1, 11)
            arg, said = {"minutes": 60 + n}, f"{rng.choice(['an', 'one', '1'])} hour and {number(rng, n)} minutes"
        else:
            n = 5 * rng.randint(1, 18)
            arg, said = {"seconds": n}, f"{number(rng, n)} {rng.choice(['seconds', 'seconds', 'sec'])}"
        # What a plain number decides is held out; hours, which only a table can turn into minutes, are not.
        if r >= 0.80 and "seconds" not in arg or held("duration", arg) == test:
            return arg, said


def clock(rng, test):
    """("HH:MM", spoken without "at", part of the day or None that the day's word must bring)"""
    while True:
        h, m = rng.randint(0, 23), rng.choice([0, 0, 0, 30, 30, 15, 45]) if rng.random() < 0.6 else rng.randint(0, 59)
        if held("clock", f"{h}:{m}") == test:
            break
    value = f"{h:02}:{m:02}"
    h12, late = (h % 12) or 12, h >= 12
    r = rng.random()
    if r < 0.3 or (h == 0 and m):
        return value, rng.choice([f"{h}:{m:02}", f"{h:02}:{m:02}"])
    if h == 12 and m == 0:
        return value, rng.choice(["noon", "midday", "12:00"])
    if h == 0:
        return value, "midnight"
    spoken = spoken_clock(rng, h12, m)
    if late:
        tails = [" pm", "pm", " p.m.", " PM"] if spoken[0].isdigit() and "past" not in spoken else []
        tails += [" in the afternoon"] * 2 if h < 18 else [" in the evening"] * 2
        tails += [" at night"] if h > 20 else []
        return value, spoken + rng.choice(tails)
    tails = [" am", "am", " a.m.", " AM"] if spoken[0].isdigit() and "past" not in spoken else []
    tails += [" in the morning", " in the morning", "", "", "", " o'clock" if m == 0 else ""]
    return value, spoken + rng.choice(tails)


def spoken_clock(rng, h, m):
    """7:30 as people say it, on a clock of twelve hours."""
    nxt = h % 12 + 1
    forms = [f"{h}:{m:02}"] if m else [str(h), words(h)]
    if m in (15, 30):
        forms += [f"{'quarter' if m == 15 else 'half'} past {words(h)}"] * 2
        forms += [f"{'a quarter' if m == 15 else 'half'} past {h}"]
    if m == 45:
        forms += [f"quarter to {words(nxt)}"] * 2 + [f"a quarter to {nxt}"]
    if m in (5, 10, 20, 25):
        forms.append(f"{words(m)} past {words(h)}")
    if m in (35, 40, 50, 55):
        forms.append(f"{words(60 - m)} to {words(nxt)}")
    if m >= 10:
        forms.append(f"{words(h)} {words(m, rng)}")
    return rng.choice(forms)


def moment(rng, test):
    """When: (arguments of add_reminder, spoken with its preposition)."""
    r = rng.random()
    if r < 0.40:
        value, said = clock(rng, test)
        return {"time": value}, f"{rng.choice(['at', 'at', 'at', 'at', 'for', 'by', ''])} {said}".strip()
    if r < 0.52:
        day, said = day_of(rng)
        return {"day": day}, said
    if r < 0.74:
        day, said = day_of(rng)
        value, at = clock(rng, test)
        return {"day": day, "time": value}, rng.choice([f"{said} at {at}", f"{said} at {at}", f"at {at} {said}", f"{said}, {at}"])
    if r < 0.84:
        h, m = rng.randint(5, 11), rng.choice([0, 0, 30, 15, 45])
        said = spoken_clock(rng, h, m)
        if rng.random() < 0.5 or h < 6:
            return {"time": f"{h + 12}:{m:02}"}, rng.choice([f"tonight at {said}", f"at {said} tonight", f"this evening at {said}", f"at {said} this evening"])
        return {"day": "tomorrow", "time": f"{h:02}:{m:02}"}, rng.choice([f"tomorrow morning at {said}", f"at {said} tomorrow morning"])
    arg, said = duration(rng, test)
    if "seconds" in arg:
        arg, said = {"minutes": 10}, "ten minutes"
    return arg, f"in {said}"


def day_of(rng):
    if rng.random() < 0.45:
        return "tomorrow", "tomorrow"
    day = rng.choice(DAYS)
    return day, rng.choice([f"on {day.capitalize()}", f"on {day.capitalize()}", day.capitalize(), f"next {day.capitalize()}", f"this {day.capitalize()}"])


ITEMS = """milk|bread|butter|eggs|cheese|yoghurt|cream|flour|sugar|salt|pepper|rice|pasta|noodles|spaghetti|potatoes|onions|garlic|
tomatoes|carrots|cucumbers|lettuce|spinach|broccoli|cauliflower|cabbage|peas|beans|lentils|mushrooms|peppers|zucchini|aubergines|corn|
apples|pears|bananas|oranges|lemons|limes|grapes|strawberries|raspberries|blueberries|cherries|peaches|plums|melons|mangoes|avocados|
chicken|beef|pork|ham|bacon|sausages|salami|turkey|salmon|tuna|shrimps|fish fingers|tofu|oat milk|soy milk|almond milk|orange juice|
apple juice|mineral water|lemonade|cola|beer|red wine|white wine|coffee|coffee beans|green tea|black tea|cocoa|honey|jam|peanut butter|
chocolate|cookies|biscuits|crackers|crisps|popcorn|nuts|walnuts|raisins|cereal|muesli|oats|olive oil|sunflower oil|vinegar|mustard|ketchup|
mayonnaise|soy sauce|tomato sauce|vanilla|cinnamon|yeast|baking powder|ice cream|frozen pizza|vegetable stock|bay leaves|parsley|basil|
toilet paper|kitchen paper|tissues|soap|dish soap|shampoo|toothpaste|a toothbrush|sun cream|washing powder|bin bags|sponges|candles|matches|
light bulbs|batteries|printer paper|envelopes|stamps|nappies|baby food|cat food|dog food|bird seed|cat litter|plasters|vitamins|aspirin|
razor blades|aluminium foil|baking paper|bleach|fabric softener|hand cream|cotton buds|a birthday card|wrapping paper|flowers|ginger|rye bread|
goat cheese|mozzarella|parmesan|feta|sour cream|coconut milk|chickpeas|kidney beans|sweet corn|dark chocolate|sparkling water|whole milk|
brown sugar|maple syrup|icing sugar|tortillas|bagels|croissants|rolls|pancake mix|pineapple|celery|leeks|radishes|beetroot|pumpkin|asparagus|
olives|capers|pickles|anchovies|sardines|mince|steak|lamb|duck|eggplants|dates|figs|kiwis|nectarines|apricots|oranges for juice|tea bags|sugar cubes|
vanilla sugar|gummy bears|marshmallows|rice cakes|protein bars|cheddar|cottage cheese|margarine|lard|sesame seeds|sunflower seeds|paprika|curry powder|
nutmeg|oregano|thyme|rosemary|chili flakes|detergent|dishwasher tabs|mouthwash|deodorant|tape|glue|pencils|a notebook|screws|nails|paint|a light bulb"""
ITEMS = [i.strip() for i in ITEMS.replace("\n", "").split("|")]
QUANTITIES = ["two bottles of", "three cans of", "two bags of", "six", "a dozen", "some", "some", "some", "more", "a", "a bag of", "a bottle of",
              "two kilos of", "500 grams of", "four", "fresh", "a pack of", "a box of", "a jar of", "cheap", "organic"]

TIMER_NAMES = """pasta|eggs|tea|pizza|rice|bread|cake|cookies|laundry|washing|dryer|roast|chicken|potatoes|soup|oven|nap|homework|exercise|yoga|
break|meeting|coffee|noodles|spaghetti|lasagna|steak|fish|beans|lentils|dough|pie|muffins|pancakes|bacon|vegetables|carrots|broccoli|dishwasher|
washing machine|sauna|meditation|reading|piano practice|workout|stretching|screen time|game|turkey|stew|curry|casserole|brownies|biscuits|toast|
popcorn|porridge|dumplings|quiche|bath|shower|hair dye|face mask|sprinkler|charger|phone call|presentation|walk|run|push ups|gnocchi|ravioli|
salmon|sausages|corn|barbecue|grill|gratin|pudding|jam|sourdough|focaccia|croissants|ice bath|parking|lunch break|quiz|chess game"""
TIMER_NAMES = [i.strip() for i in TIMER_NAMES.replace("\n", "").split("|")]

PEOPLE = """mom|mum|dad|grandma|grandpa|my sister|my brother|my wife|my husband|the kids|Anna|Ben|Clara|David|Emma|Felix|Greta|Hannah|Ivan|Jack|Julia|
Karl|Laura|Lucas|Maria|Max|Mia|Nina|Noah|Oliver|Olivia|Paul|Peter|Robert|Sarah|Simon|Sophie|Thomas|Tom|Victor|Wendy|Zoe|Aunt Mary|Uncle Bob|Mrs Miller|
Mr Brown|the neighbours|the landlord|the plumber|the doctor|the dentist|the vet|the electrician|the bank|the school|the insurance company|my boss|
the babysitter|the hairdresser|Daniel|Elena|Fatima|George|Helen|Isabel|James|Kevin|Linda|Martin|Nora|Oscar|Patricia|Quentin|Rachel|Stefan|Tina|Ursula|
Walter|Yusuf|Alex|Bella|Chris|Diana|Erik|Frank|Gloria|Henry|Ingrid|Aunt Rosa|Uncle Joe|my parents|my aunt|the accountant|the gardener|the garage"""
PEOPLE = [i.strip() for i in PEOPLE.replace("\n", "").split("|")]

# Verb: what it takes. "@" is a person.
TASKS = {
    "call": "@", "phone": "@", "ring": "@", "text": "@", "email": "@", "write to": "@", "visit": "@", "meet": "@", "pick up": "@|the parcel|the dry cleaning|the bread|the keys|the tickets|the medicine",
    "invite": "@", "thank": "@", "congratulate": "@", "answer": "@|the letter|the email|the invitation",
    "buy": "milk|a present|flowers|new shoes|a birthday card|bread|stamps|a light bulb|paint|train tickets|cat food|wrapping paper",
    "water": "the plants|the flowers|the garden|the lawn|the roses|the herbs|the orchids",
    "feed": "the cat|the dog|the fish|the birds|the rabbits|the hamster|the chickens|the sourdough",
    "walk": "the dog|the dogs", "take": "my pills|the medicine|out the trash|the bins out|a break|the car to the garage|a shower|vitamins|the dog to the vet|the cake out of the oven",
    "take out": "the trash|the bins|the rubbish|the recycling|the garbage|the paper", "put out": "the bins|the recycling|the milk bottles",
    "pay": "the rent|the bills|the electricity bill|the phone bill|the fine|the gardener|the insurance|my taxes|the invoice",
    "clean": "the bathroom|the windows|the oven|the fridge|the car|the fish tank|the gutters|the filter|my glasses|the shed",
    "wash": "the car|the towels|the curtains|the dishes|my hair|the sheets|the windows",
    "book": "a flight|a hotel|a table|the tickets|an appointment|the train|the holiday|a court", "cancel": "the subscription|the appointment|the order|the gym membership|the newspaper",
    "check": "the oven|the mail|the tyres|the boiler|the smoke alarm|my email|the door|the basement|the results|the laundry", "charge": "my phone|the car|the bike|the laptop|the toothbrush|the camera",
    "change": "the filter|the sheets|the batteries|the oil|the password|the bed linen|the water", "return": "the books|the parcel|the drill|the shoes|the ladder|the library books",
    "send": "the letter|the invoice|the report|a card to @|the parcel|the form|the photos to @", "finish": "the report|my homework|the essay|the slides|the puzzle", "read": "the contract|the book|the report|a story to the kids",
    "start": "the dishwasher|dinner|the washing machine|the car|the engine", "turn off": "the stove|the iron|the sprinkler|the oven", "empty": "the dishwasher|the bins|the mailbox|the vacuum cleaner",
    "fix": "the tap|the bike|the fence|the lamp|the gate|the roof", "order": "pizza|new glasses|firewood|a cake|ink|contact lenses", "renew": "the passport|the insurance|the licence|the library card",
    "bring": "the cake|the umbrella|my passport|the documents|the gym bag|a jacket|the guitar", "prepare": "the meeting|lunch|the guest bed|dinner|the presentation|the documents", "hang up": "the laundry|the washing|the picture",
    "fold": "the laundry|the towels", "iron": "the shirts|my blouse", "mow": "the lawn|the grass", "lock": "the door|the shed|the gate|the bike", "close": "the windows|the garage|the curtains", "open": "the windows|the greenhouse|the mail",
    "move": "the car|the meeting|the bins", "back up": "the photos|the laptop|my files", "update": "the calendar|the laptop|my CV", "print": "the tickets|the form|the boarding pass", "sign": "the form|the contract|the school letter",
    "practise": "the piano|the guitar|French|the speech", "bake": "a cake|bread|cookies|a pie", "cook": "dinner|the soup|pasta|for @", "join": "the meeting|the call|the yoga class", "go": "shopping|to the gym|to bed|running|to the dentist|to the bank|swimming|home",
    "leave": "for work|for the airport|the house|early", "get": "the car washed|a haircut|cash|the keys from @|petrol|some sleep|up", "tell": "@ about the party|@ the news|@ the truth", "ask": "@ about the car|@ for the recipe|@ about the holiday",
    "collect": "the parcel|the suit|the eggs|@ from the station", "drink": "water|some tea|more water", "eat": "lunch|something|an apple", "do": "my homework|the laundry|the dishes|yoga|the taxes|my exercises", "study": "for the exam|maths|Spanish",
    "wake": "@|the baby", "help": "@|@ with homework|@ move", "defrost": "the fish|the freezer|the chicken", "refill": "the soap|the bird feeder|the prescription", "stretch": "|my back", "register": "for the course|the car", "post": "the letter|the parcel|a card",
    "look at": "the offer|the roof|the plans", "find": "the keys|a plumber|my glasses", "record": "the show|the match", "watch": "the match|the news|the eclipse", "sell": "the old bike|the sofa", "repot": "the cactus|the basil",
    "tidy": "the desk|the garage|my room", "vacuum": "the stairs|the car|the living room", "paint": "the fence|the wall|the door", "plant": "the tulips|the tomatoes|a tree", "pack": "the suitcase|lunch|my bag|the car", "measure": "the window|the shelf",
    "rest": "|for a while", "meditate": "|for a bit", "relax": "", "shave": "", "pray": "", "exercise": "|a little", "sweep": "the floor|the chimney|the terrace", "replace": "the light bulb|the batteries|the filter",
}
NOUNS = """the dentist|the meeting|the dentist appointment|the party|my pills|the parcel|the soup|the concert|dinner with @|the doctor's appointment|lunch with @|
football practice|the school play|the birthday of @|@'s birthday|the deadline|the interview|yoga|the exam|the game|the oven|the laundry|my medication|the bins|the library books|
the barbecue|the train|my flight|the haircut|the rent|the invoice|the call with @|the wedding|the anniversary|the parents' evening|judo class|the choir|swimming lessons|
piano lesson|the vet|the delivery|the recycling|the tax return|the workshop with @|the book club|the church service|the team call|the blood test|the keys|the cake|the reservation|
the theatre|the car inspection|the rehearsal|the conference|team meeting|band practice|dance class|the window cleaner|the funeral|the baby shower|movie night|trash day"""
NOUNS = [i.strip() for i in NOUNS.replace("\n", "").split("|")]


class Texts:
    """Free texts: from the lists above and, so that copying is learned for any word, from words of the corpus."""

    def __init__(self, vocabulary, test):
        self.words = vocabulary
        self.test = test
        self.items = part("item", ITEMS, test)
        self.names = part("name", TIMER_NAMES, test)
        self.people = part("person", PEOPLE, test)
        self.nouns = part("noun", NOUNS, test)
        self.tasks = [(verb, o) for verb, objects in TASKS.items() for o in objects.split("|") if held("task", f"{verb} {o}") == test]

    def person(self, rng):
        return rng.choice(self.people)

    def some(self, rng, least, most):
        return " ".join(self.any_word(rng) for _ in range(rng.randint(least, most)))

    def any_word(self, rng):
        """A word of the corpus, or the head of one with the tail of another: those can only be copied."""
        word = rng.choice(self.words)
        if rng.random() < 0.3:
            word = word[:rng.randint(2, 4)].lower() + rng.choice(self.words)[-rng.randint(2, 5):]
        return word

    def task(self, rng):
        r = rng.random()
        verb, obj = rng.choice(self.tasks)
        if not self.test and r < 0.30:
            obj = rng.choice(["the ", "the ", "my ", "a ", ""]) + self.some(rng, 1, 2)
        elif not self.test and r < 0.37:
            return self.some(rng, 1, 4)
        elif r < 0.47:
            obj += rng.choice([f" for {self.person(rng)}", f" with {self.person(rng)}", " before dinner", " for the party", " after work", " again", " and {0}".format(rng.choice(self.tasks)[0])]
                              if obj else [""])
        return f"{verb} {obj}".strip().replace("@", self.person(rng))

    def noun(self, rng):
        if not self.test and rng.random() < 0.40:
            return rng.choice(["the ", "the ", "my ", ""]) + self.some(rng, 1, 2)
        return rng.choice(self.nouns).replace("@", self.person(rng))

    def item(self, rng):
        """(as the call writes it, as said): a leading some, a, an, more is not part of the item."""
        r = rng.random()
        item = self.some(rng, 1, 2) if not self.test and r < 0.5 else rng.choice(self.items)
        if not item.startswith("a "):
            q = rng.random()
            if q < 0.35:
                item = f"{rng.choice(QUANTITIES)} {item}"
            elif q < 0.40:
                item = f"{item} for {self.person(rng)}"
        bare = item
        for article in ("some ", "an ", "a ", "more "):
            if bare.startswith(article):
                bare = bare[len(article):]
                break
        return bare, item

    def timer(self, rng):
        return self.some(rng, 1, 1) if not self.test and rng.random() < 0.5 else rng.choice(self.names)
