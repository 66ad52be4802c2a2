"""How people word the requests. (a|b|) chooses; {slot} is filled; a leading "!" marks an imperative, which may follow
"could you"; "the {room}" may become "my {room}". One wording in eight is held out of training (values.held)."""

LIGHT_ON = """
!(turn|switch|put|flick|flip|click|get|bring) on the {room} (light|lights|lamp|lamps|lighting)
!(turn|switch|put|flick|get) the {room} (light|lights|lamp|lamps) on
!(turn|switch|put) on the (light|lights|lamp) in the {room}
!(turn|switch|put|have) the (light|lights|lamp) on in the {room}
!(turn|switch|put) the (light|lights|lamp) in the {room} on
!(light|light up|illuminate|brighten|brighten up) the {room}
!(give|get) me (some|a bit of|a little|more|) light in the {room}
!make (it bright|it light|light) in the {room}
!(start|activate|enable|power on|power up|fire up) the {room} (light|lights|lamp)
!(start|activate|enable|power on) the (light|lights|lamp) in the {room}
!let there be (some|) light in the {room}
!let me have (some|) light in the {room}
!let's have (some|) light in the {room}
!in the {room}(,|) (turn|switch|put) (the light|the lights|the lamp) on
!in the {room}(,|) (turn|switch|put) on the (light|lights)
!(make sure|see to it that|see that) the {room} (light|lamp) is on
!(make sure|see to it that) the (light|lamp) (is|gets switched|gets turned) on in the {room}
!do the (light|lights) in the {room}(, on|) please
the {room} (light|lights|lamp) on
{room} (light|lights|lamp|lamps) on
{room}(:|,|) (light|lights|lamp|lamps) on
(light|lights|lamp) on in the {room}
on with the (light|lights) in the {room}
(light|lights) for the {room}
(some|more|a bit of|a little) light (in|for) the {room}
{room} (light|lights|lamp)
(light|lights) in the {room}
the {room} (needs|could use|should have|wants) (some|more|a bit of|) light
(we|I) (need|want|would like|could use|'d like|'d love) (some|a bit of|more|a little|) light in the {room}
(I'd like|I want|I would like|I need) the {room} (lit|lit up|to be lit|bright)
(I'd like|I want|I would like|I need) the {room} (light|lights|lamp) (on|to be on|switched on|turned on)
(I'd like|I want) the (light|lights|lamp) in the {room} (on|to be on|switched on)
(could|can) (we|I) (have|get) (some|more|a little|) light in the {room}
(could|can) (we|I) have the {room} (light|lights|lamp) on
(would|could) you (mind turning|be so kind as to turn|be kind enough to switch|be a dear and turn) on the {room} (light|lights)
would you mind (switching|turning|putting) the (light|lights) on in the {room}
the {room} (light|lamp) (should|has to|must|needs to|can|may) (be|go|come) on
the (light|lamp) in the {room} (should|has to|must|needs to|can|may) (be|go|come) on
it's (dark|so dark|very dark|too dark|pretty dark|really dark|pitch dark|pitch black|quite gloomy|gloomy|rather dark|a bit dark|getting dark) in the {room}
it is (dark|so dark|very dark|too dark|pitch black|dim) in the {room}
the {room} is (dark|so dark|very dark|too dark|pitch dark|pitch black|gloomy|much too dark|way too dark)
the {room} is (getting|growing|awfully|rather|quite) dark
I (can't|cannot|can hardly|can barely) see (a thing|anything|much|my hand|where I'm going|what I'm doing) in the {room}
(I'm|we're|somebody is|I am) (in|sitting in|standing in) the dark in the {room}
(why is it|why's it) so dark in the {room}
(it's|it is) hard to see (anything |)in the {room}
I'm (going|walking|coming|heading) (into|to) the {room}, (I need light|light please|lights on|make it bright|turn the light on)
I (need|have) to (see|find|look for) something in the {room}, (light|lights on|turn on the light|switch the light on)
no light in the {room}, (turn it on|change that|switch it on|please fix that)
who turned (off the {room} light|the light off in the {room})? (turn it|switch it|put it) back on
the {room} (light|lamp) (went|has gone) off, (turn|switch|put) it (on again|back on)
!(turn|switch|put) the {room} (light|lights|lamp) back on
!(turn|switch) the light on for me in the {room}
(guests|visitors|friends) are (coming|arriving|here), (light up|brighten) the {room}
(I|we) need to see (something|what I'm doing|better|more) in the {room}
(make|have|get) the {room} (lit|lit up|bright|nice and bright)
light up my {room}
the {room} lights, on
!(see|care) for (some|) light in the {room}
there (is|should be|needs to be) (no light|light) in the {room}, (turn it on|please switch it on|switch the lamp on)
time to (light up|brighten) the {room}
"""
LIGHT_OFF = """
!(turn|switch|put|shut|flick|flip|click) off the {room} (light|lights|lamp|lamps|lighting)
!(turn|switch|put|shut|get) the {room} (light|lights|lamp|lamps) off
!(turn|switch|shut) off the (light|lights|lamp) in the {room}
!(turn|switch|put|shut) the (light|lights|lamp) off in the {room}
!(turn|switch|put) the (light|lights|lamp) in the {room} off
!(kill|cut|extinguish|put out|douse|end|stop|disable|deactivate|power off|power down) the {room} (light|lights|lamp|lamps)
!(kill|cut|extinguish|put out|lose|stop) the (light|lights|lamp|lamps) in the {room}
!make (it|everything|) dark in the {room}
!make the {room} (dark|completely dark)
!darken the {room}
!in the {room}(,|) (turn|switch|put) (the light|the lights|the lamp) off
!(make sure|see to it that|see that) the {room} (light|lamp) is (off|out)
!(make sure|see to it that) the (light|lamp) (is|gets switched|gets turned) off in the {room}
!leave the {room} (dark|in the dark|without light)
the {room} (light|lights|lamp) (off|out)
{room} (light|lights|lamp|lamps) (off|out)
{room}(:|,|) (light|lights|lamp|lamps) (off|out)
(light|lights|lamp) (off|out) in the {room}
off with the (light|lights) in the {room}
off with the {room} (light|lights|lamp)
no (more|) light in the {room}
no (more|) light (needed|required|necessary|wanted) in the {room}
(I|we) (don't|do not|no longer) need (any|the|) (light|lights|lamp) in the {room} (any more|anymore|now|)
(I|we) (don't|do not) need the {room} (light|lights|lamp) (any more|anymore|now|)
the {room} (doesn't need|does not need|needs no) (any|) light (any more|anymore|now|)
(nobody|no one|nobody else) is in the {room} (any more|anymore|now|), (turn|switch) the light off
(nobody|no one|nobody) is (in|using) the {room} (any more|anymore|now|right now|), (lights off|light off|so no light|so no light there|kill the light|so the light can go off)
(nobody|no one|somebody|someone|the kids|you|they|we|I) (left|forgot) the {room} (light|lights|lamp) on, (turn it off|switch it off|off with it|get rid of it|please turn it off|put it out)
(someone|somebody|the kids|you|we|I) (left|forgot) the (light|lights|lamp) (on|burning|shining) in the {room}
(someone|somebody|the kids|you|we|I) (left|forgot) the {room} (light|lights|lamp) (on|burning)
the {room} (light|lamp) is still (on|burning|shining), (turn it off|switch it off|off with it|shut it off|please put it out|get rid of it)
why is the {room} (light|lamp) (still|) (on|burning)? (turn it off|switch it off|shut it off|off please)
(I'd like|I want|I would like|I need) the {room} (light|lights|lamp) (off|to be off|switched off|turned off|out)
(I'd like|I want|I would like|I need) the {room} (dark|to be dark)
the {room} (light|lamp) (should|has to|must|needs to|can|may) (be|go) (off|out) (now|)
the (light|lamp) in the {room} (should|has to|must|needs to|can|may) (be|go) (off|out) (now|)
the {room} (should|must|can) be dark (now|)
the {room} (light|lamp) (isn't|is not) needed (any more|anymore|now)
(I'm|we're|I am|we are) (done|finished|through) in the {room}, (lights off|light off|turn the light off|switch it off there|no more light needed)
(I'm|we're) (leaving|out of|going out of) the {room}, (lights off|light off|turn the light off|lights out)
(I'm|we're) (going to sleep|going to bed|off to bed|tired), (lights off in the {room}|turn off the {room} light|{room} light off)
(would|could) you (mind turning|be so kind as to turn|be kind enough to switch|be a dear and turn) off the {room} (light|lights)
would you mind (switching|turning|putting) the (light|lights) off in the {room}
it's (too|far too|way too) bright in the {room} to sleep
!save (some|) (power|energy|electricity)(,| and) (turn|switch) off the {room} light
!turn off (whatever|any lamp that|the lamp that|everything that) is (on|shining|burning) in the {room}
the light can go (off|out) in the {room}
that {room} (light|lamp) (bothers|annoys|disturbs) me, (turn|switch|put) it off
the kids are asleep, (turn|switch) off the light in the {room}
the {room} lights, (off|out)
time for dark in the {room}
"""
LIGHT_PERCENT = """
!(set|put|turn|bring|take|move|change|adjust|get) the {room} (light|lights|lamp|lamps|lighting|brightness) to {pct}
!(set|put|turn|bring|change|adjust) the (light|lights|lamp|brightness) in the {room} to {pct}
!(dim|lower|reduce|turn down|bring down|decrease|fade) the {room} (light|lights|lamp) to {pct}
!(dim|lower|reduce|turn down|bring down) the (light|lights|lamp) in the {room} to {pct}
!(raise|increase|brighten|turn up|bring up|crank up) the {room} (light|lights|lamp) to {pct}
!(raise|increase|turn up|bring up) the (light|lights|brightness) in the {room} to {pct}
!(turn|bring|take) the {room} (light|lights|lamp) (up|down) to {pct}
!(dim|bring|take) the {room} (down |)to {pct}
!set the {room} (at|to) {pct} (brightness|light)
!(turn|switch) on the {room} (light|lights|lamp) at {pct}
!(turn|switch) the {room} (light|lamp) on at {pct}
!(turn|switch) on the (light|lights|lamp) in the {room} (at|with) {pct}
!make the {room} (light|lights|lamp) {pct} (bright|)
!make it {pct} (bright|light) in the {room}
!give (me|us) {pct} (light|brightness|) in the {room}
!give the {room} {pct} (light|of light|)
!put {pct} (light|brightness|) (in|on) the {room}
!put {pct} on the {room} (light|lamp)
!run the {room} (light|lights|lamp) at {pct}
!let the {room} (light|lamp) (be|go|shine|burn) (at|with) {pct}
{room} (light|lights|lamp) (to|at|on|) {pct}
{room}(:|,|) (light|lights|lamp|brightness) {pct}
{room} (to|at) {pct} (brightness|light)
{room} {pct}
{room} brightness {pct}
{pct} (light|brightness) (in|for) the {room}
{pct} in the {room}
{pct} (for|on) the {room} (light|lights|lamp)
(light|lights|brightness) in the {room} (to|at) {pct}
(light|lights|lamp) (at|to) {pct} in the {room}
(I'd like|I want|I would like|I need) {pct} (light|brightness) in the {room}
(I'd like|I want|I would like|I need) the {room} (light|lights|lamp) at {pct}
(I'd like|I want) the {room} at {pct}
the {room} (light|lamp|brightness) (should|must|has to|can) be (at|on|) {pct}
the {room} (light|lamp) (should|can|may) go (to|down to|up to) {pct}
it's too (bright|dark) in the {room}, (make it|go to|go for|set it to|try) {pct}
the {room} is too (bright|dark), (make it|go to|go for|set it to|try) {pct}
too (bright|dark) in the {room}, (make it|go to|go for|try|take) {pct}
(how about|what about|let's have|let's say|let's try) {pct} (light|brightness|) in the {room}
{pct} (is|will be|would be|are) (enough|fine|nice|good|plenty) (in|for) the {room}
(can|could) (I|we) (have|get) {pct} (light|brightness|) in the {room}
(can|could) (I|we) have the {room} (light|lights|) at {pct}
(only|just) {pct} (light|) in the {room}
"""
LIGHT_LEVEL = """
!(set|put|turn|bring) the {room} (light|lights|lamp) to {level}
!(set|put|turn) the (light|lights|lamp) in the {room} to {level}
!(turn|bring|crank) the {room} (light|lights|lamp) (up|down|) to {level}
!make the {room} {level}
{room} (light|lights|lamp) (to|at) {level}
{room} (light|lights|lamp|) (on|at) {level}
{level} (light|) in the {room}
{level} for the {room}
{level} in the {room} will do
I(| would|'d) (want|like) {level} in the {room}
(let's have|give me|I want|I need|I'd like) {level} in the {room}
"""
LEVELS = {50: ["half", "half brightness", "half power", "medium", "medium brightness", "half strength"],
          100: ["full", "full brightness", "full power", "maximum", "the maximum", "maximum brightness", "max", "full light", "the brightest"],
          10: ["minimum", "the minimum", "the lowest", "the lowest level", "night light", "minimum brightness"]}
