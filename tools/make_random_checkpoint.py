#!/usr/bin/env python3
"""Writes a checkpoint with random weights of exactly the shapes of the Qwen2.5-Omni Thinker: bfloat16, in shards, published layout.

    tools/make_random_checkpoint.py --size 3b|7b|0.1b --out DIR

For speed and memory, which do not depend on the values. Needs nothing but Python; 3b takes 9.4 GB of disk.
"""
import argparse, json, pathlib, random, shutil, struct

AUDIO = dict(d_model=1280, encoder_layers=32, encoder_attention_heads=20, encoder_ffn_dim=5120, num_mel_bins=128, n_window=100, max_source_positions=1500)
VISION = dict(depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, patch_size=14, temporal_patch_size=2, spatial_merge_size=2, window_size=112,
              fullatt_block_indexes=[7, 15, 23, 31], in_channels=3)
SIZES = {
    "3b": (dict(hidden_size=2048, intermediate_size=11008, num_hidden_layers=36, num_attention_heads=16, num_key_value_heads=2, vocab_size=151936), [16, 24, 24], AUDIO, VISION),
    "7b": (dict(hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4, vocab_size=152064), [16, 24, 24], AUDIO, VISION),
    # SmolLM2-135M's shape with small towers: the class of the embedded default
    "0.1b": (dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, vocab_size=49152), [8, 12, 12],
             AUDIO | dict(d_model=256, encoder_layers=4, encoder_attention_heads=4, encoder_ffn_dim=1024), VISION | dict(depth=6, hidden_size=256, intermediate_size=684, num_heads=4, fullatt_block_indexes=[2, 5])),
}
SHARD_BYTES = 4 << 30


def tensors(text, audio, vision):
    """(name, shape, fan_in); fan_in 0 = ones."""
    d, kv = text["hidden_size"], text["num_key_value_heads"] * (text["hidden_size"] // text["num_attention_heads"])
    def linear(name, n_out, n_in, bias=True):
        yield name + ".weight", [n_out, n_in], n_in
        if bias:
            yield name + ".bias", [n_out], n_in
    def norm(name, n, bias=False):
        yield name + ".weight", [n], 0
        if bias:
            yield name + ".bias", [n], n
    a, ffn = audio["d_model"], audio["encoder_ffn_dim"]
    p = "thinker.audio_tower."
    yield p + "conv1.weight", [a, audio["num_mel_bins"], 3], 3 * audio["num_mel_bins"]
    yield p + "conv1.bias", [a], a
    yield p + "conv2.weight", [a, a, 3], 3 * a
    yield p + "conv2.bias", [a], a
    for i in range(audio["encoder_layers"]):
        q = f"{p}layers.{i}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{q}self_attn.{part}", a, a, part != "k_proj")
        yield from linear(q + "fc1", ffn, a)
        yield from linear(q + "fc2", a, ffn)
        yield from norm(q + "self_attn_layer_norm", a, True)
        yield from norm(q + "final_layer_norm", a, True)
    yield from norm(p + "ln_post", a, True)
    yield from linear(p + "proj", d, a)
    v, m = vision["hidden_size"], vision["intermediate_size"]
    p = "thinker.visual."
    yield p + "patch_embed.proj.weight", [v, 3, 2, 14, 14], 1176
    for i in range(vision["depth"]):
        q = f"{p}blocks.{i}."
        for part in ("q", "k", "v", "proj"):
            yield from linear(f"{q}attn.{part}", v, v)
        yield from linear(q + "mlp.gate_proj", m, v)
        yield from linear(q + "mlp.up_proj", m, v)
        yield from linear(q + "mlp.down_proj", v, m)
        yield from norm(q + "norm1", v)
        yield from norm(q + "norm2", v)
    yield from norm(p + "merger.ln_q", v)
    yield from linear(p + "merger.mlp.0", 4 * v, 4 * v)
    yield from linear(p + "merger.mlp.2", d, 4 * v)
    p = "thinker.model."
    yield p + "embed_tokens.weight", [text["vocab_size"], d], d
    for i in range(text["num_hidden_layers"]):
        q = f"{p}layers.{i}."
        yield from norm(q + "input_layernorm", d)
        yield from norm(q + "post_attention_layernorm", d)
        yield from linear(q + "self_attn.q_proj", d, d)
        yield from linear(q + "self_attn.k_proj", kv, d)
        yield from linear(q + "self_attn.v_proj", kv, d)
        yield from linear(q + "self_attn.o_proj", d, d, False)
        for part, shape in (("gate_proj", (text["intermediate_size"], d)), ("up_proj", (text["intermediate_size"], d)), ("down_proj", (d, text["intermediate_size"]))):
            yield from linear(f"{q}mlp.{part}", *shape, False)
    yield from norm(p + "norm", d)
    yield "thinker.lm_head.weight", [text["vocab_size"], d], d


def numel(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def bf16_block(std, n=1 << 20):
    values = struct.pack(f"<{n}f", *(random.gauss(0, std) for _ in range(n)))
    return b"".join(values[i + 2:i + 4] for i in range(0, len(values), 4))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--size", choices=SIZES, required=True)
    ap.add_argument("--out", type=pathlib.Path, required=True)
    a = ap.parse_args()
    text, sections, audio, vision = SIZES[a.size]
    a.out.mkdir(parents=True, exist_ok=True)
    random.seed(1)
    everything = list(tensors(text, audio, vision))
    shards, size = [[]], 0
    for t in everything:
        bytes_ = 2 * numel(t[1])
        if size + bytes_ > SHARD_BYTES and shards[-1]:
            shards.append([])
            size = 0
        shards[-1].append(t)
        size += bytes_
    scaled = {0: b"\x80\x3f" * (1 << 20)}
    weight_map = {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        header, at = {}, 0
        for tensor, shape, _ in shard:
            header[tensor] = dict(dtype="BF16", shape=shape, data_offsets=[at, at + 2 * numel(shape)])
            at += 2 * numel(shape)
            weight_map[tensor] = name
        raw = json.dumps(header).encode()
        raw += b" " * (-len(raw) % 8)
        with open(a.out / name, "wb") as f:
            f.write(struct.pack("<Q", len(raw)) + raw)
            for tensor, shape, fan_in in shard:
                if fan_in not in scaled:
                    scaled[fan_in] = bf16_block(fan_in ** -0.5, 1 << 16) * 16
                left = 2 * numel(shape)
                while left > 0:
                    f.write(scaled[fan_in][: min(left, len(scaled[fan_in]))])
                    left -= len(scaled[fan_in])
        print(f"{name}: {at / 1e9:.2f} GB", flush=True)
    (a.out / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=weight_map)))
    d = text["hidden_size"]
    config = dict(model_type="qwen2_5_omni", architectures=["Qwen2_5OmniModel"], thinker_config=dict(
        position_id_per_seconds=25, seconds_per_chunk=2, audio_config=audio | dict(output_dim=d), vision_config=vision | dict(out_hidden_size=d),
        text_config=text | dict(max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1e6, rope_scaling=dict(type="default", mrope_section=sections), tie_word_embeddings=False)))
    (a.out / "config.json").write_text(json.dumps(config, indent=1))
    (a.out / "preprocessor_config.json").write_text(json.dumps(dict(min_pixels=3136, max_pixels=12845056)))
    nano = pathlib.Path(__file__).resolve().parent.parent / "models/nano"
    shutil.copy(nano / "tokenizer.json", a.out)  # any tokenizer will do: nothing sensible is said


if __name__ == "__main__":
    main()
