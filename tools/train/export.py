"""Writes the checkpoint in the published layout: `python export.py --thinker FOLDER [--net DIR/text.pt [--before NET --share X]] [--voice DIR] --out FOLDER`

thinker  a Thinker in the Hugging Face layout (models/nano itself will do)
net      what train.py left: the Thinker is this one, with the tokenizer beside it; of --thinker only what describes it is taken
before   what --net was trained on from: the weights are the mean of the two, `share` of --net's; of what a short stage taught most is left, and of what it disturbed, little (arXiv:2109.01903)
voice    where train_speech.py left dit.pt, vocoder.pt, talker.pt and rows.pkl, or a checkpoint, whose voice is kept; without it the checkpoint cannot speak
"""
import argparse
import json
import pickle
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, Qwen2_5OmniConfig

import speech
from model import Thinker

COPIED = ("tokenizer.json", "tokenizer_config.json", "processor_config.json", "chat_template.jinja", "generation_config.json", "README.md")
# What nano's voice was tuned with; a property of the checkpoint, so it travels with it.
SPEECH_DEFAULTS = {"voice": "slt", "speech-temperature": 0.0, "speech-top-k": 0, "speech-top-p": 1.0, "speech-repetition-penalty": 1.0, "flow-points": 4, "flow-guidance": 0.5}
OF_THINKER = ("audio_token_index", "image_token_index", "video_token_index", "audio_start_token_id", "audio_end_token_id", "vision_start_token_id", "vision_end_token_id", "position_id_per_seconds",
              "seconds_per_chunk", "spatial_merge_size")


def thinker_of(folder):
    """Config and tensors named as in a Thinker alone."""
    config = json.loads((folder / "config.json").read_text())
    with safe_open(folder / "model.safetensors", "pt") as f:
        tensors = {k: f.get_tensor(k) for k in f.keys()}
    if config["model_type"] == "qwen2_5_omni":
        return config["thinker_config"], {k[len("thinker."):]: t for k, t in tensors.items() if k.startswith("thinker.")}
    return config, tensors


def thinker_of_net(state, before, share, base, out):
    """Writes the Thinker that train.py left, without what only training asked of it."""
    tokenizer = Tokenizer.from_file(str(state.parent / "tokenizer.json"))
    net = Thinker(tokenizer)
    weights = torch.load(state)
    if before:
        weights = {k: share * weights[k].float() + (1 - share) * old.float() for k, old in torch.load(before).items()}
    net.load_state_dict(weights)
    net.hf.to(torch.bfloat16).save_pretrained(out)
    for name in COPIED:
        shutil.copy(state.parent / name if name == "tokenizer.json" else base / name, out / name)
    generation = json.loads((out / "generation_config.json").read_text())
    generation |= dict(bos_token_id=tokenizer.token_to_id("<|endoftext|>"), eos_token_id=tokenizer.token_to_id("<|im_end|>"), pad_token_id=tokenizer.token_to_id("<|endoftext|>"))
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def keep_voice(thinker, checkpoint, out):
    """Writes a checkpoint with another Thinker of the same configuration."""
    with safe_open(checkpoint / "model.safetensors", "pt") as f:
        tensors = {k: f.get_tensor(k) for k in f.keys()}
    tensors |= {"thinker." + k: t for k, t in thinker.items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    for name in ("config.json", "generation_config.json", "spk_dict.pt"):
        shutil.copy(checkpoint / name, out / name)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--thinker", type=Path, required=True)
    a.add_argument("--net", type=Path)
    a.add_argument("--before", type=Path)
    a.add_argument("--share", type=float, default=.5)
    a.add_argument("--voice", type=Path)
    a.add_argument("--out", type=Path, required=True)
    a = a.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    if a.net:
        thinker_of_net(a.net, a.before, a.share, a.thinker, a.out)
        a.thinker = a.out
    thinker_config, tensors = thinker_of(a.thinker)
    for name in COPIED:
        if (a.thinker / name).exists() and a.thinker != a.out:
            shutil.copy(a.thinker / name, a.out / name)
    if not a.voice:
        save_file(tensors, a.out / "model.safetensors", metadata={"format": "pt"})
        (a.out / "config.json").write_text(json.dumps(thinker_config, indent=2) + "\n")
        return
    if (a.voice / "config.json").exists():
        keep_voice(tensors, a.voice, a.out)
        return
    rows = pickle.load(open(a.voice / "rows.pkl", "rb"))
    talker_config, wave_config = speech.talker_config(**rows["ids"]), speech.token2wav_config()
    for key in OF_THINKER:  # the Talker finds the media of its prompt by the Thinker's ids, and gives them the same positions
        setattr(talker_config, key, thinker_config[key] if key in thinker_config else thinker_config["vision_config"][key])
    tensors = {"thinker." + k: t for k, t in tensors.items()}
    for part, prefix in (("talker", "talker."), ("dit", "token2wav.code2wav_dit_model."), ("vocoder", "token2wav.code2wav_bigvgan_model.")):
        weights = torch.load(a.voice / f"{part}.pt")
        tensors |= {prefix + k: t.to(torch.bfloat16).contiguous() for k, t in weights.items() if not k.endswith(".filter") and "inv_freq" not in k}
    save_file(tensors, a.out / "model.safetensors", metadata={"format": "pt"})
    thinker = AutoConfig.for_model(**thinker_config)
    config = Qwen2_5OmniConfig(thinker_config=thinker.to_dict(), talker_config=talker_config.to_dict(), token2wav_config=wave_config.to_dict(), enable_audio_output=True, dtype="bfloat16")
    config.architectures = ["Qwen2_5OmniForConditionalGeneration"]
    config.save_pretrained(a.out)
    (a.out / "model.safetensors").chmod(0o644)
    voice = torch.load(a.voice / "voice.pt")
    torch.save({"slt": dict(bos_token=rows["ids"]["bos"], cond=voice["cond"][None], ref_mel=voice["reference"].contiguous())}, a.out / "spk_dict.pt")
    generation = json.loads((a.out / "generation_config.json").read_text())
    generation["omni"] |= SPEECH_DEFAULTS
    (a.out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


if __name__ == "__main__":
    main()