LIGHT_DIM = """
!(dim|lower|soften|turn down|reduce|fade) the {room} (light|lights|lamp|lamps)
!(dim|lower|soften|turn down) the (light|lights|lamp|lamps) in the {room} (a bit|a little|)
!dim the {room} (a bit|a little|)
!make the (light|lights) in the {room} (dim|softer|darker|cosy|less bright|dimmer)
!make the {room} (dim|dimmer|cosy|less bright|a bit darker)
!make it (cosy|dimmer|less bright) in the {room}
(dim|soft|cosy|dimmed|low|gentle) (light|lights|lighting) in the {room}
the {room} (light|lamp) is (too|much too|way too|a bit too|a little too) bright
it's (too|much too|way too|a bit too|far too) bright in the {room}
the {room} is too bright
(less|not so much) light in the {room}
I (want|'d like|need|would like) (dim|soft|cosy|less) light in the {room}
"""  # brightness=30
LIGHT_COLOR = """
!(turn|set|make|change|switch|put|paint|colour|color) the {room} (light|lights|lamp|lamps) (to|) {color}
!(turn|set|make|change|switch) the (light|lights|lamp) in the {room} (to|) {color}
!(turn|make|paint|colour|color|set|bathe) the {room} (in|) {color}
!make it {color} in the {room}
!(let|have) the {room} (glow|shine|light up|be lit) in {color}
!(light|light up|illuminate) the {room} in {color}
!(turn|switch) on the {color} (light|lights|lamp) in the {room}
!(turn|switch) on the {room} (light|lights|lamp) in {color}
!give (me|us) (some|) {color} light in the {room}
!give the {room} (a {color} light|{color} light|a {color} glow|a {color} touch)
!switch to {color} (light|) in the {room}
{room} (light|lights|lamp) (in|to|) {color}
{room}(:|,|) {color} (light|lights|lamp|)
{room} in {color}
{color} (light|lights|lamp|lighting) (in|for) the {room}
{color} for the {room}
the {room} in {color}
(I'd like|I want|I would like|we want|I need|I'd love) (some|a|) {color} (light|lights|lighting) in the {room}
(I'd like|I want|I would like|I'd love) the {room} (light|lights|lamp|) (in|to be|to glow) {color}
(can|could) (I|we) have (some|the|a|) {color} light in the {room}
(can|could) the {room} (glow|shine|be lit|be|light up) (in|) {color}
the {room} (light|lamp) (should|must) (be|turn|glow|shine) {color}
the {room} (should|must|shall) (be|glow|shine) (in|) {color}
(how about|what about|let's have|let's try) {color} (light|) in the {room}
(a party|a film|a romantic evening|a game) in the {room}, (make it|turn it|go) {color}
"""
ALL_ON = """
!(turn|switch|put) on (all|all the|all of the|every) (light|lights|lamps)
!(turn|switch|put) (all|all the|all of the) (lights|lamps) on
!(turn|switch|put) on the (lights|light|lamps) (everywhere|in the whole house|in all rooms|in every room|in the house|)
!(turn|switch) the (lights|light) on (everywhere|in the whole house|in all rooms|)
!(light up|illuminate|brighten) (everything|the house|the whole house|the entire house|all rooms|the home)
(all|all the) (lights|lamps) on
(light|lights) on (everywhere|in every room|in the whole house|in all rooms|)
(every|each) (light|lamp) on
(it's|it is) dark (everywhere|in the whole house|in here|in the house)
I (want|need|'d like) (light|the lights on) (everywhere|in the whole house|in all rooms|in every room)
everything on
"""
ALL_OFF = """
!(turn|switch|put|shut) off (all|all the|all of the|every) (light|lights|lamps)
!(turn|switch|put|shut) (all|all the|all of the) (lights|lamps) off
!(turn|switch|put|shut) off the (lights|light|lamps) (everywhere|in the whole house|in all rooms|in every room|in the house|)
!(turn|switch) the (lights|light) off (everywhere|in the whole house|in all rooms|)
!(darken|black out) (everything|the house|the whole house|the entire house|all rooms)
!(turn|switch|shut) everything off
!(turn|switch|shut) off everything
!kill (all|all the|the) lights
!make (everything|the whole house|the house) dark
(all|all the) (lights|lamps) (off|out)
(lights|light) (off|out) (everywhere|in every room|in the whole house|in all rooms|)
(every|each) (light|lamp) (off|out)
everything (off|out|dark)
no (more|) light (anywhere|in the house)
(we're|I'm|we are) (leaving|going out|off to bed|going to bed|going to sleep|leaving the house), (all lights off|lights off|everything off|lights out|turn everything off|all lights out)
(good night|bye|see you later|time for bed|bedtime), (all lights off|lights off|everything off|lights out|turn everything off)
"""
ALL_PERCENT = """
!(set|put|turn|bring|dim) (all|all the|the) (lights|lamps) to {pct}
!(set|dim) the (light|lights) (everywhere|in the whole house|in all rooms) to {pct}
(all|all the) lights (to|at) {pct}
{pct} (light|) (everywhere|in the whole house|in all rooms)
"""
ALL_COLOR = """
!(set|turn|make|change) (all|all the) (lights|lamps) (to|) {color}
!(turn|make|paint) (everything|the whole house|the house) {color}
{color} light (everywhere|in the whole house|in all rooms)
all (lights|lamps) (in|) {color}
"""

