"""How good nano is: questions about clips that were never trained on, answered by gst-omni, counted.  `python evaluate.py MODEL --banks DIR/banks [--clips 300] [--out FILE.json]`

The clips are composed of the bank `unseen`: real GStreamer output at other sizes and frame rates, other voices, other pictures of the objects. Each row counts at least --clips clips and has
its 95 % interval (Wilson). Then pictures, speech and music that it was not made for, of the bank `foreign-unseen`: does it say so, or invent. --transformers N also asks transformers about N clips and counts equal answers."""
import argparse
import json
import math
import random
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import chi2

import questions
from clips import OWN_SOUND, OWN_VIDEO, SOUND_KINDS, Clips
from vocabulary import FRAMES, LABELS, LEVELS, OTHER, WORDS

TIME = re.compile(r"(from|until|at) [\d.]+ s")
ROOT = Path(__file__).resolve().parent.parent.parent


def interval(right, n):
    """Wilson's 95 % interval of a share."""
    if n == 0:
        return 0.0, 1.0
    p, z = right / n, 1.96
    middle, half = (p + z * z / 2 / n) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
    return middle - half, middle + half


class GstOmni:
    def __init__(self, model, threads=1):
        self.p = subprocess.Popen([str(ROOT / "tools/env"), str(ROOT / "build/tests/answer_clips"), str(model), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, video, audio, asked):
        frames = video.frames if video else np.zeros((0, 1, 1, 3), np.uint8)
        wave = audio.wave if audio else np.zeros(0, np.float32)
        n, h, w = frames.shape[:3]
        tracks = (2 if audio else 0) + (1 if video else 0)
        self.p.stdin.write(f"clip {w} {h} {n} {len(wave)} {len(asked)} {int(n == 1)} {tracks}\n".encode() + frames.tobytes() + wave.astype(np.float32).tobytes() + "".join(q + "\n" for q in asked).encode())
        self.p.stdin.flush()
        answers = [self.p.stdout.readline().decode().rstrip("\n").split(" ", 1) for _ in asked]
        self.ms = float(answers[0][0]) if answers else 0
        return [a[1] for a in answers]


def boxes_of(text):
    """[(label, x1, y1, x2, y2)] of an answer; nothing if it does not parse."""
    try:
        found = [(o["label"], *o["bbox_2d"]) for o in json.loads(text)]
        return found if all(len(b) == 5 for b in found) else []
    except (ValueError, KeyError, TypeError):
        return []


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, w) * max(0, h)
    return both / max(1e-6, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


class Counts:
    def __init__(self):
        self.rows = {}

    def add(self, row, right):
        r = self.rows.setdefault(row, [0.0, 0])
        r[0] += float(right)
        r[1] += 1

    def report(self):
        return {row: dict(share=round(s / n, 4), n=n, interval=[round(x, 3) for x in interval(s, n)]) for row, (s, n) in sorted(self.rows.items())}


def level_of(phrase):
    return next((l for l in ("loud", "quiet") if ", " + l in phrase), "")


def sound_of(phrase):
    return re.sub(r", (loud|quiet|lost at .*)", "", phrase.rstrip(".")).split(":")[0]


def judge_boxes(count, row, true, said):
    """Best pairs first. recall@.5 whatever the label; labels of the pairs found."""
    left, pairs = list(said), []
    for t in true:
        best = max(left, key=lambda b: iou(t[1:], b[1:]), default=None)
        value = iou(t[1:], best[1:]) if best else 0
        if best and value > .1:
            left.remove(best)
        count.add(row + " mean IoU", value)
        count.add(row + " recall@.5", value >= .5)
        if value >= .5:
            count.add(row + " label", best[0] == t[0])
        pairs.append(value)


def ask(count, answer, r, video, audio, clean, mode):
    v, a = video, audio
    pairs = questions.answers(v, a, r)
    asked = [questions.question(k, label, r) for k, _, label in pairs]
    said = answer(v, a, asked)
    count.ms.append(answer.ms)
    quality = "clean" if clean else "degraded"
    for (kind, true, _), got in zip(pairs, said):
        if kind in ("video", "caption") and v:
            count.add("own picture called other", OTHER in got)
        if kind in ("audio", "caption") and a and a.words:
            count.add("own words called speech of others", got.endswith("speech."))
        if kind == "video":
            count.add(f"{mode}: video caption, {quality}", got == true)
            count.add(f"video caption of a {v.kind}, {quality}", got == true)
        elif kind == "caption":
            count.add(f"{mode}: whole caption, {quality}", got == true)
        elif kind == "audio":
            count.add("sound class", sound_of(got) == sound_of(true))
            if a.level >= 0:
                count.add("sound level", level_of(got) == LEVELS[a.level])
            if a.words:
                count.add("words, whole answer", got == true)
        elif kind == "word" and a.words:
            for i, w in enumerate(a.words):
                heard = got.split()
                count.add("words", i < len(heard) and heard[i] == w)
        elif kind == "fault":
            has = true != "No fault."
            count.add("fault reports, exact, where there is one" if has else "no fault where there is none", got == true)
            if has:
                count.add("fault reports but for their times", TIME.sub("", got) == TIME.sub("", true))
        elif kind == "count":
            count.add("counts", got == true)
        elif kind in ("where", "motion"):
            count.add(kind, got == true)
        elif kind == "detect" and v.boxes[-1]:
            judge_boxes(count, "ball" if v.kind == "ball" else "objects", questions.seen(v, -1), boxes_of(got))
            if v.kind == "ball":
                t, b = questions.seen(v, -1)[0], (boxes_of(got) or [("", -99, -99, -99, -99)])[0]
                count.pixels.append(max(abs((t[1] + t[3] - b[1] - b[3]) / 2), abs((t[2] + t[4] - b[2] - b[4]) / 2)))
    return pairs, asked, said


def invented(got):
    """The words and the objects that an answer claims to hear and see."""
    heard = [w for said in re.findall(r"speech: ([^.]*)", got) for w in said.split()]
    return heard, [l for l in LABELS if re.search(rf"\b{l}\b", got.split("Audio:")[0])]


def per_minute(events, minutes):
    """With its 95 % interval (Poisson, exact)."""
    low = chi2.ppf(.025, 2 * events) / 2 if events else 0.0
    return dict(per_minute=round(events / minutes, 3), interval=[round(x / minutes, 3) for x in (low, chi2.ppf(.975, 2 * events + 2) / 2)], minutes=round(minutes, 1))


def foreign(clips, r, count, answer, shapes, n):
    """Rows about what it was not made for. Returns invented words per minute of foreign speech, and examples of what it said wrongly."""
    asked, words, wrong = [questions.question(k, None) for k in ("caption", "video", "detect", "count", "fault", "audio", "word")], 0, []
    only = lambda kind: [float(k == kind) for k in SOUND_KINDS]
    for _ in range(n):
        video, audio = clips.video(r.choice(shapes), 4, (0, 0, 0, 1)), clips.audio(2, only("other speech"))
        caption, picture, boxes, number, fault, sound, word = answer(video, audio, asked)
        heard, seen = invented(caption)
        words += max(len(heard), len(invented(sound)[0]), sum(w in WORDS for w in word.split()))
        count.add("foreign picture: false objects", bool(seen or invented(picture)[1] or boxes != "[]" or number != "0"))
        count.add("foreign picture: caption", picture == questions.picture_phrase(video) + ".")
        count.add("foreign picture: fault report", fault == questions.fault(video, audio))
        count.add("foreign speech: told as speech", sound == "speech.")
        if caption != questions.caption(video, audio):
            wrong.append(f"{questions.caption(video, audio)} -> {caption}")
    for _ in range(n):
        audio = clips.audio(2, only("other music"))
        count.add("foreign music: exact", answer(None, audio, ["What do you hear?"])[0] == audio.phrase + ".")
    return per_minute(words, n * 2 / 60), wrong


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model", type=Path)
    a.add_argument("--banks", type=Path, required=True)
    a.add_argument("--clips", type=int, default=300)
    a.add_argument("--seed", type=int, default=77)
    a.add_argument("--transformers", type=int, default=0)
    a.add_argument("--out", type=Path)
    a = a.parse_args()
    torch.set_num_threads(1)
    clips, r, count, begun = Clips(a.seed, a.banks / "unseen.pkl", unseen=True), random.Random(a.seed), Counts(), time.time()
    count.pixels, count.ms = [], []
    answer = GstOmni(a.model.resolve())
    degrade, shapes = clips._degrade, [s for s in FRAMES if (s, "snow") in clips.patterns]
    held = []
    # Each clip twice over: clean ones and degraded ones; patterns, balls and objects in equal shares, so that every row has its clips.
    for clean in (True, False):
        clips._degrade = (lambda v: None) if clean else degrade
        for kind in range(3):
            for i in range(a.clips):
                video, audio = clips.video(r.choice(shapes), 4, [float(kind == k) for k in range(4)]), clips.audio(2, OWN_SOUND)
                asked = ask(count, answer, r, video, audio, clean, "picture and sound")
                if len(held) < a.transformers and i % 2 == 0:
                    held.append((video, audio, asked[1][0], asked[2][0]))
            print(f"{'clean' if clean else 'degraded'} {('patterns', 'balls', 'objects')[kind]}: {time.time() - begun:.0f} s", flush=True)
    for mode, frames, seconds in (("picture alone", 4, 0), ("still", 1, 0), ("sound alone", 0, 2), ("one second", 2, 1)):
        for _ in range(a.clips):
            ask(count, answer, r, clips.video(r.choice(shapes), frames, OWN_VIDEO) if frames else None, clips.audio(seconds, OWN_SOUND) if seconds else None, False, mode)
    clips._degrade = degrade
    inventions, examples = foreign(clips, r, count, answer, shapes, a.clips)
    print("\n".join(examples[:20]))
    out = dict(rows=count.report(), invented_words=inventions, ball_pixels=dict(median=float(np.median(count.pixels)), mean=float(np.mean(count.pixels))), ms=dict(median=float(np.median(count.ms)), p95=float(np.percentile(count.ms, 95))))
    if held:
        from thinker_rows import Reader
        reader, same = Reader(a.model), 0
        with torch.no_grad():
            for video, audio, question, said in held:
                given = reader.inputs(video, audio, question + "<|im_end|>\n<|im_start|>assistant\n")
                ids = reader.thinker.generate(**given, do_sample=False, max_new_tokens=160, eos_token_id=reader.tokenizer.token_to_id("<|im_end|>"))[0, given["input_ids"].shape[1] :]
                same += reader.tokenizer.decode(ids.tolist()) == said
        out["same as transformers"] = f"{same} of {len(held)}"
    print(json.dumps(out, indent=1))
    for row, x in out["rows"].items():
        print(f"{row:55s} {100 * x['share']:5.1f} %  [{100 * x['interval'][0]:.1f}, {100 * x['interval'][1]:.1f}]  n = {x['n']}")
    if a.out:
        a.out.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
