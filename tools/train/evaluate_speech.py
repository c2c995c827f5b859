"""How well nano is understood: Whisper-base's word error rate on unseen sentences, said by gst-omni, by transformers from the same checkpoint, and by the teacher.

    python evaluate_speech.py --model models/nano --whisper models/whisper-base --ours build/tests/bench_speech [--sentences 100] [--out out/speech]

The sentences are those that the teacher's `unseen` part has (sentences.py, seed 777). Both sides speak greedily and are told the same reply, so that only the speaking
half is compared."""
import argparse
import functools
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly
from tokenizers import Tokenizer
from transformers import Qwen2_5OmniForConditionalGeneration, WhisperFeatureExtractor, WhisperForConditionalGeneration

from sentences import sentences, spoken, words_of
from vocabulary import SYSTEM

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


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[:], i
        for j, y in enumerate(b, 1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
    return row[-1]


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


class Transformers:
    """The reference, made to say a given reply: the Thinker's result is that of reading it."""

    def __init__(self, folder):
        self.model = Qwen2_5OmniForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        m, forward = self.model, self.model.talker.forward

        @functools.wraps(forward)  # generate() drops a mask of ones, and the Talker then leaves out what it was trained with: put it back
        def with_mask(*args, **k):
            if k.get("attention_mask") is None:
                past = k["past_key_values"].get_seq_length() if k.get("past_key_values") is not None else 0
                k["attention_mask"] = torch.ones(1, past + (k["inputs_embeds"] if k.get("inputs_embeds") is not None else k["input_ids"]).shape[1], dtype=torch.long)
            return forward(*args, **k)
        m.talker.forward = with_mask
        m.talker._validate_model_kwargs = lambda *_: None
        m.thinker.generate = self._read

    def _read(self, input_ids, **_):
        whole = torch.cat([input_ids, torch.tensor([self.reply])], 1)
        n = input_ids.shape[1]
        embedded = self.model.thinker.get_input_embeddings()(whole)
        last = self.model.thinker.model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        steps = [(embedded[:, :n], last[:, :n])] + [(embedded[:, i : i + 1], last[:, i : i + 1]) for i in range(n, whole.shape[1])]
        return SimpleNamespace(hidden_states=tuple(steps), sequences=torch.cat([whole, torch.tensor([[self.tokenizer.token_to_id("<|im_end|>")]])], 1))

    def say(self, text, path):
        self.reply = self.tokenizer.encode(text).ids
        c = self.model.config.talker_config
        prompt = self.tokenizer.encode(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n").ids
        voice = next(iter(self.model.speaker_map))
        g = __import__("json").loads((Path(self.model.config._name_or_path) / "generation_config.json").read_text())["omni"]
        with torch.no_grad():
            _, wave = self.model.generate(input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), speaker=voice, talker_do_sample=False, talker_max_new_tokens=400,
                                          talker_repetition_penalty=g["speech-repetition-penalty"], talker_eos_token_id=[c.tts_codec_pad_token_id, c.tts_codec_end_token_id],
                                          token2wav_num_steps=g["flow-points"], token2wav_guidance_scale=g["flow-guidance"])
        soundfile.write(path, wave.reshape(-1).numpy(), 24000)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", type=Path, required=True)
    a.add_argument("--whisper", type=Path, required=True)
    a.add_argument("--ours", type=Path, required=True)
    a.add_argument("--sentences", type=int, default=100)
    a.add_argument("--out", type=Path, default=Path("out/speech"))
    a.add_argument("--teacher", action="store_true", help="needs festival")
    a.add_argument("--only-ours", action="store_true")
    a = a.parse_args()
    texts = sentences(160, 777)[: a.sentences]
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "sentences.txt").write_text("\n".join(texts) + "\n")
    folders = {"gst-omni": a.out / "ours"}
    subprocess.run([a.ours, a.model, "--say", a.out / "sentences.txt", folders["gst-omni"]], check=True)
    if not a.only_ours:
        folders["transformers"] = a.out / "transformers"
        folders["transformers"].mkdir(exist_ok=True)
        reference = Transformers(a.model)
        for i, text in enumerate(texts):
            reference.say(text, folders["transformers"] / f"{i}.wav")
    if a.teacher:
        import teacher
        folders["teacher"] = a.out / "teacher"
        folders["teacher"].mkdir(exist_ok=True)
        for i, (_, samples, _, _) in enumerate(teacher.say(texts)):
            soundfile.write(folders["teacher"] / f"{i}.wav", samples, 24000)
    listen = Listener(a.whisper)
    for who, folder in folders.items():
        wrong = total = 0
        lines = []
        for i, text in enumerate(texts):
            expected, heard = words(spoken(text)), listen(folder / f"{i}.wav") if (folder / f"{i}.wav").stat().st_size > 1000 else ""
            e = distance(expected, words(heard))
            wrong, total = wrong + e, total + len(expected)
            lines.append(f"{e}\t{text}\t{heard.strip()}")
        (a.out / f"{who}.tsv").write_text("\n".join(lines) + "\n")
        half = 1.96 * (wrong / total * (1 - min(1, wrong / total)) / total) ** .5
        print(f"{who}: word error rate {100 * wrong / total:.1f} % ± {100 * half:.1f} ({wrong} of {total} words, {len(texts)} sentences)", flush=True)


if __name__ == "__main__":
    main()
