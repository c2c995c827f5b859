#!/usr/bin/env python3
"""Writes the fixtures of tests/fixtures: tiny seeded random checkpoints, inputs, and what transformers computes with them at the module boundaries.

    tools/make_fixtures.py [--out tests/fixtures/qwen2_5_omni] [--only NAME]

NAME/checkpoint/            the layout of a published checkpoint, only smaller; weights are stored as bfloat16 and computed with as float32
NAME/input/                 video.rgb (raw frames), audio.wav (16 kHz mono), input.json
NAME/expected.safetensors   tensors at the module boundaries
NAME/expected.json          prompts, greedy text, the smallest margin between the two best tokens met on the way

Needs torch, torchvision, transformers 5.23, tokenizers, safetensors, numpy, pillow (PyPI). Nothing here is needed to build, run or test the project: the
fixtures are committed, `tools/parity` and the tests read them.
"""
import argparse, json, math, os, pathlib, shutil, wave
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
import transformers
from transformers import (Qwen2_5OmniProcessor, Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration, Qwen2TokenizerFast,
                          Qwen2VLImageProcessor, Qwen2VLVideoProcessor, WhisperFeatureExtractor)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|vision_bos|>", "<|vision_eos|>", "<|vision_pad|>",
           "<|IMAGE|>", "<|VIDEO|>"]
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CORPUS = ("Describe what you see and hear. The red ball moves left while a tone is playing; colour bars fill the screen. A black frame, silence, white noise. "
          "system user assistant You watch a live feed. it's we're I'll 안녕하세요 héllo 你好 мир 😀 0 1 2 3 4 5 6 7 8 9 ")
TEXTS = ["Hello world", "it's we'll  double  spaces\n\nnewlines\t tab", "héllo naïve café", "안녕하세요 화면에", "你好，世界！", "мир 😀👍🏽 1234567",
         "<|im_start|>user\nhi<|im_end|>", "a" * 100, "", "   ", "A\u030a vs \u00c5"]

# Architectures: every number a tiny model can vary in without leaving the family.
ARCHITECTURES = {
    "a": dict(seed=11, d=64, heads=4, kv=2, head_dim=16, layers=3, ffn=128, mrope=[2, 3, 3], vit=48, vit_heads=4, vit_depth=4, full=[1, 3], window=112,
              aud=48, aud_heads=4, aud_layers=2, tie=False, layout="full"),
    "b": dict(seed=22, d=48, heads=4, kv=1, head_dim=24, layers=2, ffn=96, mrope=[6, 6, 0], vit=64, vit_heads=2, vit_depth=3, full=[2], window=56,
              aud=64, aud_heads=2, aud_layers=1, tie=False, layout="published"),  # old configuration keys, sharded
    "c": dict(seed=33, d=32, heads=4, kv=4, head_dim=8, layers=2, ffn=64, mrope=[1, 2, 1], vit=32, vit_heads=4, vit_depth=3, full=[0, 2], window=112,
              aud=32, aud_heads=2, aud_layers=2, tie=True, layout="thinker"),
}
# Inputs: frames and rates that fill chunks unevenly, grids that windows do not divide, sound shorter and longer than the picture.
CASES = {
    "a": dict(arch="a", size=(200, 120), frames=6, fps=2, audio_samples=52560),
    "a-fps5": dict(arch="a", size=(168, 92), frames=7, fps=5, audio_samples=19300),
    "a-sound": dict(arch="a", size=(120, 200), frames=2, fps=1, audio_samples=64000),
    "b": dict(arch="b", size=(72, 200), frames=5, fps=1, audio_samples=30400),
    "c": dict(arch="c", size=(240, 130), frames=4, fps=2, audio_samples=55777),
}
MIN_PIXELS, MAX_PIXELS = 4 * 784, 30 * 784  # of a frame; the checkpoint carries them in its `omni` object
SYSTEM = "You watch a live feed."
PROMPT = {
    "text": "Say hello.",
    "video": "<|vision_bos|><|VIDEO|><|vision_eos|>Where is the ball?",
    "audio": "<|audio_bos|><|AUDIO|><|audio_eos|>What do you hear?",
    "av": "<|vision_bos|><|VIDEO|><|vision_eos|>Describe what you see and hear.",
}


