"""How well nano converses: streams in which voices that were never trained on ask about what never was, answered by gst-omni with `trigger=turn` and turns remembered, counted.
`python evaluate_talk.py MODEL --banks DIR/banks [--conversations 300] [--minutes 30] [--out FILE.json]`

understood  the answer is of the kind that was asked for;  right  it is the one right answer;  follow-ups  right answers to what only the turns before explain, or the picture that is there now;
false answers  to talk of others that was never trained on, and to short sentences that sound like questions."""
import argparse
import json
import random
import subprocess
import time
from pathlib import Path

import numpy as np
import torch

from clips import Clips
from evaluate import ROOT, Counts, per_minute
from talk import OTHERS, Run, Talk
from vocabulary import FRAMES, LABELS, NOISES, RATE, TOKEN

CONTEXT = 20000  # ms
ZONES = {f"{a} {b}" for a in ("top", "middle", "bottom") for b in ("left", "center", "right")} | {"nothing"}
SOUNDS = {"silence.", "ticks.", "music.", "hum."} | {n + "." for n in NOISES}
FOLLOWING = ("now", "larger", "repeat")
NOT_ASKED = (*OTHERS, "stop")


def form(answer):
    """What kind of question has such an answer."""
    if answer in ZONES:
        return "where"
    if answer in SOUNDS or answer.endswith(" tone."):
        return "audio"
    if answer in ("No fault.", "Video frozen.", "Black picture.", "No signal."):
        return "fault"
    return "count" if answer.isdigit() else "larger" if answer in LABELS else answer if answer in ("", "ready") else "video"


class GstOmni:
    def __init__(self, model):
        self.p = subprocess.Popen([str(ROOT / "tools/env"), str(ROOT / "build/tests/answer_talk"), str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, frames, wave):
        """[(s, answer)] of the turns in a stream."""
        n, h, w = frames.shape[:3]
        self.p.stdin.write(f"talk {w} {h} {n} {len(wave)} {CONTEXT}\n".encode() + np.ascontiguousarray(frames).tobytes() + wave.astype(np.float32).tobytes())
        self.p.stdin.flush()
        out = []
        while (line := self.p.stdout.readline().decode().rstrip("\n")) != "end":
            if not line:
                raise RuntimeError("gst-omni ended")
            time, _, answer = line.partition(" ")
            out.append((int(time) / 1000, answer))
        return out


def shown(video, run):
    """The frames of a run: its video at the end, before it what that begins with."""
    n = round(run.tokens * TOKEN / RATE * 2)
    frames = video.frames[-n:]
    return np.concatenate([np.resize(frames[:2], (n - len(frames), *frames.shape[1:])), frames])


def conversations(talk, answer, count, n, wrong):
    r = talk.r
    shapes = [s for s in FRAMES if (s, "snow") in talk.clips.patterns]
    for _ in range(n):
        shape, runs = r.choice(shapes), [Run(r.choice([75, 100, 100, 125]), 0) for _ in range(3)]
        videos = talk.scenes(shape, runs)
        said = talk.conversation(videos, runs)
        answers = answer(np.concatenate([shown(v, run) for v, run in zip(videos, runs)]), np.concatenate([s.wave for s in said]))
        begin = 0
        for k, (s, run) in enumerate(zip(said, runs)):
            got = " ".join(a for time, a in answers if begin + s.end < time <= begin + s.end + 1)
            begin += run.tokens * TOKEN / RATE
            if s.kind in NOT_ASKED:
                count.add(f"silent: {s.kind}", got == "")
                continue
            count.add("understood", form(got) == form(s.answer))
            count.add("right", got == s.answer)
            count.add(f"right: {s.kind}", got == s.answer)
            if k and s.kind in FOLLOWING:
                count.add("follow-ups", got == s.answer)
            if got != s.answer:
                wrong.append(f"{s.text}: {s.answer} -> {got}")


def others(talk, answer, minutes):
    """False answers a minute of talk of others, and how many turns there were."""
    r, false, turns, examples = talk.r, 0, 0, []
    shapes = [s for s in FRAMES if (s, "snow") in talk.clips.patterns]
    for _ in range(minutes):
        wave, at = talk.clips.np.normal(0, 3e-4, 60 * RATE).astype(np.float32), int(.5 * RATE)
        while at < 58 * RATE:
            x = talk._others(int(r.uniform(2, 12) * RATE))[: 59 * RATE - at] * r.uniform(.2, 1)
            wave[at : at + len(x)] += x
            at += len(x) + int(r.uniform(.7, 2) * RATE)
        shape = r.choice(shapes)
        frames = np.concatenate([talk.clips.video(shape, 6).frames for _ in range(20)])
        said = answer(frames, np.clip(wave, -1, 1))
        turns, false = turns + len(said), false + sum(a != "" for _, a in said)
        examples += [a for _, a in said if a]
    return dict(per_minute(false, minutes), false=false, turns=turns), examples


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model", type=Path)
    a.add_argument("--banks", type=Path, required=True)
    a.add_argument("--conversations", type=int, default=300)
    a.add_argument("--minutes", type=int, default=30)
    a.add_argument("--seed", type=int, default=78)
    a.add_argument("--out", type=Path)
    a = a.parse_args()
    torch.set_num_threads(1)
    clips, begun, wrong = Clips(a.seed, a.banks / "unseen.pkl", unseen=True), time.time(), []
    talk, count, answer = Talk(clips, a.banks / "talk-unseen.pkl", silence=.8), Counts(), GstOmni(a.model.resolve())
    conversations(talk, answer, count, a.conversations, wrong)
    print(f"conversations: {time.time() - begun:.0f} s")
    false, examples = others(talk, answer, a.minutes)
    print("\n".join(random.Random(0).sample(wrong, min(40, len(wrong))) + examples[:20]))
    out = dict(rows=count.report(), false_answers=false)
    print(json.dumps(out["false_answers"]))
    for row, x in out["rows"].items():
        print(f"{row:30s} {100 * x['share']:5.1f} %  [{100 * x['interval'][0]:.1f}, {100 * x['interval'][1]:.1f}]  n = {x['n']}")
    if a.out:
        a.out.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
