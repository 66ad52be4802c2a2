"""What people do with brooklet, on the demo model. `tools/check-python` runs it and sets the two variables."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from typing import Any, List, Literal, Optional

import brooklet

CHECKPOINT = os.environ["BROOKLET_CHECKPOINT"]
COMMAND = os.environ["BROOKLET_COMMAND"]

GREEDY = {"temperature": 0, "repeat_penalty": 1.0}
SYSTEM = {"role": "system", "content": "You are Brook, the voice of a small house."}
# In the short form that the demo model was trained with (tools/src/house.rs).
TOOLS = [
    {"name": "set_light", "parameters": {"room": "string", "on": "boolean", "brightness": "integer", "color": "string"}},
    {"name": "set_heating", "parameters": {"room": "string", "temperature": "number"}},
    {"name": "set_timer", "parameters": {"hours": "integer", "minutes": "integer", "seconds": "integer", "name": "string"}},
    {"name": "cancel_timer", "parameters": {"name": "string"}},
    {"name": "add_reminder", "parameters": {"text": "string", "day": "string", "time": "string", "hours": "integer", "minutes": "integer"}},
    {"name": "add_to_list", "parameters": {"item": "string"}},
    {"name": "get_status", "parameters": {"what": "string", "room": "string"}},
]
LIGHT = [SYSTEM, {"role": "user", "content": "Turn on the kitchen light at 40 percent, please."}]
WEATHER = [SYSTEM, {"role": "user", "content": "What will the weather be like tomorrow?"}]
# As in tests/demo/demo.rs.
LIGHT_CALL = {"name": "set_light", "arguments": {"room": "kitchen", "on": True, "brightness": 40}}
WEATHER_ANSWER = (
    "Sorry, I can't tell the weather. I can help with lights, heating, timers, reminders and the shopping list."
)


def setUpModule() -> None:
    global FOLDER, MODEL
    FOLDER = tempfile.TemporaryDirectory()
    MODEL = os.path.join(FOLDER.name, "demo.gguf")
    assert brooklet.convert(CHECKPOINT, MODEL) == []


def tearDownModule() -> None:
    FOLDER.cleanup()


class Conversion(unittest.TestCase):
    def test_progress_ends_at_all(self) -> None:
        seen = []
        out = os.path.join(FOLDER.name, "bf16.gguf")
        brooklet.convert(CHECKPOINT, out, type="bf16", progress=lambda done, total: seen.append((done, total)))
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(seen[-1][0], seen[-1][1])
        quantized = os.path.join(FOLDER.name, "quantized.gguf")
        brooklet.quantize(out, quantized, type="q4_0")
        with open(MODEL, "rb") as one, open(quantized, "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_rounding_and_adapters(self) -> None:
        def made(name: str, **options: Any) -> bytes:
            out = os.path.join(FOLDER.name, name)
            brooklet.convert(CHECKPOINT, out, **options)
            with open(out, "rb") as file:
                return file.read()

        self.assertNotEqual(made("searched.gguf", search=True), made("plain.gguf"))
        with self.assertRaisesRegex(brooklet.BrookletError, "general.type: expected 'imatrix'"):
            made("out.gguf", imatrix=MODEL)
        with self.assertRaisesRegex(Exception, "adapter_config.json"):
            made("out.gguf", lora=[FOLDER.name])
        # An adapter for another shape is found out, so it was read.
        adapter = os.path.join(os.path.dirname(__file__), "../../tests/fixtures/lora/linear")
        with self.assertRaisesRegex(brooklet.BrookletError, "lora_A|lora_B|expected"):
            made("out.gguf", lora=[adapter], lora_scale=0.5)

    def test_what_progress_raises_stops_it(self) -> None:
        def stop(done: int, total: int) -> None:
            raise KeyError("enough")

        out = os.path.join(FOLDER.name, "stopped.gguf")
        with self.assertRaisesRegex(KeyError, "enough"):
            brooklet.convert(CHECKPOINT, out, progress=stop)

    def test_errors(self) -> None:
        with self.assertRaisesRegex(ValueError, "q4_k_m"):
            brooklet.convert(CHECKPOINT, "out.gguf", type="q3")
        with self.assertRaisesRegex(FileNotFoundError, "nowhere"):
            brooklet.convert("/nowhere", "out.gguf")


class Chat(unittest.TestCase):
    def setUp(self) -> None:
        self.model = brooklet.Model(MODEL)

    def test_the_known_call_and_what_follows(self) -> None:
        messages = list(LIGHT)
        reply = self.model.chat(messages, TOOLS, **GREEDY)
        self.assertEqual([call["function"] for call in reply.tool_calls], [LIGHT_CALL])
        self.assertEqual((reply.text, reply.finish_reason, reply.tool_call_error), ("", "tool_calls", None))
        result = '{"room": "kitchen", "light": "on", "brightness": 40}'
        messages += [reply.message, {"role": "tool", "content": result}]
        second = self.model.chat(messages, TOOLS, **GREEDY)
        self.assertEqual((second.text, second.finish_reason), ("The kitchen light is on at 40 percent.", "stop"))
        # All of the first turn, the call's own tokens among it.
        usage = reply.usage
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        self.assertGreaterEqual(second.usage["cached_tokens"], usage["total_tokens"])

    def test_a_second_conversation_does_not_see_the_first(self) -> None:
        first = self.model.chat(LIGHT, TOOLS, **GREEDY)
        self.assertEqual(self.model.chat(WEATHER, TOOLS, **GREEDY).text, WEATHER_ANSWER)
        again = self.model.chat(LIGHT, TOOLS, **GREEDY)
        self.assertEqual((again.text, again.tool_calls), (first.text, first.tool_calls))

    def test_streaming_equals_not_streaming(self) -> None:
        whole = self.model.chat(WEATHER, TOOLS, **GREEDY)
        pieces = list(self.model.chat(WEATHER, TOOLS, stream=True, **GREEDY))
        self.assertGreater(len(pieces), 5)
        self.assertEqual("".join(piece.text for piece in pieces), whole.text)
        self.assertTrue(all(piece.finish_reason is None for piece in pieces[:-1]))
        self.assertEqual(pieces[-1].finish_reason, whole.finish_reason)
        call = list(self.model.chat(LIGHT, TOOLS, stream=True, **GREEDY))[-1]
        self.assertEqual((call.tool_calls[0]["function"], call.finish_reason), (LIGHT_CALL, "tool_calls"))

    def test_interleaved_streams(self) -> None:
        other = self.model.chat(WEATHER, TOOLS, stream=True, **GREEDY)
        text = next(other).text
        self.assertEqual(self.model.chat(LIGHT, TOOLS, **GREEDY).tool_calls[0]["function"], LIGHT_CALL)
        self.assertEqual(text + "".join(piece.text for piece in other), WEATHER_ANSWER)

    def test_openai_shape(self) -> None:
        whole = self.model.create_chat_completion(LIGHT, TOOLS, max_tokens=-1, stop=None, **GREEDY)
        choice = whole["choices"][0]
        call = choice["message"]["tool_calls"][0]["function"]
        self.assertEqual((call["name"], json.loads(call["arguments"])), ("set_light", LIGHT_CALL["arguments"]))
        self.assertEqual((whole["object"], choice["finish_reason"]), ("chat.completion", "tool_calls"))
        # Its message can be given back as it is.
        result = {"role": "tool", "content": '{"room": "kitchen", "light": "on", "brightness": 40}'}
        messages = LIGHT + [choice["message"], result]
        second = self.model.create_chat_completion(messages, TOOLS, **GREEDY)["choices"][0]["message"]
        self.assertEqual(second, {"role": "assistant", "content": "The kitchen light is on at 40 percent."})
        chunks = list(self.model.create_chat_completion(messages, TOOLS, stream=True, **GREEDY))
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        self.assertEqual(deltas[0], {"role": "assistant"})
        self.assertEqual("".join(delta.get("content", "") for delta in deltas), second["content"])
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "stop")
        done = self.model("The house", max_tokens=5, **GREEDY)
        self.assertEqual((done["usage"]["completion_tokens"], done["choices"][0]["finish_reason"]), (5, "length"))


class Text(unittest.TestCase):
    def setUp(self) -> None:
        self.model = brooklet.Model(MODEL, n_ctx=1024, seed=3)

    def command(self, *args: str) -> str:
        return subprocess.run([COMMAND, *args, "-m", MODEL], check=True, stdout=subprocess.PIPE).stdout.decode()

    def test_greedy_text_is_that_of_the_command(self) -> None:
        text = self.model.generate("In the beginning", max_tokens=60, **GREEDY).text
        options = ["-n", "60", "--temp", "0", "--repeat-penalty", "1", "--json"]
        answer = json.loads(self.command("run", "--raw", "-p", "In the beginning", *options))
        self.assertGreater(len(text), 60)
        self.assertEqual(text, answer["text"])

    def test_logits_are_those_of_the_command(self) -> None:
        ids = self.model.tokenize("In the beginning")
        expected = json.loads(self.command("logits", "--ids", ",".join(map(str, ids))))["logits"]
        logits = self.model.logits(ids)
        self.assertEqual((logits.format, logits.shape, logits.nbytes), ("f", (self.model.n_vocab,), 4 * self.model.n_vocab))
        self.assertEqual(logits.tolist(), [float_of(value) for value in expected])
        every = self.model.logits(ids, all=True)
        self.assertEqual(every.shape, (len(ids), self.model.n_vocab))
        self.assertEqual(every.tolist()[-1], logits.tolist())

    def test_tokens_there_and_back(self) -> None:
        ids = self.model.tokenize("Hällo <|im_end|>")
        self.assertEqual(self.model.detokenize(ids, skip_special=True), "Hällo ")
        plain = self.model.tokenize("Hällo <|im_end|>", add_bos=False, special=False)
        self.assertEqual(self.model.detokenize(plain, skip_special=True), "Hällo <|im_end|>")
        self.assertEqual(self.model.tokenize("a", add_bos=False), self.model.tokenize("a")[1:])

    def test_chat_template(self) -> None:
        text = self.model.apply_chat_template(LIGHT, tokenize=False, add_generation_prompt=True)
        self.assertTrue(text.endswith("please.<|im_end|>\n<|im_start|>assistant\n"), text)
        self.assertEqual(self.model.apply_chat_template(LIGHT, None, True), self.model.tokenize(text))

    def test_seeds(self) -> None:
        def draw(model: brooklet.Model, seed: Optional[int] = None) -> str:
            return model.generate("In the", max_tokens=30, temperature=1.5, min_p=0, seed=seed).text

        one, two = draw(self.model), draw(self.model)
        self.assertNotEqual(one, two)
        self.assertEqual((draw(self.model, 3), draw(self.model, 4)), (one, two))

    def test_stop_texts(self) -> None:
        whole = self.model.generate("In the beginning", max_tokens=60, **GREEDY).text
        stop = whole[20:25]
        cut = self.model.generate("In the beginning", max_tokens=60, stop=stop, **GREEDY)
        self.assertEqual((cut.text, cut.finish_reason), (whole[: whole.index(stop)], "stop"))


class Threads(unittest.TestCase):
    def setUp(self) -> None:
        self.model = brooklet.Model(MODEL)

    def test_others_run_while_it_computes(self) -> None:
        # Threads give way only of their own accord: the other one, by sleep, and this one, if the model lets go.
        interval = sys.getswitchinterval()
        count, end = 0, threading.Event()

        def other() -> None:
            nonlocal count
            while not end.is_set():
                time.sleep(0)
                count += 1

        sys.setswitchinterval(1e6)
        thread = threading.Thread(target=other)
        try:
            thread.start()
            before = count
            self.model.generate("In the beginning", max_tokens=200, ignore_eos=True, **GREEDY)
            after = count
        finally:
            end.set()
            sys.setswitchinterval(interval)
            thread.join()
        self.assertGreater(after - before, 10)

    def test_two_threads_on_one_model(self) -> None:
        answers: List[List[str]] = [[], []]

        def ask(into: List[str], prompt: str) -> None:
            for _ in range(5):
                into.append(self.model.generate(prompt, max_tokens=20, **GREEDY).text)

        prompts = ["In the beginning", "The house"]
        alone = [self.model.generate(prompt, max_tokens=20, **GREEDY).text for prompt in prompts]
        threads = [threading.Thread(target=ask, args=pair) for pair in zip(answers, prompts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [[text] * 5 for text in alone])

    def test_ctrl_c_stops_it(self) -> None:
        # A shell starts what runs in its background with the signal ignored.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, handler)
        # As above: the signal can only be sent while the model computes.
        model, started, interval = self.model, threading.Event(), sys.getswitchinterval()
        ids = model.tokenize("In the beginning")

        def interrupt() -> None:
            started.wait()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        sys.setswitchinterval(1e6)
        try:
            with self.assertRaises(KeyboardInterrupt):
                started.set()
                model.generate(ids, max_tokens=4000, ignore_eos=True, **GREEDY)
        finally:
            sys.setswitchinterval(interval)
            thread.join()
        # It had begun and was stopped, not left to finish; and it can be used again.
        self.assertGreater(model.n_tokens, 0)
        self.assertLess(model.n_tokens, 4000)
        self.assertEqual(model.chat(WEATHER, TOOLS, **GREEDY).text, WEATHER_ANSWER)


class Errors(unittest.TestCase):
    def test_files(self) -> None:
        with self.assertRaisesRegex(ValueError, r"brooklet\.convert"):
            brooklet.Model(CHECKPOINT)
        with self.assertRaisesRegex(FileNotFoundError, "/nowhere.gguf"):
            brooklet.Model("/nowhere.gguf")
        with self.assertRaisesRegex(brooklet.BrookletError, "config.json"):
            brooklet.Model(os.path.join(CHECKPOINT, "config.json"))

    def test_arguments(self) -> None:
        for wrong in ({"n_ctx": 0}, {"n_ctx": -1}, {"n_ctx": 1 << 40}, {"n_threads": 0}, {"kv_type": "q3"}):
            with self.assertRaises(ValueError, msg=str(wrong)):
                brooklet.Model(MODEL, **wrong)
        model = brooklet.Model(MODEL, n_ctx=64)
        for name, value in [("temperature", -1), ("top_p", 0), ("min_p", 2), ("repeat_penalty", float("nan")),
                            ("max_tokens", -1), ("top_k", -1), ("seed", -1), ("stop", "")]:
            with self.assertRaisesRegex(ValueError, name):
                model.chat(WEATHER, **{name: value})
        for ids in ([], [-1], [model.n_vocab], [1] * 65):
            with self.assertRaises(ValueError, msg=str(ids)):
                model.generate(ids)
            with self.assertRaises(ValueError, msg=str(ids)):
                model.logits(ids, all=True)
        with self.assertRaisesRegex(ValueError, "role 'robot'"):
            model.chat([{"role": "robot", "content": "beep"}])
        with self.assertRaisesRegex(ValueError, "role"):
            model.chat([{"content": "beep"}])
        with self.assertRaises(TypeError):
            model.chat([{"role": "user", "content": object()}])


class Functions(unittest.TestCase):
    def test_schema(self) -> None:
        def set_light(room: str, on: bool, color: Literal["red", "blue"] = "red", levels: Optional[List[int]] = None) -> str:
            """Switches a light.

            Args:
                room: where it is,
                    in lower case
                on (bool): on or off

            Returns:
                what: it did
            """
            return room

        self.assertEqual(brooklet.function_schema(set_light)["function"], {
            "name": "set_light",
            "description": "Switches a light.",
            "parameters": {
                "type": "object",
                "properties": {
                    "room": {"type": "string", "description": "where it is, in lower case"},
                    "on": {"type": "boolean", "description": "on or off"},
                    "color": {"type": "string", "enum": ["red", "blue"]},
                    "levels": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["room", "on"],
            },
        })
        text = brooklet.Model(MODEL).apply_chat_template(LIGHT, [set_light], tokenize=False)
        self.assertIn('"description": "Switches a light."', text)

    def test_what_has_no_schema(self) -> None:
        def untyped(a): ...  # type: ignore[no-untyped-def]
        def odd(a: bytes) -> None: ...
        def many(*a: int) -> None: ...

        for function in (untyped, odd, many):
            with self.assertRaisesRegex(TypeError, f"{function.__name__}: parameter 'a'"):
                brooklet.function_schema(function)


def float_of(value: float) -> float:
    """As float32, which the command prints in the fewest digits."""
    room = memoryview(bytearray(4)).cast("f")
    room[0] = value
    return float(room[0])


if __name__ == "__main__":
    unittest.main()
