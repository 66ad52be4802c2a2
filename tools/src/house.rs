//! The small house that `brooklet demo` lets its model run: rooms, timers, reminders, a shopping list. What a call
//! answers has the fields that the demo model was trained on (`outcome` in tools/train-demo/generate.py).

use crate::ui;
use brooklet::tool_calls::ToolCall;
use serde_json::{Map, Value, json};

/// What the model can call, in the short form that it was trained with.
pub fn tools() -> Value {
    json!([
        {"name": "set_light", "parameters": {"room": "string", "on": "boolean", "brightness": "integer", "color": "string"}},
        {"name": "set_heating", "parameters": {"room": "string", "temperature": "number"}},
        {"name": "set_timer", "parameters": {"hours": "integer", "minutes": "integer", "seconds": "integer", "name": "string"}},
        {"name": "cancel_timer", "parameters": {"name": "string"}},
        {"name": "add_reminder", "parameters": {"text": "string", "day": "string", "time": "string", "hours": "integer", "minutes": "integer"}},
        {"name": "add_to_list", "parameters": {"item": "string"}},
        {"name": "get_status", "parameters": {"what": "string", "room": "string"}},
    ])
}

/// Name, measured temperature.
const ROOMS: [(&str, f64); 8] = [
    ("kitchen", 20.5),
    ("living room", 21.0),
    ("bedroom", 17.5),
    ("bathroom", 22.0),
    ("hallway", 18.0),
    ("office", 19.5),
    ("kids room", 20.0),
    ("garage", 11.5),
];

struct Room {
    name: &'static str,
    light: Map<String, Value>,
    heating: Value,
    temperature: f64,
}

/// The state of the house.
pub struct House {
    rooms: Vec<Room>,
    /// Name and time left, in words. No time passes in this house.
    timers: Vec<(String, String)>,
    reminders: Vec<String>,
    list: Vec<String>,
}

impl Default for House {
    fn default() -> Self {
        let room = |(name, temperature)| Room { name, light: light_off(), heating: json!(19), temperature };
        House { rooms: ROOMS.map(room).into(), timers: vec![], reminders: vec![], list: vec![] }
    }
}

fn light_off() -> Map<String, Value> {
    Map::from_iter([("light".into(), "off".into())])
}

/// A call's arguments, by the types that the house needs.
struct Arguments<'a>(&'a ToolCall);

impl Arguments<'_> {
    fn text(&self, name: &str) -> Result<&str, String> {
        self.get(name).and_then(Value::as_str).ok_or_else(|| format!("{} needs a text {name}", self.0.name))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.arguments.get(name)
    }

    /// Those of `names` that were given, as they are.
    fn copy(&self, names: &[&str]) -> impl Iterator<Item = (String, Value)> {
        names.iter().filter_map(|name| Some((name.to_string(), self.get(name)?.clone())))
    }

    fn only(&self, names: &[&str]) -> Result<(), String> {
        match self.0.arguments.keys().find(|key| !names.contains(&key.as_str())) {
            Some(key) => Err(format!("{} takes no {key}", self.0.name)),
            None => Ok(()),
        }
    }
}

impl House {
    /// Does what a call asks; the answer, or `{"error": why}` where it cannot.
    pub fn execute(&mut self, call: &ToolCall) -> Value {
        let args = Arguments(call);
        let outcome = match call.name.as_str() {
            "set_light" => self.set_light(&args),
            "set_heating" => self.set_heating(&args),
            "set_timer" => self.set_timer(&args),
            "cancel_timer" => self.cancel_timer(&args),
            "add_reminder" => self.add_reminder(&args),
            "add_to_list" => self.add_to_list(&args),
            "get_status" => self.get_status(&args),
            name => Err(format!("there is no function {name}")),
        };
        outcome.unwrap_or_else(|why| json!({"error": why}))
    }

    /// The rooms that a name means: "all" means each.
    fn rooms(&mut self, name: &str, thing: &str) -> Result<Vec<&mut Room>, String> {
        let rooms: Vec<_> = self.rooms.iter_mut().filter(|room| name == "all" || room.name == name).collect();
        if rooms.is_empty() { Err(format!("there is no {thing} in the {name}")) } else { Ok(rooms) }
    }

    fn set_light(&mut self, args: &Arguments) -> Result<Value, String> {
        args.only(&["room", "on", "brightness", "color"])?;
        let (name, on) = (args.text("room")?, args.get("on").and_then(Value::as_bool));
        let mut light = match on.ok_or("set_light needs on, True or False")? {
            true => Map::from_iter([("light".into(), "on".into())]),
            false => light_off(),
        };
        light.extend(args.copy(&["brightness", "color"]));
        for room in self.rooms(name, "light")? {
            room.light = light.clone();
        }
        let mut answer = Map::from_iter([("room".into(), name.into())]);
        answer.extend(light);
        Ok(answer.into())
    }

