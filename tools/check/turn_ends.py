#!/usr/bin/env python3
"""tools/check/turn_ends.py MODEL [--seed N] [--keep DIR] [FOLDER…]: when turns are found to be over, with MODEL (`tools/fetch-model smart-turn`) and by silence alone.

200 scripted utterances of people: sentences of 1.5 to 7 s from the folders of wav files (those of asterisk-core-sounds-en-wav, -fr-, -it- and -ru-wav: four voices, by telephone), 150 of them with
a pause of .2 to 1.5 s between two words, where it is quietest; a third each as recorded, with white noise at 20 dB and at 10 dB. A turn that is found over before the last word is a cut-off; the delay
is from the end of the last word until it is found. Needs gst-launch-1.0, numpy and build/tests/bench_turns.
"""
import argparse
import pathlib
import random
import subprocess
import tempfile
import wave

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RATE, N, STEP = 16000, 200, 160  # STEP: 10 ms
QUIET = .02  # of the loudest


def read(path, folder):
    out = folder / "16k.wav"
    subprocess.run(["gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "wavparse", "!", "audioconvert", "!", "audioresample", "!", f"audio/x-raw,format=S16LE,rate={RATE},channels=1", "!", "wavenc",
                    "!", "filesink", f"location={out}"], check=True)
    with wave.open(str(out)) as f:
        x = np.frombuffer(f.readframes(f.getnframes()), np.int16).astype(np.float32)
    return .3 * x / max(1, np.abs(x).max())


def sentences(folder, work):
    """Without what is silent around them, in a row of their own; only those that nobody pauses in."""
    for path in sorted(folder.glob("*.wav")):
        with wave.open(str(path)) as f:
            if not 1.5 < f.getnframes() / f.getframerate() < 7:
                continue
        x = read(path, work)
        heard = np.nonzero(np.abs(x) > .3 * QUIET)[0]
        x = x[heard[0] : heard[-1] + 1]
        loud = [np.abs(x[i : i + STEP]).max() > .3 * QUIET for i in range(0, len(x), STEP)]
        longest = max(map(len, "".join("x" if l else " " for l in loud).split("x")))
        if len(x) > 1.3 * RATE and longest < 20:
            yield x


def hesitating(x, pause):
    """With silence where the middle of the sentence is quietest; and where that lies."""
    n, fade = len(x), STEP
    energy = np.convolve(x * x, np.ones(4 * STEP) / (4 * STEP), "same")
    at = int(.3 * n) + int(np.argmin(energy[int(.3 * n) : int(.75 * n)]))
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    x = x.copy()
    x[at - fade : at] *= ramp[::-1]
    x[at : at + fade] *= ramp
    return np.concatenate([x[:at], np.zeros(int(pause * RATE), np.float32), x[at:]]), at


def utterances(seed, folders, work):
    """name, pause or None, where it begins, where the last word ends (seconds), samples"""
    r, noise = random.Random(seed), np.random.default_rng(seed)
    of = [list(sentences(f, work)) for f in folders]
    for some in of:
        r.shuffle(some)
    for i in range(N):
        voice, pause, at = i % len(folders), .2 + 1.3 * r.random() if i % 8 < 6 else None, 0
        x = of[voice][i // len(folders) % len(of[voice])]
        if pause:
            x, at = hesitating(x, pause)
        lead, tail = int(.5 * RATE), int(3 * RATE)
        y = np.concatenate([np.zeros(lead, np.float32), x, np.zeros(tail, np.float32)])
        if i % 3:
            level = np.sqrt(np.mean(x[np.abs(x) > .3 * QUIET] ** 2)) / (10 if i % 3 == 1 else 10 ** .5)
            y += level * noise.standard_normal(len(y)).astype(np.float32)
        yield f"{folders[voice].name}-{('clean', '20dB', '10dB')[i % 3]}", pause, (lead + at) / RATE, (lead + len(x)) / RATE, np.clip(y, -1, 1)


def report(title, delays):
    """delays: None for a cut-off"""
    found = sorted(d for d in delays if d is not None)
    cut = len(delays) - len(found)
    at = lambda p: 1000 * found[round(p * (len(found) - 1))] if found else float("nan")
    print(f"{title:28} {len(delays):4} turns, cut off {cut:3} ({100 * cut / max(1, len(delays)):.1f} %), delay p50 {at(.5):.0f} ms, p95 {at(.95):.0f} ms, most {at(1):.0f} ms")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model")
    a.add_argument("folders", nargs="*", type=pathlib.Path)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--keep", type=pathlib.Path, help="the utterances are written here as wav files, with told.txt: file, pause, where it begins, end")
    a.add_argument("--silence", type=int, default=500, help="turn-silence, in ms")
    a = a.parse_args()
    folders = a.folders or sorted(pathlib.Path("/usr/share/asterisk/sounds").glob("*_*"))
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        folder = a.keep or work
        folder.mkdir(exist_ok=True)
        told = []
        for i, (name, pause, begin, end, y) in enumerate(utterances(a.seed, folders, work)):
            path = folder / f"{i:03}-{name}.wav"
            with wave.open(str(path), "wb") as f:
                f.setparams((1, 2, RATE, 0, "NONE", ""))
                f.writeframes((32767 * y).astype(np.int16).tobytes())
            told.append((path, name, pause, begin, end))
        if a.keep:
            (folder / "told.txt").write_text("".join(f"{p.name} {pause or 0:.3f} {begin:.3f} {end:.3f}\n" for p, _, pause, begin, end in told))
        for title, model in (("by silence alone", ""), ("with the model", a.model)):
            run = subprocess.run([ROOT / "build/tests/bench_turns", str(a.silence), model, *(p for p, *_ in told)], check=True, capture_output=True, text=True)
            rows = []
            for line, (_, name, pause, _, end) in zip(run.stdout.splitlines(), told, strict=True):
                found = [float(x) for x in line.split()]  # seconds at which a turn was over
                rows.append((name, pause, None if not found or found[0] < end - .05 else found[0] - end))
            print(run.stderr, end="")
            report(title, [d for *_, d in rows])
            for part in ("clean", "20dB", "10dB", *(f.name for f in folders)):
                report(f"  {part}", [d for n, _, d in rows if part in n.rsplit("-", 1)])
            report("  no pause", [d for _, p, d in rows if not p])
            for low, high in ((.2, .5), (.5, 1), (1, 1.5)):
                report(f"  pauses of {low} to {high} s", [d for _, p, d in rows if p and low <= p < high])


if __name__ == "__main__":
    main()