HEAT = """
!(set|put|turn|bring|adjust|change) the {room} (heating|thermostat|heater|radiator|temperature) to {temp}{deg}
!(set|put|turn|bring|adjust|change) the (heating|thermostat|heater|radiator|radiators|temperature) in the {room} to {temp}{deg}
!(set|heat|warm|bring|put|get) the {room} (up|) to {temp}{deg}
!(heat|warm) (up|) the {room} to {temp}{deg}
!(cool|bring|take|turn|lower) the {room} (down|) to {temp}{deg}
!(lower|reduce|decrease|turn down|drop) the (heating|temperature|thermostat) in the {room} to {temp}{deg}
!(raise|increase|turn up|crank up) the (heating|temperature|thermostat) in the {room} to {temp}{deg}
!(lower|raise|turn up|turn down) the {room} (heating|temperature|thermostat|radiator|radiators) to {temp}{deg}
!(turn|bring|take|get) the {room} (heating|temperature|radiator|radiators) (up|down) to {temp}{deg}
!make (it|) {temp}{deg} in the {room}
!make the {room} {temp}{deg}
!keep the {room} at {temp}{deg}
!hold {temp}{deg} in the {room}
!heat the {room} to {temp}{deg}
!let the {room} (be|have|stay at|get|reach) {temp}{deg}
!(don't|do not|never) (heat|warm) the {room} (above|beyond|over|to more than) {temp}{deg}
!give the {room} {temp}{deg}
!get (me|us|) {temp}{deg} in the {room}
!(make sure|see to it that|see that|ensure) the {room} (is|gets to|has|reaches) {temp}{deg}
{room} (heating|thermostat|heater|radiator|temperature) (to|at|on|) {temp}{deg}
(heating|thermostat|heater|radiator|temperature) {room}(:|,|) {temp}{deg}
{room}(:|,|) {temp} degrees
{room} {temp} degrees
{room} (to|at) {temp} degrees
heat {room} (to|) {temp}{deg}
the {room} (to|at) {temp} degrees
(heating|thermostat|temperature) in the {room} (to|at|) {temp}{deg}
(radiators|radiator|heating) in the {room} (up to|down to|to) {temp}{deg}
{temp} degrees (in|for) the {room}
{temp}{deg} for the {room}
(I'd like|I want|I would like|we need|I need|we want) {temp}{deg} in the {room}
(I'd like|I want|I would like|I need) the {room} (at|to be|to have) {temp}{deg}
(I'd like|I want) the {room} (warmer|cooler|cosier|colder|a bit warmer|a little cooler|warm|cool), (say|about|maybe|make it|let's say|try) {temp}{deg}
the {room} (should|must|has to|needs to) (be|have|be at|get to|reach|go to) {temp}{deg}
the {room} (needs|wants|gets|could use) {temp}{deg}
(it should be|I want it to be|it has to be|let it be) {temp}{deg} in the {room}
{temp}{deg} (is|are|will be|would be) (enough|fine|nice|good|right|perfect|plenty|okay) (in|for) the {room}
(how about|what about|let's say|let's have|let's try) {temp}{deg} (in|for) the {room}
(can|could) (we|I) (have|get) {temp}{deg} in the {room}
(it's|it is) (too|) (cold|chilly|warm|hot|cool) in the {room}, (make it|set it to|go to|try|let's have|I want|heat to) {temp}{deg}
the {room} is too (cold|chilly|warm|hot|cool), (make it|set it to|go to|try|set) {temp}{deg}
(guests|grandma|my parents|visitors) (are|is) coming, (get|bring|heat|set) the {room} to {temp}{deg}
I (want to sleep|sleep|work|read) (cool|well|better|best) (at|with) {temp}{deg} in the {room}
the {room} (heating|thermostat|radiator) (goes|should go|must go|can go|has to go) to {temp}{deg}
"""
HEAT_ALL = """
!(set|put|turn|bring) the (heating|thermostat|temperature) to {temp}{deg}
!(set|heat|warm|bring|put) the (whole house|house|entire house|home|whole place) to {temp}{deg}
!(set|heat|put) (all rooms|every room|everything|all the rooms) to {temp}{deg}
!(turn|bring|lower|raise|turn up|turn down) the (heating|temperature) (up|down|) to {temp}{deg}
!heat everything to {temp}{deg}
!make it {temp}{deg} in here
heating (to|at|on|) {temp}{deg}
the (heating|house|whole house) (to|at) {temp}{deg}
the whole house at {temp}{deg}
{temp}{deg} (everywhere|in the whole house|in all rooms|in every room|in here)
(I'd like|I want|I would like|we need) {temp}{deg} (everywhere|in the whole house|in all rooms|in here|in the house)
(I would be|I'd be|we'd be) (happier|happy|fine) with {temp}{deg} (everywhere|in here|in the house)
(we're|we are) (going on holiday|away|leaving for the weekend|going away), (set|heat|put) (everything|the house) to {temp}{deg}
"""
COLD = """
(it's|it is) (cold|so cold|freezing|very cold|too cold|chilly|really cold|icy|a bit cold|quite cold|rather chilly|bitterly cold|awfully cold) in the {room}
the {room} is (cold|so cold|freezing|very cold|too cold|chilly|really cold|icy|ice cold|like a fridge)
I'm (cold|freezing|shivering|so cold|frozen) in the {room}
we're (cold|freezing|shivering|so cold) in the {room}
(I am|we are) (freezing|cold|shivering) in the {room}
my (feet|hands|fingers|toes|ears) are (cold|freezing|frozen|ice|like ice|icy) in the {room}
(the kids are|grandma is|the baby is|the cat is) (cold|freezing|shivering) in the {room}
(so|too|really|very) (cold|chilly) in the {room} (today|tonight|this morning|)
!make it (warmer|warm|cosy and warm|a bit warmer) in the {room}
!make the {room} (warmer|warm|a bit warmer|nice and warm)
!(warm|heat) up the {room}
!(warm|heat) the {room} (up|) (a bit|a little|)
(warmer|more heat|more heating|more warmth) in the {room}
(it could be|I want it|I'd like it) (warmer|a bit warmer) in the {room}
(brr|brrr), (it's|) (cold|so cold|freezing) in the {room}
why is it so (cold|chilly) in the {room}
!(turn|crank) up the (heat|heating|heater|radiator) in the {room}
!turn the {room} heating up
"""  # 22
HOT = """
(it's|it is) (hot|so hot|boiling|very hot|too hot|too warm|much too warm|stuffy and hot|really hot|far too hot|a bit too warm) in the {room}
the {room} is (hot|so hot|boiling|very hot|too hot|too warm|like an oven|like a sauna|overheated)
(it's|it is) like (an oven|a sauna|the tropics|a desert) in the {room}
I'm (hot|sweating|boiling|melting|too warm) in the {room}
we're (hot|sweating|boiling|melting) in the {room}
(I am|we are) (sweating|melting|too hot) in the {room}
(so|too|really|way too) (hot|warm) in the {room} (today|tonight|)
!make it (cooler|a bit cooler|colder|less hot) in the {room}
!make the {room} (cooler|colder|a bit cooler)
!cool (down|) the {room}
!cool the {room} down (a bit|a little|)
(cooler|less heat|less heating) in the {room}
(it could be|I want it|I'd like it) (cooler|a bit cooler|colder) in the {room}
why is it so (hot|warm) in the {room}
!turn down the (heat|heating|heater|radiator) in the {room}
!turn the {room} heating down
(phew|ugh|puh), (it's|) (so hot|too hot|hot|boiling) in the {room}
"""  # 18
HEAT_ON = """
!(turn|switch|put) on the (heating|heater|radiator|heat) in the {room}
!(turn|switch|put) the {room} (heating|heater|radiator) on
!(turn|switch|put) on the {room} (heating|heater|radiator)
!(start|activate|fire up) the (heating|heater) in the {room}
{room} (heating|heater|radiator) on
(heating|heater) on in the {room}
!(start|get) (heating|warming) the {room}
"""  # 21
HEAT_OFF = """
!(turn|switch|put|shut) off the (heating|heater|radiator|heat) in the {room}
!(turn|switch|put|shut) the {room} (heating|heater|radiator) off
!(turn|switch|shut) off the {room} (heating|heater|radiator)
!(turn|switch) the (heating|radiator) off in the {room}
!stop (heating|warming) the {room}
{room} (heating|heater|radiator) off
(heating|heater) off in the {room}
(no|no more) heating (needed|) in the {room}
no heating (needed|necessary|) in the {room}, (turn|switch) it off
(we|I) don't need (any|the|) heating in the {room} (any more|now|)
the {room} (doesn't need|needs no) (heating|heat) (any more|now|)
the heating in the {room} (can|should|may) (be|go) off
"""  # 5