    fn set_heating(&mut self, args: &Arguments) -> Result<Value, String> {
        args.only(&["room", "temperature"])?;
        let name = args.text("room")?;
        let degrees =
            args.get("temperature").filter(|v| v.is_number()).ok_or("set_heating needs a temperature")?;
        for room in self.rooms(name, "heating")? {
            room.heating = degrees.clone();
        }
        Ok(json!({"room": name, "heating": degrees}))
    }

    fn set_timer(&mut self, args: &Arguments) -> Result<Value, String> {
        args.only(&["hours", "minutes", "seconds", "name"])?;
        let name = args.text("name").unwrap_or("timer");
        let time: Vec<_> = args.copy(&["hours", "minutes", "seconds"]).collect();
        if time.is_empty() {
            return Err("set_timer needs hours, minutes or seconds".into());
        }
        self.timers.push((name.into(), length(&time)));
        let mut answer = Map::from_iter([("timer".into(), name.into())]);
        answer.extend(time);
        Ok(answer.into())
    }

    fn cancel_timer(&mut self, args: &Arguments) -> Result<Value, String> {
        args.only(&["name"])?;
        let wanted = args.text("name").ok();
        let at = self.timers.iter().rposition(|(name, _)| wanted.is_none_or(|wanted| wanted == name));
        let (name, _) = self.timers.remove(at.ok_or("there is no such timer")?);
        Ok(json!({"cancelled": name}))
    }

    fn add_reminder(&mut self, args: &Arguments) -> Result<Value, String> {
        args.only(&["text", "day", "time", "hours", "minutes"])?;
        let text = args.text("text")?;
        let (when, after): (Vec<_>, Vec<_>) =
            (args.copy(&["day", "time"]).collect(), args.copy(&["hours", "minutes"]).collect());
        let mut line = text.to_string();
        for (_, value) in &when {
            line += &format!(" {}", plain(value));
        }
        if !after.is_empty() {
            line += &format!(" in {}", length(&after));
        }
        self.reminders.push(line);
        let mut answer = Map::from_iter([("reminder".into(), text.into())]);
        answer.extend(when.into_iter().chain(after));
        Ok(answer.into())
    }

    fn add_to_list(&mut self, args: &Arguments) -> Result<Value, String> {
        args.only(&["item"])?;
        let item = args.text("item")?;
        self.list.push(item.into());
        Ok(json!({"added": item}))
    }

    fn get_status(&mut self, args: &Arguments) -> Result<Value, String> {
        args.only(&["what", "room"])?;
        let name = args.text("room").unwrap_or("all");
        match args.text("what")? {
            "timers" => Ok(json!({"timers": self.timers.iter()
                .map(|(name, left)| json!({"timer": name, "left": left})).collect::<Vec<_>>()})),
            "reminders" => Ok(json!({"reminders": self.reminders})),
            "list" => Ok(json!({"list": self.list})),
            "light" if name == "all" => {
                let on = |room: &&Room| room.light["light"] == "on";
                Ok(
                    json!({"lights_on": self.rooms.iter().filter(on).map(|room| room.name).collect::<Vec<_>>()}),
                )
            }
            what => {
                let room = self.rooms(name, "sensor")?.remove(0);
                let mut answer = Map::from_iter([("room".into(), name.into())]);
                match what {
                    "light" => answer.extend(room.light.clone()),
                    "heating" => answer.extend([("heating".into(), room.heating.clone())]),
                    "temperature" => answer.extend([("temperature".into(), json!(room.temperature))]),
                    _ => return Err(format!("{what} cannot be measured")),
                }
                Ok(answer.into())
            }
        }
    }

    /// The state as a table.
    pub fn table(&self) -> String {
        let mut rows = vec![["room", "light", "heating"].map(String::from)];
        for room in &self.rooms {
            let detail = |key| room.light.get(key).map(plain).unwrap_or_default();
            let percent = if room.light.contains_key("brightness") { "%" } else { "" };
            let light = format!("{} {}{percent} {}", detail("light"), detail("brightness"), detail("color"));
            let words: Vec<_> = light.split_whitespace().collect();
            rows.push([room.name.into(), words.join(" "), format!("{} °C", room.heating)]);
        }
        let mut out = ui::table(&rows);
        let timers = self.timers.iter().map(|(name, left)| format!("{name} ({left})")).collect();
        for (name, items) in
            [("timers", timers), ("reminders", self.reminders.clone()), ("list", self.list.clone())]
        {
            out += &format!("{name}: {}\n", if items.is_empty() { "none".into() } else { items.join(", ") });
        }
        out
    }
}

