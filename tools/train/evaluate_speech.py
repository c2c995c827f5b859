"""How well nano is understood when it answers aloud: Whisper-base's word error rate against the text of its own answers, for gst-omni and for transformers from the same checkpoint.

    python evaluate_speech.py --model models/nano --whisper models/whisper-base --banks DIR/banks [--clips 100] [--out out/speech]

The clips come from the bank that was never trained on. Both sides see the same frames and samples, answer and speak greedily, in float32, and begin the flow with the same
noise: with noise of its own each, two runs of one side differ by some points."""
import argparse
import functools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly
from tokenizers import Tokenizer
from transformers import Qwen2_5OmniForConditionalGeneration, WhisperFeatureExtractor, WhisperForConditionalGeneration

from clips import OWN_SOUND, Clips
from sentences import spoken, words_of
from thinker_rows import Reader
from vocabulary import FRAMES

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "tools/check"))
from word_errors import word_errors  # noqa: E402
QUESTIONS = ("Describe the feed.", "What does the video show?", "What do you hear?", "Any fault?")
HEARD_ALIKE = {"colour": "color", "grey": "gray", "centre": "center", "for": "four", "to": "two", "too": "two", "tics": "ticks", "tix": "ticks", "ate": "eight", "simpti": "simpty", "smpte": "simpty",
               "simptee": "simpty", "hz": "hertz", "rp": "r p"}


def words(text):
    """What was said, as words: numbers spelled out, homophones and two spellings of one word alike."""
    text = re.sub(r"(?<=\d),(?=\d)", "", text.lower()).replace("%", " percent ")
    text = re.sub(r"(\d)\.(\d)", r"\1 point \2", text)
    text = re.sub(r"[^a-z0-9 ]", " ", text)
    out = []
    for w in text.split():
        m = re.fullmatch(r"(\d+)(hz|s)?", w)
        out += (words_of(int(m[1])).split() + ([{"hz": "hertz", "s": "seconds"}[m[2]]] if m[2] else [])) if m and int(m[1]) < 1_000_000 else HEARD_ALIKE.get(w, w).split()
    return out


class Listener:
    def __init__(self, folder):
        self.model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.features, self.tokenizer = WhisperFeatureExtractor.from_pretrained(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))

    def __call__(self, path):
        x, rate = soundfile.read(path, dtype="float32")
        x = np.concatenate([np.zeros(4000, np.float32), resample_poly(x, 16000, rate).astype(np.float32), np.zeros(8000, np.float32)])
        f = self.features(x, sampling_rate=16000, return_tensors="pt").input_features
        with torch.no_grad():
            return self.tokenizer.decode(self.model.generate(f, language="en", task="transcribe", max_new_tokens=100)[0].tolist())


def flow_noise(frames, bands, seed=0):
    """What seeded_noise() of runtime/session/speech_stream.cc gives: [1, frames, bands]"""
    with np.errstate(over="ignore"):
        def mixed(x):
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
            return x ^ (x >> np.uint64(31))
        start = mixed(np.array([seed], np.uint64) + np.uint64(0x9e3779b97f4a7c15))
        bits = mixed(mixed(start ^ np.arange(frames, dtype=np.uint64))[:, None] ^ np.arange(0, bands, 2, dtype=np.uint64))
    u, v = ((bits >> np.uint64(32)).astype(float) + 1) / 4294967297, (bits & np.uint64(0xffffffff)).astype(float) / 4294967296
    radius = np.sqrt(-2 * np.log(u))
    return torch.from_numpy(np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], -1).reshape(1, frames, bands).astype(np.float32))


class Transformers(Reader):
    """The reference, answering aloud."""

    def __init__(self, folder):
        super().__init__(folder)
        self.model = m = Qwen2_5OmniForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.settings = json.loads((folder / "generation_config.json").read_text())["omni"]
        forward = m.talker.forward

        @functools.wraps(forward)  # generate() drops a mask of ones, and the Talker then leaves out what it was trained with: put it back
        def with_mask(*args, **k):
            if k.get("attention_mask") is None:
                past = k["past_key_values"].get_seq_length() if k.get("past_key_values") is not None else 0
                k["attention_mask"] = torch.ones(1, past + (k["inputs_embeds"] if k.get("inputs_embeds") is not None else k["input_ids"]).shape[1], dtype=torch.long)
            return forward(*args, **k)
        m.talker.forward = with_mask
        sample, randn, noise = m.token2wav.code2wav_dit_model.sample, torch.randn, flow_noise(30000, m.config.token2wav_config.dit_config.mel_dim)

        def with_noise(*args, **k):
            torch.randn = lambda shape, **_: noise[:, : shape[1]].clone()
            try:
                return sample(*args, **k)
            finally:
                torch.randn = randn
        m.token2wav.code2wav_dit_model.sample = with_noise
        m.talker._validate_model_kwargs = lambda *_: None

    def say(self, video, audio, question, path):
        c, g = self.model.config.talker_config, self.settings
        given = self.inputs(video, audio, question + "<|im_end|>\n<|im_start|>assistant\n")
        with torch.no_grad():
            ids, wave = self.model.generate(**given, speaker=next(iter(self.model.speaker_map)), thinker_do_sample=False, thinker_max_new_tokens=64, talker_do_sample=False, talker_max_new_tokens=400,
                                            talker_repetition_penalty=g["speech-repetition-penalty"], talker_eos_token_id=[c.tts_codec_pad_token_id, c.tts_codec_end_token_id],
                                            token2wav_num_steps=g["flow-points"], token2wav_guidance_scale=g["flow-guidance"])
        soundfile.write(path, wave.reshape(-1).numpy(), 24000)
        return self.tokenizer.decode(ids[0, given["input_ids"].shape[1] :].tolist(), skip_special_tokens=True)