TIMER = """
!(set|start|make|create|put|run|begin) a timer (for|of|to|over) {dur}
!(set|start|make|create|give me|get me) a {durs} timer
!set (me|up|me up|) (with |)a {durs} timer
!(set|start) (the|my) timer (to|for|at) {dur}
!(set|start) (me|us) a timer (for|of) {dur}
!count (down|) (from|) {dur}
!start counting (down|) (from|) {dur}
!(start|run) a countdown (of|for|from) {dur}
!(time|clock|measure|stop) {dur} (for me|)
!(wake|alert|call|ping|buzz|warn|notify) me in {dur}
!(wake|alert|call|ping|buzz|notify) me (after|when) {dur} (are up|have passed|are over|)
!(give me a shout|give me a signal|give me a ring|shout|ring|beep|sound the alarm|let it ring|ring the bell|buzz) (in|after) {dur}
!(tell me|let me know|say something|inform me|give me a sign) (when|once|as soon as) {dur} (have passed|are up|are over|have gone by|has passed|is over|are gone)
!(tell me|let me know) in {dur} that (the time|time|my time) is (up|over)
!(tell me|let me know) (when|that) (the time|time) is up in {dur}
!put {dur} on the (clock|timer)
!wait {dur}(, then|and then|then) (ring|beep|tell me|let me know|call me)
!give (me|us|them|the kids|him|her) {dur}
timer (for|of|to|:|,|) {dur}
(a|one) timer (for|of|over|with) {dur}
{durs} timer
a {durs} timer
{dur} timer
timer {dur}
countdown (of|from|:|) {dur}
{dur} on the (clock|timer)
{dur}(, then| and then|, then please) (ring|beep|alarm|let me know)
{dur} (countdown|from now, go|from now|starting now|starts now), (ring|go|timer|beep|)
alarm in {dur}
(I|we) (need|want) (a|) timer (for|of) {dur}
(I'd like|I would like|I want|can I have|could I have|can I get|may I have) a timer (for|of) {dur}
(I'd like|I want|can I get|could I have|I need) a {durs} timer
(I|we) have {dur}, (count it down|time it|set a timer|start the timer|tell me when it's over)
(remember|note) when {dur} (are over|have passed)
in {dur} (the time|my time|time) is up, (tell me|let me know|ring|beep)
in {dur}, (ring|beep|make a noise|sound the alarm|give me a signal)
"""
TIMER_NAMED = """
!(set|start|make|create|put|run|begin) a timer (for|of) {dur} for the {name}
!(set|start|make|create) a {name} timer (for|of|to|with) {dur}
!(set|start|make|create) the {name} timer (to|for) {dur}
!(set|start|make|create) a {durs} {name} timer
!(set|start|make|create|give me) a {durs} timer for (the|my|) {name}
!(set|start|make) a timer (called|named|labelled) {name} (for|of|over|with) {dur}
!(set|start|make) a {durs} timer (called|named|labelled) {name}
!(time|clock) the {name}(,|:|for|) {dur}
!(time|clock) the {name} for {dur}
!time {dur} for (the|my) {name}
!(call me|tell me|ring|beep|give me a shout|let me know|alert me|warn me) in {dur} for the {name}
!(tell me|let me know|remind me|warn me|shout) when the {name} (is|are) done in {dur}
!(tell me|let me know|call me) in {dur} (that|when) the {name} (is|are) (ready|done|finished)
!give the {name} {dur}
!put {dur} on the clock for the {name}
{name} timer(,|:|) {dur}
{name} timer (for|of|to) {dur}
{name}(,|:) {dur}
{name} {dur}
timer(:|,) {name}(,|:) {dur}
timer (for|) {name}(,|:|) {dur}
timer for the {name}(,|:|) {dur}
timer {dur} {name}
timer. {dur}. {name}.
{dur} for the {name}
{dur} for my {name}
{dur} {name} timer
{dur} timer for (the|my|) {name}
a timer (called|named) {name} (for|of|over|with) {dur}
a {durs} timer for (the|my) {name}
{name}(,|) {dur}(,|) (go|please|starting now|now|time it|timer)
the {name} (needs|need|takes|take|wants) {dur}
the {name} (needs|need|takes|take|has|have) {dur}, (time it|please time it|set a timer|tell me when|start a timer|set something)
the {name} (has to|have to|must) (come out|be done|be ready|stop) in {dur}
the {name} (has to|have to|must) (come out|stop) in {dur}, (set something|set a timer|tell me|time it|remind me then)
my {name} (needs|has to come out in|takes|is ready in|is done in) {dur}, (time it|set a timer|set something|let me know|tell me when)
(I'm putting|I just put|I've put|I put) the {name} in, (give me a shout|tell me|call me|ring|let me know|alert me|beep) in {dur}
(I'm putting|I just put|I've put|I put) the {name} (in|on|in the oven|on the stove), {dur}
(I'm|we're) (making|cooking|starting|doing) (the|) {name}, (that takes|set a timer for|give me|timer for|time) {dur}
(I|we) (need|want) a {name} timer (for|of) {dur}
(I'd like|I want|can I have|could I get) a timer (for|of) {dur} for the {name}
(I|we) have {dur} for the {name}
(leave|I need to leave|I have to leave) the {name} alone for {dur}, (tell me when|let me know|then ring)
please time {dur} for (the|my) {name}
in {dur} the {name} (is|are) (done|ready|finished)
in {dur} the {name} (is|are) (done|ready), (tell me|ring|beep|let me know)
"""
CANCEL = """
!(cancel|stop|delete|remove|end|kill|clear|abort|drop|turn off|switch off|quit|dismiss|shut off|forget) (the|my|that) timer
!(cancel|stop|end|abort|turn off|switch off|drop) (the|that) (countdown|alarm)
!(turn|switch|shut) (the|my|that) timer off
!forget (about|) (the|that|my) (timer|countdown)
!(make|let) the timer (stop|end)
!get rid of (the|that) timer
timer (off|stop|cancel|end|away)
stop timer
cancel timer
no timer (any more|anymore|needed|)
never mind (the|that) timer
never mind about the (timer|countdown)
(I|we) (don't|do not|no longer) (need|want) (the|that|a) timer (any more|anymore|now|any longer|)
(the|that) (timer|countdown) (can|should|may) (stop|end|go|be stopped|be cancelled|be deleted) (now|)
the timer (isn't|is not) needed (any more|anymore|)
(that's|it's) enough, (stop|cancel|end) the timer
"""
CANCEL_NAMED = """
!(cancel|stop|delete|remove|end|kill|clear|abort|drop|turn off|switch off|quit|dismiss|forget) the {name} timer
!(cancel|stop|delete|remove|end|abort|drop) the timer for the {name}
!(cancel|stop|delete|remove|end|abort|drop) my {name} timer
!(cancel|stop|delete|remove|end) the timer (called|named|labelled) {name}
!(turn|switch|shut) the {name} timer off
!forget about the {name} (timer|countdown)
!get rid of the {name} timer
{name} timer (off|stop|away|end)
timer {name} (off|stop)
stop {name} timer
no {name} timer (any more|anymore|needed|)
never mind (about|) the {name} timer
(I|we) (don't|do not|no longer) (need|want) the {name} timer (any more|anymore|now|any longer|)
the {name} timer (can|should|may) (stop|end|go|be stopped|be cancelled) (now|)
the {name} timer (isn't|is not) needed (any more|anymore|)
the {name} (is|are) (done|ready|finished) (already|), (stop|cancel|end|drop|forget|delete) the timer
the {name} (is|are) (done|ready|finished) (already|), no need for (a|the|its|their) timer (any more|)
"""

