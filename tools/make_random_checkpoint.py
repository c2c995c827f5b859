#!/usr/bin/env python3
"""Writes a checkpoint with random weights of exactly the shapes of Qwen2.5-Omni (0.1b: the Thinker alone): bfloat16, in shards, published layout.

    tools/make_random_checkpoint.py --size 3b|7b|0.1b --out DIR

For speed and memory, which do not depend on the values. Needs nothing but Python; 3b takes 11.1 GB of disk.
"""
import argparse, collections, io, json, pathlib, pickle, random, shutil, struct, sys, types, zipfile

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


TALKERS = {  # with the Thinker's width
    "3b": dict(hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, head_dim=64),
    "7b": dict(hidden_size=896, intermediate_size=18944, num_hidden_layers=24, num_attention_heads=12, num_key_value_heads=4, head_dim=128),
}


def speech_tensors(talker, width):
    """Talker and Token2Wav; the latter's shapes are those of configuration_qwen2_5_omni.py."""
    def linear(name, n_out, n_in, bias=True):
        yield name + ".weight", [n_out, n_in], n_in
        if bias:
            yield name + ".bias", [n_out], n_in
    def conv(name, n_out, n_in, kernel, bias=True):
        yield name + ".weight", [n_out, n_in, kernel], n_in * kernel
        if bias:
            yield name + ".bias", [n_out], n_in * kernel
    d, heads, kv, ffn = talker["hidden_size"], talker["num_attention_heads"] * talker["head_dim"], talker["num_key_value_heads"] * talker["head_dim"], talker["intermediate_size"]
    yield from linear("talker.thinker_to_talker_proj", d, width)
    yield "talker.model.embed_tokens.weight", [8448, width], width
    for i in range(talker["num_hidden_layers"]):
        q = f"talker.model.layers.{i}."
        yield q + "input_layernorm.weight", [d], 0
        yield q + "post_attention_layernorm.weight", [d], 0
        yield from linear(q + "self_attn.q_proj", heads, d)
        yield from linear(q + "self_attn.k_proj", kv, d)
        yield from linear(q + "self_attn.v_proj", kv, d)
        yield from linear(q + "self_attn.o_proj", d, heads, False)
        yield from linear(q + "mlp.gate_proj", ffn, d, False)
        yield from linear(q + "mlp.up_proj", ffn, d, False)
        yield from linear(q + "mlp.down_proj", d, ffn, False)
    yield "talker.model.norm.weight", [d], 0
    yield from linear("talker.codec_head", 8448, d, False)
    p, h = "token2wav.code2wav_dit_model.", 1024
    yield from linear(p + "time_embed.time_mlp.0", h, 256)
    yield from linear(p + "time_embed.time_mlp.2", h, h)
    yield p + "text_embed.codec_embed.weight", [8194, 512], 512
    yield from linear(p + "input_embed.proj", h, 80 + 128 + 192 + 512)
    e = p + "input_embed.spk_encoder."
    yield from conv(e + "blocks.0.conv", 256, 80, 5)
    for b in (1, 2, 3):
        yield from conv(f"{e}blocks.{b}.tdnn1.conv", 256, 256, 1)
        yield from conv(f"{e}blocks.{b}.res2net_block.blocks.0.conv", 128, 128, 3)
        yield from conv(f"{e}blocks.{b}.tdnn2.conv", 256, 256, 1)
        yield from conv(f"{e}blocks.{b}.se_block.conv1", 64, 256, 1)
        yield from conv(f"{e}blocks.{b}.se_block.conv2", 256, 64, 1)
    yield from conv(e + "mfa.conv", 768, 768, 1)
    yield from conv(e + "asp.tdnn.conv", 64, 3 * 768, 1)
    yield from conv(e + "asp.conv", 768, 64, 1)
    yield from conv(e + "fc", 128, 2 * 768, 1)
    for i in range(22):
        q = f"{p}transformer_blocks.{i}."
        yield from linear(q + "attn_norm.linear", 6 * h, h)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            yield from linear(f"{q}attn.{part}", h, h)
        yield from linear(q + "ff.ff.0", 2 * h, h)
        yield from linear(q + "ff.ff.3", h, 2 * h)
    yield from linear(p + "norm_out.linear", 2 * h, h)
    yield from linear(p + "proj_out", 80, h)
    p, c = "token2wav.code2wav_bigvgan_model.", 1536
    yield from conv(p + "conv_pre", c, 80, 7)
    for i, kernel in enumerate((11, 7, 4, 4, 4, 4)):
        yield f"{p}ups.{i}.0.weight", [c, c // 2, kernel], c * kernel
        yield f"{p}ups.{i}.0.bias", [c // 2], c
        c //= 2
        for k, size in enumerate((3, 7, 11)):
            for j in range(3):
                yield from conv(f"{p}resblocks.{3 * i + k}.convs1.{j}", c, c, size)
                yield from conv(f"{p}resblocks.{3 * i + k}.convs2.{j}", c, c, size)
            for j in range(6):
                yield f"{p}resblocks.{3 * i + k}.activations.{j}.act.alpha", [c], 10000
                yield f"{p}resblocks.{3 * i + k}.activations.{j}.act.beta", [c], 10000
    yield p + "activation_post.act.alpha", [c], 10000
    yield p + "activation_post.act.beta", [c], 10000
    yield from conv(p + "conv_post", 1, c, 7, False)


def numel(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def bf16_block(std, n=1 << 20):
    values = struct.pack(f"<{n}f", *(random.gauss(0, std) for _ in range(n)))
    return b"".join(values[i + 2:i + 4] for i in range(0, len(values), 4))


def write_voice(path):
    """spk_dict.pt as torch.save writes it: a zip of a pickle and raw storages. The classes it names are stand-ins with torch's names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    def _rebuild_tensor_v2(*_): pass
    class FloatStorage: pass
    _rebuild_tensor_v2.__module__, FloatStorage.__module__ = "torch._utils", "torch"
    _rebuild_tensor_v2.__qualname__, FloatStorage.__qualname__ = "_rebuild_tensor_v2", "FloatStorage"
    utils._rebuild_tensor_v2, torch.FloatStorage, torch._utils = _rebuild_tensor_v2, FloatStorage, utils
    sys.modules.update({"torch": torch, "torch._utils": utils})
    storages = []
    class Storage:
        def __init__(self, n): self.n = n
    class Tensor:
        def __init__(self, *shape): self.shape = shape
        def __reduce__(self):
            strides = tuple(numel(self.shape[i + 1:]) for i in range(len(self.shape)))
            return _rebuild_tensor_v2, (Storage(numel(self.shape)), 0, self.shape, strides, False, collections.OrderedDict())
    class Pickler(pickle.Pickler):
        def persistent_id(self, x):
            if isinstance(x, Storage):
                storages.append(x.n)
                return "storage", FloatStorage, str(len(storages) - 1), "cpu", x.n
    out = io.BytesIO()
    Pickler(out, protocol=2).dump({"Chelsie": dict(bos_token=5, cond=Tensor(1, 192), ref_mel=Tensor(1, 300, 80))})
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", out.getvalue())
        for i, n in enumerate(storages):
            z.writestr(f"archive/data/{i}", struct.pack(f"<{n}f", *(random.gauss(0, 1) for _ in range(n))))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--size", choices=SIZES, required=True)
    ap.add_argument("--out", type=pathlib.Path, required=True)
    a = ap.parse_args()
    text, sections, audio, vision = SIZES[a.size]
    a.out.mkdir(parents=True, exist_ok=True)
    random.seed(1)
    everything = list(tensors(text, audio, vision))
    talker = TALKERS.get(a.size)
    if talker:
        everything += speech_tensors(talker, text["hidden_size"])
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
    nano = pathlib.Path(__file__).resolve().parent.parent / "models/nano"
    shutil.copy(nano / "tokenizer.json", a.out)  # any tokenizer will do: nothing sensible is said
    if talker:
        config["talker_config"] = talker | dict(
            embedding_size=d, vocab_size=8448, max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1e6, rope_scaling=dict(type="default", mrope_section=[16, 24, 24] if talker["head_dim"] == 128 else [16, 16, 0]),
            tts_codec_pad_token_id=8292, tts_codec_start_token_id=8293, tts_codec_end_token_id=8294, tts_codec_mask_token_id=8296, tts_text_end_token_id=3, tts_text_pad_token_id=4)
        write_voice(a.out / "spk_dict.pt")
        config["token2wav_config"] = dict(dit_config={}, bigvgan_config={})
    (a.out / "config.json").write_text(json.dumps(config, indent=1))
    (a.out / "preprocessor_config.json").write_text(json.dumps(dict(min_pixels=3136, max_pixels=12845056)))


if __name__ == "__main__":
    main()