def ours(model, video, audio, question, folder):
    """The same through the elements."""
    w, h = FRAMES[video.shape]
    (folder / "clip.rgb").write_bytes(video.frames.tobytes())
    soundfile.write(folder / "clip.wav", audio.wave, 16000, subtype="FLOAT")
    text, wave = folder / "answer.txt", folder / "answer.wav"
    subprocess.run(f"{ROOT}/tools/env gst-launch-1.0 -q filesrc location={folder}/clip.rgb ! rawvideoparse format=rgb width={w} height={h} framerate=2/1 ! "
                   f"omnivideotokenizer model-path={model} precision=float32 ! m.video_0 filesrc location={folder}/clip.wav ! wavparse ! omniaudiotokenizer ! m.audio_0 "
                   f"omnimodel name=m trigger=eos prompt='{question}' m.text_0 ! filesink location={text} m.speech_0 ! wavenc ! filesink location={wave}", shell=True, check=True)
    return text.read_text(), wave


def same_sound(a, b):
    """The codes were the same: as many samples, and what differs is 30 dB below the sound."""
    (x, _), (y, _) = soundfile.read(a, dtype="float32"), soundfile.read(b, dtype="float32")
    return len(x) == len(y) and len(x) > 0 and float(np.square(x - y).sum()) <= 1e-3 * float(np.square(y).sum())


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", type=Path, required=True)
    a.add_argument("--whisper", type=Path, required=True)
    a.add_argument("--banks", type=Path, required=True)
    a.add_argument("--clips", type=int, default=100)
    a.add_argument("--out", type=Path, default=Path("out/speech"))
    a.add_argument("--only-ours", action="store_true")
    a.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="every N-th clip from I on, for several processes")
    a = a.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    clips, r = Clips(4242, a.banks / "unseen.pkl", unseen=True), random.Random(4242)
    listen, reference = Listener(a.whisper), None if a.only_ours else Transformers(a.model)
    counts, lines, same, sounds = {}, [], 0, 0

    def count(who, text, path, number):
        heard = listen(path) if path.stat().st_size > 1000 else ""
        expected = words(spoken(text))
        e = word_errors(expected, words(heard))
        c = counts.setdefault(who, [0, 0, 0])
        c[0], c[1], c[2] = c[0] + e, c[1] + len(expected), c[2] + 1
        lines.append(f"{number}\t{who}\t{e}\t{text}\t{heard.strip()}")

    for number in range(a.clips):
        video, audio, question = clips.video(r.choice(["wide", "classic"]), 4, (.7, .3, 0, 0)), clips.audio(2, OWN_SOUND), r.choice(QUESTIONS)
        if number % a.part[1] != a.part[0]:
            continue
        text, wave = ours(a.model, video, audio, question, a.out)
        count("gst-omni", text, wave, number)
        if reference:
            other = reference.say(video, audio, question, a.out / "reference.wav")
            same += other == text
            sounds += other == text and same_sound(wave, a.out / "reference.wav")
            count("transformers", other, a.out / "reference.wav", number)
        (a.out / "words.tsv").write_text("\n".join(lines) + "\n")
        if sum(c[2] for c in counts.values()) % 20 == 0:
            print(number + 1, {k: f"{100 * w / max(1, n):.1f} %" for k, (w, n, _) in counts.items()}, flush=True)
    for who, (wrong, total, n) in counts.items():
        half = 1.96 * (min(1, wrong / total) * (1 - min(1, wrong / total)) / total) ** .5
        print(f"{who}: word error rate {100 * wrong / total:.1f} % ± {100 * half:.1f} ({wrong} of {total} words, {n} answers)")
    if reference:
        print(f"the same text: {same} of {counts['gst-omni'][2]}; of these the same codes: {sounds}")


if __name__ == "__main__":
    main()