REMIND_WHEN = """
!remind me {when} to {task}
!remind me to {task} {when}
!remind me {when} that I (have to|need to|must|should|want to) {task}
!remind me that I (have to|need to|must|should|want to) {task} {when}
!remind me {when}(:|,) {task}
!remind me(,|:) {when}(,|:) {task}
!remind me(,|:) {task}(,|) {when}
!(set|add|create|make|put in|save|enter) a reminder {when} to {task}
!(set|add|create|make|put in|save) a reminder to {task} {when}
!(set|add|create|make|put in) a reminder(:|,) {task}(,|) {when}
!(set|add|create|make|put in) a reminder {when}(:|,) {task}
!(add|put|save|store) {task} to my reminders {when}
!(tell|nudge|ping|poke|alert|prompt|notify|message) me {when} to {task}
!(tell|nudge|ping|alert|notify) me to {task} {when}
!(tell|ping|nudge) me {when} so (that|) I {task}
!(don't|do not) let me forget to {task} {when}
!let me not forget to {task} {when}
!(don't|do not) (forget to|let me forget to) remind me {when} to {task}
!(make sure|see to it that|see that) I (remember to|don't forget to) {task} {when}
!make sure I {task} {when}
!help me (to|) remember to {task} {when}
!remember that I (need to|have to|must|want to) {task} {when}
!remember {when} to {task}
!(make|take) a note(:|,) {task}(,|) {when}
!note (down|) that I (must|have to|need to) {task} {when}
reminder {when}(:|,) {task}
reminder(:|,) {task} {when}
reminder(:|,) {task}, {when}
(a|) reminder to {task} {when}
reminder {when} to {task}
{when}(:|,|) remind me to {task}
{when} I (have to|need to|must|should|want to|am supposed to) {task}, (remind me|please remind me|don't let me forget|tell me then|make a note|remember that|tell me)
{when}(,|) I (have to|need to|must|want to) {task}, (remind me|please remind me|set a reminder|don't let me forget)
{when} I (want|need|have|would like|'d like) to be reminded to {task}
{when} I need a reminder to {task}
I (have to|need to|must|should|want to|mustn't forget to) {task} {when}, (remind me|please remind me|don't let me forget|make a note|can you remind me|tell me then|make me think of it)
I (have to|must|need to) remember to {task} {when}
I (mustn't|must not|can't|shouldn't) forget to {task} {when}
I always forget to {task}. remind me {when}
I always forget to {task}(,|.) (please|can you|could you|) remind me {when}
if I don't {task} {when} (I'm in trouble|it will be bad|there will be trouble|they'll be angry), remind me
I('d like|'d love| want| need| would like) a reminder {when} to {task}
I('d like|'d love| want| need| would like) a reminder to {task} {when}
I('d like| want| would like) to be reminded to {task} {when}
I('d like| want| would like) to be reminded {when} to {task}
I('d be| would be) (grateful|glad|happy|thankful) for a reminder {when} to {task}
you (have to|must|should|need to) remind me to {task} {when}
(can|could) I (get|have) a reminder to {task} {when}
note {when}(:|,) {task}
note for {when}: {task}
to do {when}: {task}
{task} {when}, remind me
{when}(:|,) {task}, remind me
"""
REMIND_NOUN = """
!remind me {when} (of|about) {noun}
!remind me (of|about) {noun} {when}
!remind me(:|,) {noun}(,|) {when}
!remind me {when}(:|,) {noun}
!(nudge|ping|poke|alert|notify|tell) me {when} about {noun}
!(nudge|ping|poke|alert|notify|tell) me about {noun} {when}
!(set|add|create|make|put in) a reminder for {noun} {when}
!(set|add|create|make|put in) a reminder {when} for {noun}
!(set|add|create|make|put in) a reminder(:|,) {noun}(,|) {when}
!(set|add) a reminder about {noun} {when}
!(don't|do not) let me forget {noun} {when}
!let me not forget (about|) {noun} {when}
!(make sure|see to it) (that|) I (remember|don't forget|think of) {noun} {when}
!jog my memory about {noun} {when}
!make me think of {noun} {when}
!help me (to|) remember {noun} {when}
reminder {when}(:|,|) {noun}
reminder(:|,) {noun}(,|) {when}
reminder for {noun}(,|) {when}
{when}(:|,|) remind me (of|about) {noun}
{when} is {noun}, (remind me|don't let me forget|please remind me|make a note)
{noun} is {when}, (remind me|don't let me forget|please remind me|make a note)
I have {noun} {when}, (remind me|don't let me forget|please remind me|make a note)
I('d like| want| need| would like) a reminder (about|for|of) {noun} {when}
I (mustn't|must not|can't|shouldn't) forget {noun} {when}
{noun} {when}, remind me
note {when}(:|,) {noun}
"""
REMIND_BARE = """
!remind me to {task}
!remind me that I (have to|need to|must|should) {task}
!(set|add|create|make|put in) a reminder to {task}
!(set|add|create|make) a reminder(:|,) {task}
!(add|put) {task} to my reminders
!(don't|do not) let me forget to {task}
!let me not forget to {task}
!(make sure|see that) I (remember to|don't forget to) {task}
!help me remember to {task}
!remember that I (need to|have to|must) {task}
reminder(:|,| to) {task}
I (have to|must|need to) {task}, (remind me|please remind me|don't let me forget|make a note)
I (mustn't|must not|can't|shouldn't) forget to {task}
I(| would|'d) (want|like) to be reminded to {task}
I('d like| want| need) a reminder to {task}
I always forget to {task}, remind me
"""
REMIND_BARE_NOUN = """
!remind me (of|about) {noun}
!(set|add|create) a reminder (for|about) {noun}
!(don't|do not) let me forget {noun}
!(nudge|poke) me about {noun}
reminder(:|,| for) {noun}
I (mustn't|must not|can't) forget {noun}
"""

LIST = """
!(add|put|write|note|enter) {item} (to|on|onto) the (shopping list|list|grocery list)
!(add|put|write) {item} (to|on) (my|our) (shopping list|list|grocery list)
!(add|put|write|note) (down|) {item} for the (supermarket|shop|store|next shopping|next trip)
!(write|put|note|jot) down {item} (for the supermarket|for shopping|for the shop|on the list|)
!(add|note) {item}
!(don't|do not) forget {item} (when|while|for|when we're|next time we go) shopping
!(don't|do not) let us forget {item} (when|for|at) (shopping|the shop|the supermarket)
!get {item} (on|onto) the list
!(include|have) {item} on the (shopping|) list
{item} (on|onto|to) the (shopping list|list)
{item} (has|have|needs|need|should|must|can) (to|) go on the (shopping|) list
shopping(:|,| list:) {item}
(list|shopping list)(:|,) {item}
list please: {item}
add {item}
buy {item}
we('re| are) (out of|running out of|low on|running low on|almost out of|nearly out of|short of) {bare}
(I|we) (ran|have run|'ve run|'re run) out of {bare}
(there's|there is) no {bare} left
(there's|there is|we have) no (more|) {bare} (left|in the house|in the fridge|at home)
(there's|we have) (hardly any|almost no|no|very little) {bare} left
(I|we|you) (used up|finished|ate|drank|emptied|have finished|'ve used up) (the last|the last of the|all the|the|the rest of the) {bare}
the fridge (has no|is out of|has run out of) {bare} (any more|left|in it|)
the {bare} (is|are) (all gone|gone|finished|used up|empty|almost gone|running out|running low)
(I|we) (need|want|should buy|should get|must buy|have to buy|need to buy|need to get) {item}
(I|we) (need|want|have to get|should get|should buy|must get) {item} (from the shop|from the supermarket|from the store|when shopping|next time|at the market)
(next time|when) (we|I|you) (shop|go shopping|go to the shop)(,|) (we|I) (need|want|should get) {item}
(it would|it'd|would) be good to (get|have|buy) {item}
(could|can) (we|you|someone|somebody) (get|buy|bring) {item} (next time|from the shop|when shopping|from the supermarket|)
I('m| am) craving {bare}, (put that down|put it on the list|add it|add that to the list|write it down)
(I|we) (feel like|would like|'d like) (having|eating|) {bare}, (put that|put it|add it) (on|to) the list
{bare} (is|are) (missing|out|gone), (add it|put it on the list|add that|write it down)
there (is|are) no {bare} (any more|anymore)
(someone|somebody|who) (ate|drank|used up|finished) (the last|all the) {bare}
"""

