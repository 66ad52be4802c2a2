"""The network for training: LFM2 as transformers' Lfm2ForCausalLM computes it and with its parameter names, for rows that
hold several conversations each, none of which sees another. test_model.py holds the two to the same logits."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Lfm2Config

ATTENTION = (1, 3, 5, 7)


def config(vocab_size, bos, eos, pad, hidden=256, ffn=768, layers=8, heads=8, kv_heads=4):
    return Lfm2Config(vocab_size=vocab_size, hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers, num_attention_heads=heads,
                      num_key_value_heads=kv_heads, max_position_embeddings=2048, conv_L_cache=3, block_auto_adjust_ff_dim=False,
                      layer_types=["full_attention" if i in ATTENTION else "conv" for i in range(layers)],
                      rope_parameters={"rope_theta": 10000.0, "rope_type": "default"}, bos_token_id=bos, eos_token_id=eos, pad_token_id=pad,
                      tie_word_embeddings=True, dtype="bfloat16")


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.head_dim = c.hidden_size // c.num_attention_heads
        self.q_proj = nn.Linear(c.hidden_size, c.num_attention_heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(c.hidden_size, c.num_key_value_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, c.num_key_value_heads * self.head_dim, bias=False)
        self.out_proj = nn.Linear(c.hidden_size, c.hidden_size, bias=False)
        self.q_layernorm, self.k_layernorm = Norm(self.head_dim, c.norm_eps), Norm(self.head_dim, c.norm_eps)

    def forward(self, x, rope, mask):
        cos, sin = rope
        b, t, _ = x.shape
        turn = lambda y: y * cos + torch.cat((-y[..., self.head_dim // 2:], y[..., : self.head_dim // 2]), -1) * sin
        q = turn(self.q_layernorm(self.q_proj(x).view(b, t, -1, self.head_dim)).transpose(1, 2))
        k = turn(self.k_layernorm(self.k_proj(x).view(b, t, -1, self.head_dim)).transpose(1, 2))
        v = self.v_proj(x).view(b, t, -1, self.head_dim).transpose(1, 2)
        k, v = (y.repeat_interleave(q.shape[1] // k.shape[1], 1).to(q.dtype) for y in (k, v))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).reshape(b, t, -1))


class ShortConv(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.in_proj = nn.Linear(c.hidden_size, 3 * c.hidden_size, bias=False)
        self.out_proj = nn.Linear(c.hidden_size, c.hidden_size, bias=False)
        self.conv = nn.Conv1d(c.hidden_size, c.hidden_size, c.conv_L_cache, groups=c.hidden_size, bias=False)

    def forward(self, x, document):
        gate, out, x = self.in_proj(x).chunk(3, -1)
        u = gate * x
        kernel = self.conv.weight[:, 0]
        last = kernel.shape[1] - 1
        y = kernel[:, last] * u
        for back in range(1, last + 1):
            same = (document[:, back:] == document[:, :-back]).unsqueeze(-1)
            y = y + kernel[:, last - back] * F.pad(u[:, :-back] * same, (0, 0, back, 0))
        return self.out_proj(out * y)


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.w1 = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.w3 = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.w2 = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Layer(nn.Module):
    def __init__(self, c, kind, dropout):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        if kind == "conv":
            self.conv = ShortConv(c)
        else:
            self.self_attn = Attention(c)
        self.feed_forward = FeedForward(c)
        self.operator_norm, self.ffn_norm = Norm(c.hidden_size, c.norm_eps), Norm(c.hidden_size, c.norm_eps)

    def forward(self, x, rope, mask, document):
        h = self.operator_norm(x)
        x = x + self.dropout(self.conv(h, document) if hasattr(self, "conv") else self.self_attn(h, rope, mask))
        return x + self.dropout(self.feed_forward(self.ffn_norm(x)))


class Body(nn.Module):
    def __init__(self, c, dropout):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c, kind, dropout) for kind in c.layer_types)
        self.embedding_norm = Norm(c.hidden_size, c.norm_eps)


class Lfm2(nn.Module):
    def __init__(self, c, dropout=0.0):
        super().__init__()
        self.model = Body(c, dropout)
        head_dim = c.hidden_size // c.num_attention_heads
        frequency = c.rope_parameters["rope_theta"] ** (-torch.arange(0, head_dim, 2).float() / head_dim)
        angle = torch.outer(torch.arange(c.max_position_embeddings).float(), frequency).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02 if "embed" in name else p.shape[1] ** -0.5 * (0.3 if "out_proj" in name or "w2" in name else 1.0))
            elif p.ndim == 3:
                nn.init.normal_(p, std=0.5)

    def hidden(self, ids, document):
        """ids and the number of each one's document, both [rows, tokens] -> [rows, tokens, hidden], after the final norm."""
        rope = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        mask = (document[:, None, :, None] == document[:, None, None, :]).tril()
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, rope, mask, document)
        return self.model.embedding_norm(x)

    def forward(self, ids, document):
        """The same -> logits [rows, tokens, vocabulary]."""
        return self.hidden(ids, document) @ self.model.embed_tokens.weight.T