/// [("hours", 1), ("minutes", 30)] as "1 hour and 30 minutes".
fn length(parts: &[(String, Value)]) -> String {
    let mut said: Vec<_> = parts
        .iter()
        .map(
            |(unit, n)| {
                if *n == 1 { format!("{n} {}", unit.trim_end_matches('s')) } else { format!("{n} {unit}") }
            },
        )
        .collect();
    match said.pop() {
        Some(last) if !said.is_empty() => format!("{} and {last}", said.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// A value without a string's quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet::tool_calls::parse;

    /// Each call with the answer that the training data has for it.
    #[test]
    fn calls_answer_as_in_training() {
        let mut house = House::default();
        for (call, answer) in [
            (
                r#"set_light(room="kitchen", on=True, brightness=30)"#,
                json!({"room": "kitchen", "light": "on", "brightness": 30}),
            ),
            (
                r#"get_status(what="light", room="kitchen")"#,
                json!({"room": "kitchen", "light": "on", "brightness": 30}),
            ),
            (r#"get_status(what="light", room="all")"#, json!({"lights_on": ["kitchen"]})),
            (r#"set_light(room="all", on=False)"#, json!({"room": "all", "light": "off"})),
            (r#"get_status(what="light", room="all")"#, json!({"lights_on": []})),
            (r#"set_light(room="garden", on=True)"#, json!({"error": "there is no light in the garden"})),
            (r#"set_light(room="kitchen")"#, json!({"error": "set_light needs on, True or False"})),
            (r#"set_light(room="kitchen", on=True, speed=3)"#, json!({"error": "set_light takes no speed"})),
            (r#"set_heating(room="office", temperature=20.5)"#, json!({"room": "office", "heating": 20.5})),
            (r#"get_status(what="heating", room="office")"#, json!({"room": "office", "heating": 20.5})),
            (
                r#"get_status(what="temperature", room="office")"#,
                json!({"room": "office", "temperature": 19.5}),
            ),
            (r#"set_timer(minutes=9, name="pasta")"#, json!({"timer": "pasta", "minutes": 9})),
            (r#"set_timer(seconds=30)"#, json!({"timer": "timer", "seconds": 30})),
            (
                r#"get_status(what="timers")"#,
                json!({"timers": [{"timer": "pasta", "left": "9 minutes"}, {"timer": "timer", "left": "30 seconds"}]}),
            ),
            (
                r#"set_timer(hours=1, minutes=1, seconds=5, name="tea")"#,
                json!({"timer": "tea", "hours": 1, "minutes": 1, "seconds": 5}),
            ),
            (r#"set_timer(name="tea")"#, json!({"error": "set_timer needs hours, minutes or seconds"})),
            (r#"cancel_timer(name="pasta")"#, json!({"cancelled": "pasta"})),
            (r#"cancel_timer(name="pasta")"#, json!({"error": "there is no such timer"})),
            (
                r#"get_status(what="timers")"#,
                json!({"timers": [{"timer": "timer", "left": "30 seconds"},
                                  {"timer": "tea", "left": "1 hour, 1 minute and 5 seconds"}]}),
            ),
            (r#"cancel_timer()"#, json!({"cancelled": "tea"})),
            (
                r#"add_reminder(text="pay", day="friday", time="08:00")"#,
                json!({"reminder": "pay", "day": "friday", "time": "08:00"}),
            ),
            (
                r#"add_reminder(text="eat", hours=2, minutes=5)"#,
                json!({"reminder": "eat", "hours": 2, "minutes": 5}),
            ),
            (
                r#"get_status(what="reminders")"#,
                json!({"reminders": ["pay friday 08:00", "eat in 2 hours and 5 minutes"]}),
            ),
            (r#"add_to_list(item="milk")"#, json!({"added": "milk"})),
            (r#"get_status(what="list")"#, json!({"list": ["milk"]})),
            ("dance()", json!({"error": "there is no function dance"})),
        ] {
            let calls = parse(&format!("[{call}]")).unwrap();
            assert_eq!(house.execute(&calls[0]), answer, "{call}");
        }
        assert!(house.table().contains("office") && house.table().contains("20.5 °C"));
        assert!(house.table().contains("reminders: pay friday 08:00, eat in 2 hours and 5 minutes"));
    }
}