STATUS_LIGHT = """
is the (light|lamp|lighting) (on|off|still on|burning) in the {room}
is the {room} (light|lamp) (on|off|still on|burning|out)
are the {room} (lights|lamps) (on|off|still on|shining|burning|out)
are the (lights|lamps) (on|off|still on|shining) in the {room}
is there (still|any|) (light|a light on|a lamp on|light on) in the {room}
is (it dark in the {room}|it bright in the {room}|the {room} dark|the {room} bright|the {room} lit)
is the {room} (lit|dark|lit up)
is anything on in the {room}? (I mean the light|the light I mean|the lamp|any lamp)
did (I|we|someone|anyone|the kids) (leave|forget) the {room} (light|lights|lamp) on
did (I|we|someone|anyone|the kids) (leave|forget) the (light|lights|lamp) on in the {room}
did (I|we) (turn|switch) (off|on) the {room} (light|lights|lamp)
did (I|we) (turn|switch) the (light|lights) (off|on) in the {room}
have (I|we) (left|turned off|switched off|forgotten) the {room} (light|lights|lamp)
how bright is (it in the {room}|the {room}|the {room} light|the light in the {room})
what('s| is) the (light|brightness|lamp) (in|of) the {room} (set to|at|doing|like|)
what('s| is) the (state|status) of the {room} (light|lights|lamp)
what('s| is) the (light|lamp) status in the {room}
what (color|colour) is the {room} (light|lamp)
what about the {room} (light|lamp), is it (on|off)
!check (the|) {room} (light|lights|lamp) (for me|)
!check (if|whether) the {room} (light|lamp) is (on|off)
!check (if|whether) the (light|lights|lamp) (is|are) (on|off) in the {room}
!(tell me|let me know|find out) (if|whether) the {room} (light|lights|lamp) (is|are) (on|off|still on)
!(tell me|say) about the {room} light
!see (if|whether) (someone|anyone|I) left the (light|lamp) on in the {room}
{room} light status
status of the {room} (light|lamp)
status {room} light
I (wonder|want to know|need to know|can't remember|don't know|forgot|am not sure|'m not sure) (if|whether) the {room} (light|lamp) is (on|off|still on)
I think I left the {room} (light|lamp) on, (can you check|check it|check please|is it)
(I hope|are you sure) the {room} (light|lamp) is off, (check|can you check|please check|look)
"""
STATUS_LIGHT_ALL = """
(which|what) (lights|lamps) are (on|still on|burning)
(is|are) (any|there any) (lights|lamps|light) (on|still on) (anywhere|in the house|)
are all (the|) (lights|lamps) (off|out|on)
is (the light|a light|any light) (on|still on) (anywhere|somewhere|in the house)
where is the light (on|still on)
where are the lights on
!check (all|all the|the) (lights|lamps)
!tell me (which|what) (lights|lamps) are on
did (I|we) (leave|forget) (a|any) (light|lamp|lights) on (somewhere|anywhere|)
light status
"""
STATUS_TEMP = """
how (warm|cold|hot|cool) is (it in the {room}|the {room}) (now|right now|at the moment|)
how many degrees (is it|are there|do we have|has it) in the {room}
how many degrees does the {room} have
what('s| is) the temperature (in|of) the {room} (now|right now|)
what('s| is) the {room} temperature
what('s| is) it like in the {room}, (cold or warm|warm or cold|temperature wise)
what temperature (is it in|does it have in|does|do we have in) the {room} (have|)
what (temperature|degrees) (has|does) the {room} (got|have)
what does the (thermometer|sensor) (in the {room}|of the {room}) (say|show|read)
what does the {room} thermometer (say|show|read)
is it (cold|warm|hot|chilly|cosy) in the {room}
is the {room} (cold|warm|hot|chilly|warm enough|cosy)
is it (cold|warm|hot|chilly|freezing|warm enough) in the {room}
!(tell me|give me|check|read|show me|get|say) the temperature (in|of) the {room}
!(tell me|check|give me|read) the {room} temperature
!(tell me|check|find out|see) how (warm|cold|hot) (it is in the {room}|the {room} is)
!measure the temperature in the {room}
temperature (in|of) the {room}
{room} temperature
temperature {room}
degrees in the {room}
I('d like to| want to|'d love to) know (the temperature in the {room}|how warm it is in the {room}|how cold the {room} is)
I wonder how (warm|cold|hot) it is in the {room}
"""
STATUS_HEAT = """
is the (heating|heater|radiator) (on|off|running|working|still on) in the {room}
is the {room} (heating|heater|radiator) (on|off|running|working|still on)
is the (heating|radiator) in the {room} (on|off|running|still on)
is the {room} being heated
are the radiators (on|running|off) in the {room}
what('s| is) the (heating|thermostat|heater|radiator) (set to|set at|on|at) in the {room}
what('s| is) the {room} (heating|thermostat|heater|radiator) (set to|set at|on|at)
what is the (heating|thermostat) in the {room} set to
what have (I|we) set the {room} (heating|thermostat) to
how (high|low) is the (heating|thermostat) (in the {room}|)
how is the heating set in the {room}
!check the (heating|heater|radiator|thermostat) in the {room}
!check the {room} (heating|heater|radiator|thermostat)
!(check|tell me|find out|see) (if|whether) the (heating|heater) is (on|off|running) in the {room}
!(check|tell me|see) (if|whether) the {room} (heating|heater|radiator) is (on|off|running)
!tell me (about|) the {room} heating
{room} heating status
status of the {room} heating
heating status {room}
did (I|we|someone) (leave|forget) the (heating|heater) on in the {room}
did (I|we) (turn|switch) (off|on|down) the (heating|heater) in the {room}
"""
STATUS_TIMERS = """
how (much|long) (time|) (is left|is left on the timer|has the timer got left|does the timer have left|is there left on the timer)
how long (is|does|will) the timer (still|) (run|running|going|going to run|have left|take)
how much (time|) (longer|more time) (for|on|until) the timer
how long (until|till|before) the timer (rings|goes off|ends|is up|beeps|is done)
how many minutes (are left|does the timer have|are on the timer|are there left|until the timer rings)
how much longer (for the timer|on the timer|will the timer run)
when (does|will) the timer (ring|go off|end|beep|be done|stop)
when is the (timer|countdown) (up|over|done|finished)
what('s| is) (left on|on|the status of|with) the timer
(which|what) timers (are running|do I have|are on|are set|are active|have I set)
(is|are) (there|) (a|any) (timer|timers) (running|set|on|active)
is the timer (still|) (running|going|on|set|done)
how('s| is) the timer (doing|going|)
do I have (a|any) (timer|timers) (running|set|on|)
!(check|show me|show|read me|tell me|list|what about) (the|my) (timer|timers)
!(tell me|check|say) how (much time is left|long the timer still runs|long is left|much is left on the timer)
(timer|timers) status
time left on the timer
remaining time
(what's|how much is) the remaining time
"""
STATUS_REMINDERS = """
what (are|were) my reminders (again|for today|)
(which|what) reminders (do I have|are there|have I set|are set|have I got)
do I have (any|) reminders (today|tomorrow|)
do I have (anything|something) to remember (today|tomorrow|)
(is|are) there (any|) reminders (for me|today|)
(have|did) I (set|make|add) any reminders
what (did|should|must|do) I (need to|have to|) (remember|not forget) (today|tomorrow|)
what did I want to be reminded (of|about)
what (did you|do you|should you|will you) remind me (of|about)
what have I asked you to remind me (of|about)
what (else|) (is|do I have) (on my agenda|to do|planned) (today|tomorrow|)
!(read|show|tell|give|list|read out|read me|show me|tell me) (all|) my reminders
!(check|go through|list) (the|my|all my) reminders
!(tell me|remind me) what I (have to|need to|must) (do|remember) (today|)
reminders (please|)
my reminders
list of reminders
any reminders (for me|today|)
"""
STATUS_LIST = """
what('s| is) on (the|my|our) (shopping list|list|grocery list) (so far|now|again|)
what (do|must|should) (we|I) (need to|have to|) (buy|get) (from the shop|at the supermarket|)
what do (we|I) need (from|at) the (shop|supermarket|store|market)
what (have|did) (I|we) (put|write|written) (down|) (on|onto) the (shopping list|list) (so far|)
what (is|are) (we|) (missing|missing at home|we missing)
(is|are) (there|) (anything|something) on (the|my|our) (shopping list|list|grocery list)
anything on (the|my|our) (shopping list|list)
how (long|full) is the shopping list
!(read|show|tell|give|list|read me|show me|tell me|read out) (the|my|our) (shopping list|list|grocery list)
!(check|go through) (the|my|our) (shopping list|list|grocery list)
!tell me what (we need|to buy|is on the list|I have to buy|is on the shopping list)
shopping list (please|)
the (shopping|grocery) list
is the (shopping list|list) (empty|long|complete)
do we need (anything|something) (from the shop|from the supermarket|)
"""

