"""The network that is trained computes what transformers' Lfm2ForCausalLM computes; the chat template renders what
generate.render renders; a plan of calls survives writing and parsing. Run with `python test_model.py`."""

import random

import torch
from transformers import Lfm2ForCausalLM
from transformers.utils.chat_template_utils import render_jinja_template

import evaluate
import generate
import model
import tokenizer as tok


def test_logits():
    torch.manual_seed(0)
    config = model.config(512, tok.BOS, tok.END, tok.PAD)
    net, reference = model.Lfm2(config), Lfm2ForCausalLM(config).float().eval()
    reference.load_state_dict(net.state_dict(), strict=False)
    reference.tie_weights()
    ids = torch.randint(0, 512, (3, 300))
    parts = torch.tensor([0] * 37 + [1] * 2 + [2] * 261)  # documents of one row
    with torch.no_grad():
        packed = net(ids, parts.expand(3, -1))
        for part in parts.unique():
            apart = reference(ids[:, parts == part]).logits
            difference = (packed[:, parts == part] - apart).abs().max()
            assert difference < 1e-4, (part, difference)  # measured: 2.6e-6


def test_template():
    template = tok.TEMPLATE.read_text()
    rng = random.Random(3)
    generator = generate.Generator(["stone", "river", "lamp"])
    for n in range(50):
        _, messages = generator.conversation(rng)
        system = generate.SYSTEM.split("\n")[0]
        turns = [{"role": "system", "content": system}] + messages if n % 2 else messages
        for m in turns[::2] + turns[1::2]:  # calls go in as transformers carries them
            if evaluate.START in m["content"]:
                m["tool_calls"] = [{"type": "function", "function": c} for c in evaluate.parse_calls(m["content"])]
        turns = [{**m, "content": ""} if "tool_calls" in m else m for m in turns]
        rendered, _ = render_jinja_template([turns], tools=generate.TOOLS if n % 2 else None, chat_template=template, add_generation_prompt=True, bos_token="<|startoftext|>")
        mine = "".join(text for text, _ in generate.render(messages, generate.SYSTEM if n % 2 else None, generate=True))
        assert rendered[0] == mine, (rendered[0], mine)


def test_calls():
    rng = random.Random(4)
    generator = generate.Generator(["stone", "river", "lamp"])
    for _ in range(500):
        _, calls = generator.single(rng)
        assert evaluate.parse_calls(generate.render_calls(calls)) == calls
        case = {"calls": calls}
        assert evaluate.exact(case, generate.render_calls(calls))
        assert not evaluate.exact(case, generate.render_calls(calls + calls))


if __name__ == "__main__":
    for test in (test_logits, test_template, test_calls):
        test()
        print(test.__name__, "ok")