def chat(user):
    return f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


def make_tokenizer():
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator([CORPUS] * 3, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.add_special_tokens(SPECIAL)
    return tok


def make_config(v, tok):
    i = tok.token_to_id
    return Qwen2_5OmniThinkerConfig(
        text_config=dict(hidden_size=v["d"], intermediate_size=v["ffn"], num_hidden_layers=v["layers"], num_attention_heads=v["heads"], num_key_value_heads=v["kv"],
                         head_dim=v["head_dim"], vocab_size=(tok.get_vocab_size() + 15) // 16 * 16, max_position_embeddings=4096,
                         rope_parameters=dict(rope_type="default", mrope_section=v["mrope"], rope_theta=1e6), tie_word_embeddings=v["tie"]),
        vision_config=dict(depth=v["vit_depth"], hidden_size=v["vit"], intermediate_size=2 * v["vit"] + 12, num_heads=v["vit_heads"], out_hidden_size=v["d"],
                           fullatt_block_indexes=v["full"], window_size=v["window"], in_channels=3, patch_size=14, spatial_merge_size=2, temporal_patch_size=2),
        audio_config=dict(d_model=v["aud"], encoder_layers=v["aud_layers"], encoder_attention_heads=v["aud_heads"], encoder_ffn_dim=2 * v["aud"], num_mel_bins=128,
                          n_window=100, output_dim=v["d"], max_source_positions=1500),
        audio_token_index=i("<|AUDIO|>"), image_token_index=i("<|IMAGE|>"), video_token_index=i("<|VIDEO|>"), audio_start_token_id=i("<|audio_bos|>"),
        audio_end_token_id=i("<|audio_eos|>"), vision_start_token_id=i("<|vision_bos|>"), vision_end_token_id=i("<|vision_eos|>"), position_id_per_seconds=25,
        seconds_per_chunk=2, pad_token_id=i("<|endoftext|>"), tie_word_embeddings=v["tie"])


@torch.no_grad()
def randomise(model, seed):
    """Weights that make errors visible (fan-in scale), exactly representable as bfloat16."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.dim() >= 2:
            gain = 4.0 if "lm_head" in name else 2.0 if "embed_tokens" in name else 1.0
            p.copy_(torch.randn(p.shape, generator=g) * gain / math.sqrt(p.shape[-1] if "embed" in name else p[0].numel()))
        elif "norm" in name and name.endswith("weight") or name.endswith("ln_q.weight") or name.endswith("ln_post.weight"):
            p.copy_(1 + 0.1 * torch.randn(p.shape, generator=g))
        else:
            p.copy_(0.05 * torch.randn(p.shape, generator=g))
        p.copy_(p.to(torch.bfloat16).float())


def save_checkpoint(model, config, v, tok, path):
    tmp = path.parent / "tmp"
    model.save_pretrained(tmp)
    from safetensors.torch import load_file
    tensors = {k: t.to(torch.bfloat16).contiguous() for k, t in load_file(tmp / "model.safetensors").items()}
    thinker = json.loads((tmp / "config.json").read_text())
    shutil.rmtree(tmp)
    for key in ("architectures", "dtype", "transformers_version"):
        thinker.pop(key, None)
    if v["layout"] == "thinker":
        top = thinker | dict(architectures=["Qwen2_5OmniThinkerForConditionalGeneration"])
    else:
        tensors = {"thinker." + k: t for k, t in tensors.items()} | {"talker.codec_head.weight": torch.zeros(4, 4, dtype=torch.bfloat16)}
        top = dict(architectures=["Qwen2_5OmniModel"], model_type="qwen2_5_omni", enable_audio_output=True, thinker_config=thinker)
    if v["layout"] == "published":
        text = thinker["text_config"]
        rope = text.pop("rope_parameters")
        text |= dict(rope_theta=rope["rope_theta"], rope_scaling=dict(type="default", rope_type="default", mrope_section=rope["mrope_section"]))
    (path / "config.json").write_text(json.dumps(top, indent=1))
    if v["layout"] == "published":
        names, shards = sorted(tensors), 2
        weight_map = {n: f"model-{1 + i * shards // len(names):05d}-of-{shards:05d}.safetensors" for i, n in enumerate(names)}
        for f in set(weight_map.values()):
            save_file({n: tensors[n] for n in names if weight_map[n] == f}, path / f, metadata={"format": "pt"})
        (path / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=weight_map), indent=1))
    else:
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    im_end, eot = tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>")
    (path / "generation_config.json").write_text(json.dumps(dict(eos_token_id=[im_end, eot], pad_token_id=eot, omni={"min-pixels": MIN_PIXELS, "max-pixels": MAX_PIXELS})))


def make_processor(tok, path):
    fast = Qwen2TokenizerFast(tokenizer_object=tok, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens={
        "image_token": "<|IMAGE|>", "audio_token": "<|AUDIO|>", "video_token": "<|VIDEO|>", "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>", "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"})
    fast._tokenizer = tok  # the class may have rebuilt its own pipeline
    pixels = dict(patch_size=14, merge_size=2, temporal_patch_size=2)
    processor = Qwen2_5OmniProcessor(image_processor=Qwen2VLImageProcessor(min_pixels=4 * 784, max_pixels=1280 * 784, **pixels),
                                     video_processor=Qwen2VLVideoProcessor(cap_pixels_per_frame=True, **pixels),
                                     feature_extractor=WhisperFeatureExtractor(feature_size=128, chunk_length=300), tokenizer=fast, chat_template="{{messages}}")
    processor.save_pretrained(path)
    for name in ("tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"):
        (path / name).unlink(missing_ok=True)
    tok.save(str(path / "tokenizer.json"), pretty=False)
    return processor


def make_inputs(c, seed, path):
    rng = np.random.default_rng(seed)
    w, h = c["size"]
    yy, xx = np.mgrid[0:h, 0:w]
    frames = []
    for t in range(c["frames"]):
        base = np.stack([127 + 100 * np.sin(xx / w * (3 + k) + yy / h * 4 + k + 0.3 * t) for k in range(3)], -1)
        base[((xx - (30 + 17 * t) % w) ** 2 + (yy - h / 2) ** 2) < (0.2 * min(w, h)) ** 2] = [230, 40, 30]
        base[: h // 8, :, :] = 255 * ((xx[: h // 8] // 3) % 2)[..., None]  # stripes finer than the resized picture can show
        frames.append((base + rng.normal(0, 4, base.shape)).clip(0, 255).astype(np.uint8))
    frames = np.stack(frames)
    path.mkdir(parents=True, exist_ok=True)
    frames.tofile(path / "video.rgb")
    n = c["audio_samples"]
    t = np.arange(n) / 16000
    audio = (0.3 * np.sin(2 * np.pi * (220 + 60 * np.sin(2 * np.pi * 0.7 * t)) * t) + 0.05 * rng.normal(size=n)) * (0.5 + 0.5 * np.sin(8 * t))
    audio[t < 0.15] = 0.9 * np.sign(np.sin(2 * np.pi * 500 * t[t < 0.15]))  # loudest first: a stream then knows the maximum of the clip
    pcm = (audio.clip(-1, 1) * 32767).astype(np.int16)
    with wave.open(str(path / "audio.wav"), "wb") as f:
        f.setnchannels(1); f.setsampwidth(2); f.setframerate(16000); f.writeframes(pcm.tobytes())
    (path / "input.json").write_text(json.dumps(dict(width=w, height=h, frames=c["frames"], fps=c["fps"], format="RGB", audio_rate=16000, audio_samples=n)))
    return frames, pcm.astype(np.float32) / 32768


@torch.no_grad()
def run_case(name, model, processor, video, audio, fps, tensors, new_tokens=16):
    kw = dict(text=[chat(PROMPT[name])], return_tensors="pt", padding=False)
    if name in ("video", "av"):
        kw |= dict(videos=[video], videos_kwargs=dict(do_sample_frames=False, fps=float(fps), size=dict(shortest_edge=MIN_PIXELS, longest_edge=MAX_PIXELS)))
    if name in ("audio", "av"):
        kw |= dict(audio=[audio])
    if name == "av":
        kw |= dict(load_audio_from_video=True, audio_from_video_indices=[0])
    inputs = processor(**kw)
    inputs = {k: torch.tensor(x) if isinstance(x, (list, tuple)) else x for k, x in inputs.items()}
    keep = lambda k, t, f=torch.float32: tensors.__setitem__(f"{name}.{k}", t.detach().to(f).contiguous().clone())
    keep("input_ids", inputs["input_ids"][0], torch.int64)
    once = name == "av"  # what several cases share is kept once
    if once and "pixel_values_videos" in inputs:
        keep("pixel_values_videos_every8", inputs["pixel_values_videos"][::8], torch.float16)
    if once and "input_features" in inputs:
        keep("input_features", inputs["input_features"][:, :, : int(inputs["feature_attention_mask"].sum())])
    captured, core = {}, model.model
    hooks = [core.visual.register_forward_hook(lambda m, i, o: captured.__setitem__("vision_embeds", o.pooler_output)),
             core.audio_tower.register_forward_hook(lambda m, i, o: captured.__setitem__("audio_embeds", o.last_hidden_state)),
             core.language_model.register_forward_pre_hook(lambda m, a, k: captured.__setitem__("position_ids", k["position_ids"]), with_kwargs=True)]
    out = model(**inputs, use_audio_in_video=(name == "av"), output_hidden_states=True, return_dict=True)
    for h in hooks:
        h.remove()
    positions = captured.pop("position_ids")
    if positions is not None:
        positions = positions[-3:] if positions.dim() == 3 else positions.expand(3, -1)
        keep("position_ids", positions.reshape(3, -1), torch.int64)
    if once:
        for k, x in captured.items():
            keep(k, x)
        keep("hidden_embeds", out.hidden_states[0][0])
    keep("hidden_last_layer", out.hidden_states[-1][0])
    keep("logits_last", out.logits[0, -1])
    gen = model.generate(**inputs, use_audio_in_video=(name == "av"), do_sample=False, max_new_tokens=new_tokens, return_dict_in_generate=True, output_scores=True)
    ids = gen.sequences[0, inputs["input_ids"].shape[1]:]
    keep("generated", ids, torch.int64)
    margins = [float(-s[0].topk(2).values.diff()) for s in gen.scores]
    return dict(user=PROMPT[name], prompt=chat(PROMPT[name]), text=processor.tokenizer.decode(ids, skip_special_tokens=True), min_margin=min(margins))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "tests/fixtures/qwen2_5_omni")
    ap.add_argument("--only", choices=sorted(CASES))
    a = ap.parse_args()
    torch.set_num_threads(1)
    for name, c in CASES.items():
        if a.only and name != a.only:
            continue
        v, path = ARCHITECTURES[c["arch"]], a.out / name
        shutil.rmtree(path, ignore_errors=True)
        (path / "checkpoint").mkdir(parents=True)
        tok = make_tokenizer()
        config = make_config(v, tok)
        torch.manual_seed(v["seed"])
        model = Qwen2_5OmniThinkerForConditionalGeneration._from_config(config, attn_implementation="eager").eval()
        randomise(model, v["seed"])
        model.generation_config.eos_token_id = [tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>")]
        model.generation_config.pad_token_id = tok.token_to_id("<|endoftext|>")
        save_checkpoint(model, config, v, tok, path / "checkpoint")
        processor = make_processor(tok, path / "checkpoint")
        if name != c["arch"]:  # same weights, other inputs
            shutil.rmtree(path / "checkpoint")
            os.symlink(f"../{c['arch']}/checkpoint", path / "checkpoint")
        frames, audio = make_inputs(c, v["seed"], path / "input")
        tensors, info = {}, dict(transformers=transformers.__version__, torch=torch.__version__, cases={})
        for case in PROMPT:
            if case == "text" and name != c["arch"]:
                continue
            info["cases"][case] = run_case(case, model, processor, torch.from_numpy(frames).permute(0, 3, 1, 2), audio, c["fps"], tensors)
            weak = "  <- too small a margin to compare text: take another seed" if info["cases"][case]["min_margin"] < 1e-3 else ""
            print(name, case, repr(info["cases"][case]["text"])[:60], round(info["cases"][case]["min_margin"], 4), weak)
        info["tokenizer"] = [dict(text=t, ids=tok.encode(t).ids, decoded=tok.decode(tok.encode(t).ids, skip_special_tokens=False)) for t in TEXTS]
        save_file(tensors, path / "expected.safetensors")
        (path / "expected.json").write_text(json.dumps(info, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