# Topic in the refusal: requests that this house cannot serve.
REFUSALS = {
    "play music": """!play (some|) (jazz|rock|music|classical music|pop|my playlist|a song|the Beatles|Mozart|techno|something relaxing|a podcast|an audiobook|the radio|dance music|Christmas songs) (in the {room}|)
!put on (some|) (jazz|music|a song|classical music|the radio|blues|a record|salsa) (in the {room}|)
!(start|stop|pause|skip|shuffle|resume) (the|this|my) (song|music|playlist|podcast|radio|track|album|audiobook)
!turn (up|down) the (volume|music|radio|sound)
!(turn|crank) the (volume|music|radio|sound) (up|down)
!make (it|the music) (louder|quieter)
(next|previous) (song|track)
(louder|quieter) please
I(| want| would like|'d like) to (hear|listen to) (some|) (jazz|music|the news on the radio|a song|rock|Bach|an audiobook)
what('s| is) this song (called|)
sing (me|) a song""",
    "control the TV": """!(turn|switch|put) (on|off) the (TV|television|telly|projector|screen) (in the {room}|)
!(turn|switch) the (TV|television|telly|projector) (on|off)
!(start|play|show|put on|stream) (a|the|my|some) (movie|film|series|video|cartoon|documentary|show|football match)
!(change|switch) the channel
!switch to channel (two|five|3|7|one)
I(| want|'d like| would like) to (watch|see) (a|the|some) (movie|film|series|video|cartoon|TV|match|show)(, start the TV|, put it on|)
what('s| is) on (TV|television|Netflix) (tonight|today|now|)
(which|what) (film|movie|series|show) (should|could|can) (I|we) (see|watch) (tonight|this weekend|)
!record the (match|show|film) (tonight|)""",
    "tell the weather": """what('s| is|'ll| will) the weather (be|) (like|) (today|tomorrow|outside|this weekend|in Paris|on Sunday|)
what will the weather be (like|) (today|tomorrow|this weekend|on Monday|)
(will|does|is) it (rain|raining|snow|snowing|sunny|be sunny|be windy|going to rain|going to snow) (today|tomorrow|outside|this afternoon|tonight|)
do I need (an umbrella|a jacket|a coat|sunglasses|boots) (today|tomorrow|)
how (warm|cold|hot|windy|wet) (is it|will it be|does it get) outside (today|tomorrow|)
(weather|forecast|weather forecast) (for|) (today|tomorrow|the weekend|Berlin|)
is (a storm|rain|snow|a thunderstorm) coming
!(tell me|give me|show me|check) the (weather|forecast|weather report)""",
    "answer general questions": """who (is|was) the (president|king|queen|first man on the moon|inventor of the telephone|author of Hamlet|prime minister|richest man) (of France|of America|)
who (won|wins|played|scored) (the football|the|the tennis|last night's) (match|game|final|election|race) (yesterday|last night|)
what('s| is) the capital of (France|Spain|Australia|Peru|Canada|Italy|Kenya|Norway)
how (tall|high|old|big|deep|far|long|fast|heavy) is (the moon|Mount Everest|the Eiffel Tower|the sun|the Nile|a blue whale|the Earth|the ocean|a cheetah)
(what|who|where|when) (is|was) (love|Einstein|the Second World War|the meaning of life|gravity|the Eiffel Tower|Napoleon|a black hole|photosynthesis)
why (is|are) (the sky blue|cats so cute|grass green|water wet|bananas curved|the sea salty)
how (do|does|can) (planes fly|a motor work|I learn Spanish|I tie a tie|magnets work|I lose weight|I cook rice|I get rich)
how many (people live in Berlin|planets are there|legs has a spider|calories are in an apple|stars are there|countries are there)
what (day|date|year|time) is (it|it today|today)
what('s| is) the (date|time|day) (today|now|in Tokyo|)
is the stock market (up|down) (today|)
what('s| is) the price of (gold|petrol|bitcoin|gas)
what does (the word|) (serendipity|obvious|entropy|gratis) mean
explain (gravity|the internet|quantum physics|democracy) (to me|)
do you know (who|what|why|where) (Einstein|love|the president|Paris) is
which (planet|animal|country|city|mountain) is the (biggest|smallest|fastest|highest|oldest)""",
    "do arithmetic": """what('s| is) (seven|17|three|25|144|twelve|eight) (times|plus|minus|divided by) (23|six|12|four|19|two|nine)
how much is (seven|17|three|25|144|twelve|eight) (times|plus|minus|divided by) (23|six|12|four|19|two|nine)
!(calculate|work out|compute|add up) (17 plus 4|the square root of 81|25 times 4|ten percent of 80|9 times 9)
what('s| is) the square root of (16|81|144|2)
!convert (ten|5|100|20) (miles|pounds|euros|dollars|inches) (to|into) (kilometres|kilos|dollars|yen|centimetres)
how many (metres|pounds|inches|grams) (are|is|in) (a mile|ten kilos|a foot|an ounce)""",
    "call or message people": """!(send|write) (a|an|my wife a|my mother an|Peter a|the boss an|Sarah a) (message|email|text|mail|letter|SMS) (to Tom|to mom|to Anna|that I'm late|saying hello|)
!(send|write) (my wife|my husband|Tom|Anna|mom|my boss) (a message|an email|a text) (that|saying) (I'm late|I'm sick|hello|dinner is ready)
!(call|phone|ring|dial) (mom|dad|Tom|the police|an ambulance|the doctor|my wife|grandma|the fire brigade|a taxi|Anna|the office)
!call (me|us) (a|an) (taxi|cab|ambulance|doctor)
!(read|check|open|show) my (emails|mails|messages|mail|inbox|texts|voicemail)
do I have (new|any|) (emails|messages|mail|calls)
!answer the (phone|call|door)
!(start|make) a (video call|phone call|call) (with grandma|to Tom|)
!tell (my wife|Tom|everyone|mom|the kids) (that dinner is ready|I'm home|I'm late|to come down)""",
    "open or close doors and blinds": """!(open|close|raise|lower|roll up|roll down|shut|pull up) the (blinds|blind|curtains|curtain|shutters|shades|awning) (in the {room}|)
!(roll|pull|let|bring) the (blinds|shutters|curtains|shades) (down|up) (in the {room}|)
!(open|close|shut) the {room} (blinds|curtains|window|windows|door|shutters)
!(open|close|shut) the (window|windows|door|garage door|gate|front door|back door|skylight) (in the {room}|)
!(lock|unlock) the (front door|door|back door|garage|gate|car|house|windows)
is the (front door|door|garage door|window|gate|back door) (open|closed|locked|shut|unlocked)
did I (lock|close|shut) the (door|front door|window|gate|garage door)
who is at the (door|gate)
!let the (visitors|guests|cat|postman|dog) in
!(ring|answer) the (doorbell|bell)""",
    "order or buy things": """!order (me|us|) (a|some|two) (pizza|pizzas|sushi|food|burger|burgers|taxi|flowers|books) (online|now|for dinner|from the Italian|)
!order (us|me|) (a|some|) (pizza|food|sushi|new shoes|taxi|groceries|dinner) (please|online|)
!(book|reserve) (me|us|) a (table|flight|hotel|room|seat|taxi|ticket) (for two|for tonight|at eight|in Rome|to London|)
!buy me (tickets|a ticket|shares|stocks|a present|a new phone) (for the concert|online|to London|on the internet)
!(pay|transfer) (the bill|the rent|100 euros|some money) (to Tom|online|for me|now)
!return (the|my) (order|package) (online|to the shop|)""",
    "run machines": """!(start|run|stop|turn on|switch on|turn off) the (dishwasher|washing machine|vacuum|vacuum robot|robot vacuum|dryer|coffee machine|oven|microwave|kettle|toaster|fan|air conditioning|sprinkler|lawn mower|humidifier|fridge|iron|stove|printer|computer)
!(turn|switch) the (dishwasher|oven|fan|coffee machine|air conditioning|kettle|stove|printer|vacuum|sprinkler) (on|off)
!(make|brew|cook|prepare|bring|fetch) (me|us|) (a|some|) (coffee|tea|breakfast|dinner|espresso|toast|sandwich|cup of tea|beer|lunch|soup)
!(vacuum|sweep|mop|clean|tidy) (the|my) (floor|{room}|house|carpet)
!preheat the oven (to 180 degrees|to 200|)
!(water|mow) the (lawn|plants|garden|flowers) (now|for me|)
!(feed|walk|wash) the (dog|cat|fish|hamster) (for me|)
!(charge|start|wash|park|drive) (the|my) car (for me|)
is the (oven|stove|dishwasher|washing machine|iron|coffee machine) (on|off|done|finished|ready)
!fill the (bath|tub|pool)
!(do|wash) the (dishes|laundry|washing up)""",
    "translate": """!translate (good morning|hello|thank you|this|dog|where is the station|water) (into|to) (French|German|Spanish|Italian|Japanese|English)
how do you say (good morning|hello|thank you|cheese|please) in (French|German|Spanish|Italian|Chinese|Polish)
what('s| is) (house|good night|cat|water|bread) in (French|German|Spanish|Russian|Latin)
!(speak|say something in|talk in) (German|French|Spanish|Chinese)""",
    "look up news or travel": """!(read|tell|give|show) me the (news|headlines|latest news|sports results|paper)
what('s| is) (new|in the news|happening|going on) (in the world|today|)
when (does|is|will|leaves) the (next|last|first) (train|bus|flight|tram|ferry|ship) (to Berlin|to town|to London|leave|go|to work)
when does the (next|last|first) (train|bus|tram|plane) (to Berlin|to the city|home|to Rome|) (leave|go|depart|arrive)
how (long|far) (is it|does it take) to (work|the airport|Paris|the beach|the station)
how is the traffic (today|to work|right now|)
(is|are) there (a|any) (traffic jam|traffic|trains|flights) (on the motorway|today|to London|)
!(navigate|find the way|take me|drive me) to (work|the airport|the station|Paris)
when does the (supermarket|pharmacy|bank|post office|shop) (open|close)
where is the (nearest|next|closest) (pharmacy|hospital|petrol station|bakery|restaurant|supermarket)""",
    "write texts": """!(write|compose|make up|invent) (me|) (a|an|some) (poem|story|letter|song|essay|speech|joke book|report|novel|haiku) (about the sea|about cats|for my wife|about autumn|for school|)
!tell (me|us|the kids) a (story|fairy tale|bedtime story) (about dragons|about a bear|)
!(summarise|summarize|correct|proofread) (this|my) (text|essay|letter|book|article)
!write (code|a program|a script|a website) (for me|in Python|)
!draw (me|) a (picture|cat|house|horse|map)""",
    "use cameras or alarms": """!(show|open) (me|) the (camera|cameras|video|doorbell camera|baby monitor) (at the front gate|in the garden|of the garage|)
!(arm|disarm|activate|deactivate|set) the (alarm system|burglar alarm|security system|house alarm)
!take a (photo|picture|selfie|video)
is (someone|anyone|somebody|a burglar) (in|at) (the house|the door|the garden|home)
where (is|are) (my|the) (phone|keys|glasses|wallet|cat|kids|car)
!find my (phone|keys|glasses|wallet|remote)""",
}
REFUSE = "Sorry, I can't {topic}. I can help with lights, heating, timers, reminders and the shopping list."

