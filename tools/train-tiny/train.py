#!/usr/bin/env python3
"""Trains a small llama on plain text and writes it as a GGUF file in F16.

usage: train.py CORPUS_FOLDER OUT_FOLDER [--steps N] [--threads N]

CORPUS_FOLDER holds train.txt (pages separated by a zero byte) and held-out.txt, as corpus.py
writes them. Needs PyTorch 2 or newer, numpy, and the packages tokenizers and gguf. One seed
rules everything; another number of threads may still give other last digits.

Every row is 256 or 512 wide, a multiple of the 256 weights of a k-quant's block, so that no
quantization falls back to another type.
"""

import argparse
import csv
import math
import pathlib
import time

import gguf
import numpy
import tokenizers
import torch
from torch import nn
from torch.nn import functional

SEED = 20261122
VOCABULARY = 2048
WIDTH, FEED_FORWARD, LAYERS, HEADS, KV_HEADS = 256, 512, 5, 4, 2
HEAD = WIDTH // HEADS
CONTEXT = 512
NORM_EPSILON = 1e-5
ROPE_BASE = 10000.0
BATCH = 8
PEAK_RATE, WARM_UP, DECAY = 2.5e-3, 100, 0.1
BOS, EOS = 0, 1
HELD_OUT_WINDOWS = 24


def train_tokenizer(texts):
    """Byte-level pairs after GPT-2's split into words, as llama.cpp's `gpt-2` has it."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + NORM_EPSILON) * self.weight


def rotate(x, cos, sin):
    """Rotary positions on neighbouring pairs, llama's own order."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        linear = lambda inputs, outputs: nn.Linear(inputs, outputs, bias=False)
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q, self.attn_output = linear(WIDTH, WIDTH), linear(WIDTH, WIDTH)
        self.attn_k, self.attn_v = linear(WIDTH, KV_HEADS * HEAD), linear(WIDTH, KV_HEADS * HEAD)
        self.ffn_gate, self.ffn_up = linear(WIDTH, FEED_FORWARD), linear(WIDTH, FEED_FORWARD)
        self.ffn_down = linear(FEED_FORWARD, WIDTH)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        heads = lambda y, count: y.view(batch, length, count, HEAD).transpose(1, 2)
        normed = self.attn_norm(x)
        q = rotate(heads(self.attn_q(normed), HEADS), cos, sin)
        k = rotate(heads(self.attn_k(normed), KV_HEADS), cos, sin)
        v = heads(self.attn_v(normed), KV_HEADS)
        k, v = (y.repeat_interleave(HEADS // KV_HEADS, dim=1) for y in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        normed = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embd = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.output_norm = Norm()
        self.output = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                into_stream = "attn_output" in name or "ffn_down" in name
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if into_stream else 0.02)
        rates = ROPE_BASE ** (-torch.arange(0, HEAD, 2).float() / HEAD)
        angles = torch.arange(CONTEXT).float()[:, None] * rates[None, :]
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.token_embd(tokens)
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return self.output(self.output_norm(x))


def windows_of(tokens, starts):
    """Each begins with BOS, as a chunk that is scored does."""
    window = numpy.stack([tokens[start:start + CONTEXT] for start in starts]).astype(numpy.int64)
    window[:, 0] = BOS
    return torch.from_numpy(window)


def loss_of(model, window, first=0):
    logits = model(window[:, :-1])[:, first:]
    wanted = window[:, 1 + first:]
    return functional.cross_entropy(logits.reshape(-1, VOCABULARY), wanted.reshape(-1))


def held_out_loss(model, tokens):
    starts = [number * CONTEXT for number in range(min(HELD_OUT_WINDOWS, len(tokens) // CONTEXT))]
    with torch.no_grad():
        losses = [loss_of(model, windows_of(tokens, [start]), CONTEXT // 2).item() for start in starts]
    return sum(losses) / len(losses)


def unigram_loss(train, held_out):
    counts = numpy.bincount(train, minlength=VOCABULARY) + 1.0
    return float(-numpy.log(counts / counts.sum())[held_out].mean())


def rate_at(step, steps):
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    share = (step - WARM_UP) / max(1, steps - WARM_UP)
    return PEAK_RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def train_model(train, held_out, steps, log):
    torch.manual_seed(SEED)
    chance = numpy.random.default_rng(SEED)
    model = Model()
    matrices = [weight for weight in model.parameters() if weight.dim() == 2]
    others = [weight for weight in model.parameters() if weight.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY},
                                   {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.95))
    began, recent = time.monotonic(), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps)
        window = windows_of(train, chance.integers(0, len(train) - CONTEXT, BATCH))
        loss = loss_of(model, window)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            row = [step + 1, (step + 1) * BATCH * CONTEXT, f"{sum(recent) / len(recent):.4f}",
                   f"{held_out_loss(model, held_out):.4f}", f"{time.monotonic() - began:.0f}"]
            log.writerow(row)
            print(*row, flush=True)
            recent = []
    return model


def write_gguf(model, tokenizer, path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny Rust")
    writer.add_description("A model for tests, trained on Rust's documentation; it knows nothing")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    kinds = [gguf.TokenType.CONTROL if id in (BOS, EOS) else gguf.TokenType.NORMAL for _, id in by_id]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in by_id])
    writer.add_token_types(kinds)
    writer.add_token_merges(merges_of(tokenizer))
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    for name, weight in model.named_parameters():
        name = name.replace("layers.", "blk.")
        data = weight.detach().numpy()
        writer.add_tensor(name, data.astype(numpy.float16 if data.ndim == 2 else numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def merges_of(tokenizer):
    import json
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


def sample(model, tokenizer, prompt, length):
    tokens = [BOS] + tokenizer.encode(prompt).ids
    with torch.no_grad():
        for _ in range(length):
            tokens.append(int(model(torch.tensor([tokens[-CONTEXT:]]))[0, -1].argmax()))
    return tokenizer.decode(tokens[1:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)

    pages = (asked.corpus / "train.txt").read_text(encoding="ascii").split("\x00")
    tokenizer = train_tokenizer(pages)
    chance = numpy.random.default_rng(SEED)
    encoded = [numpy.array([BOS, *page.ids, EOS], dtype=numpy.uint16)
               for page in tokenizer.encode_batch(pages)]
    train = numpy.concatenate([encoded[number] for number in chance.permutation(len(encoded))])
    text = (asked.corpus / "held-out.txt").read_text(encoding="ascii")
    held_out = numpy.array(tokenizer.encode(text).ids, dtype=numpy.uint16)
    unigram = unigram_loss(train, held_out)
    print(f"{len(train)} tokens to train on, {len(held_out)} held out "
          f"({len(text) / len(held_out):.2f} characters each), unigram perplexity "
          f"{math.exp(unigram):.1f}", flush=True)

    with open(asked.out / "training-log.csv", "w", newline="", encoding="ascii") as file:
        log = csv.writer(file)
        log.writerow(["step", "tokens", "train_loss", "held_out_loss", "seconds"])
        model = train_model(train, held_out, asked.steps, log)
    model.eval()
    write_gguf(model, tokenizer, asked.out / "tiny-rust-f16.gguf")
    print(f"parameters {sum(weight.numel() for weight in model.parameters())}, held-out perplexity "
          f"{math.exp(held_out_loss(model, held_out)):.2f}, unigram {math.exp(unigram):.1f}")
    for prompt in ["The Rust programming language", "fn main() {\n    let", "An iterator"]:
        print("---", sample(model, tokenizer, prompt, 48), sep="\n")


if __name__ == "__main__":
    main()