# Small talk: what people say, and the one answer.
TALK = [
    ("(hi|hello|hey|hello there|hi there|good day|hey brook|hello brook|hiya|howdy|greetings)", "Hello! What can I do for you?"),
    ("good morning (brook|to you|everyone|)", "Good morning! What can I do for you?"),
    ("good evening (brook|to you|)", "Good evening! What can I do for you?"),
    ("(good night|night night|sleep well|good night brook|I'm going to bed, good night)", "Good night! Sleep well."),
    ("(bye|goodbye|see you|see you later|bye bye|I'm off|I have to go|see you tomorrow|take care)", "Goodbye! I'll keep an eye on the house."),
    ("(thanks|thank you|thanks a lot|thank you very much|thank you so much|cheers|many thanks|thx|that was helpful|thanks brook|great, thanks|perfect, thank you)", "You're welcome!"),
    ("(who are you|what are you|what's your name|what is your name|are you a robot|are you human|do you have a name|tell me about yourself|introduce yourself)",
     "I'm Brook, a very small language model that looks after this house."),
    ("(what can you do|what can I ask you|what can I say|how can you help me|help|help me|what are you good at|what do you do|what are your functions|how do you work|which commands do you know)",
     "I can switch lights, set the heating, run timers, keep reminders and the shopping list, and tell you how things stand."),
    ("(how are you|how are you doing|how do you do|how's it going|are you okay|are you well|how do you feel|what's up|you alright)", "I'm running fine, thank you. How can I help?"),
    ("(tell me a joke|do you know a joke|make me laugh|say something funny|another joke|I want to hear a joke|got a joke)", "Why did the lamp go to school? It wanted to be brighter."),
    ("(well done|good job|nice work|you're great|great job|good girl|good boy|you are the best|I like you|that's nice|excellent|very good|you're clever|I love you)", "That's kind of you!"),
    ("(you're stupid|you are useless|that was wrong|you're no help|bad job|that's wrong|this is not what I wanted|you got it wrong|wrong)", "I'm sorry. Please tell me again what I should do."),
    ("(are you online|do you use the internet|are you in the cloud|do you send my data|do you listen to me|is this private|do you spy on me|where do you run)", "I run on this machine only; nothing leaves the house."),
    ("(yes|no|maybe|ok|okay|hmm|aha|I see|right|sure|never mind|nothing|forget it|not now|no thanks|it's fine|all good)", "All right."),
]

PREFIX = """please|please|hey|ok|okay|so|well|hey brook,|brook,|hi,|hello,|um|uh|er,|right,|now|oh,|alright,|listen,|hey there,|quick,|and|brook please|ok brook|good morning,|good evening,|sorry,|excuse me,|
hmm,|yo|dear house,|computer,|hey house,|be so kind and|kindly|hey you,|one more thing,|next,|then|oh and|by the way,|actually,|um, please|just|now please|my dear,""".replace("\n", "").split("|")
ASK = """can you|could you|would you|will you|can you please|could you please|would you please|I want you to|I'd like you to|I need you to|please can you|go and|could you quickly|would you kindly|
can you quickly|you can|you could|you should|you may|are you able to|is it possible to|I'd be glad if you could|may I ask you to|would it be possible to|it would be nice if you could|could you just|can you just|try to|let's|
do me a favour and|be so good and|be so kind as to|you need to|you have to|it's time to|time to|feel free to|go ahead and|please go and|I was wondering if you could|be a dear and|I'd love you to|I would like you to""".replace("\n", "").split("|")
SUFFIX = """please|please|please|thanks|thank you|now|right now|for me|ok|would you|will you|if you can|if possible|quickly|right away|immediately|brook|if you don't mind|thank you very much|thx|pls|at once|asap|
can you|could you|if you would|for us|when you can|my friend|now please|dear|alright|okay|if that works|would you be so kind|already""".replace("\n", "").split("|")
BEFORE = """I'm going to bed|we're leaving|the guests are here|the kids are asleep|I'm home|I'm back|I'm cooking|I'm tired|it's late|dinner is ready|we have visitors|I'm reading|I'm working|I can't sleep|it's getting late|the baby is crying|
I just came home|my hands are full|I'm in the bath|I have a headache|we want to watch a film|it's movie night|it's evening|it's morning|the sun is down|we're having a party|grandma is coming|I'm done cooking|I'm busy|I'm on the phone|
the cat is hungry|I'm expecting friends|the neighbours complained|my eyes hurt|I'm getting up|time for bed|good night|I forgot|it's raining|it's winter|summer is over|the movie starts|the food is ready|breakfast time|I nearly forgot|
I'm leaving for work|we're going on holiday|I've been working all day|somebody is coming|I'm a bit ill|no hurry|before I forget|while I think of it|I'm in a hurry|when you have a moment|sorry to bother you|we'll be back on Sunday""".replace("\n", "").split("|")
JOIN = [" and ", " and ", " and ", ", and ", " and also ", " and then ", ", then ", " plus ", ", also ", ". ", "; ", ", ", " and please ", ". Also, ", ". And ", " as well as "]
