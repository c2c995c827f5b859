"""Renders the sources once: banks of test patterns, balls with their boxes, tones, noises and spoken words.  `python banks.py DIR`"""
import pickle
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

import gst
from vocabulary import (COLOURS, FRAMES, MOVING, NOISES, PATTERNS, SIZES, SOLID, TONES, UNSEEN_SIZES, UNSEEN_VOICES, VOICES, WAVES, WORDS)

# A real encoder at the rates where it hurts, for every third source.
X264 = ["", "", "! videoconvert ! x264enc speed-preset=superfast bitrate={} key-int-max=50 ! avdec_h264 ! videoconvert"]


# Real sound encoders at 48 kHz, as sound comes with a programme: what is left of a noise behind them is another noise.
CODECS = ["avenc_aac bitrate=128000 ! avdec_aac", "avenc_aac bitrate=64000 ! avdec_aac", "lamemp3enc bitrate=96 ! mpegaudioparse ! avdec_mp3", "opusenc bitrate=48000 ! opusdec"]
UNSEEN_CODECS = ["avenc_aac bitrate=96000 ! avdec_aac", "avenc_mp2 bitrate=128000 ! mpegaudioparse ! avdec_mp2float"]


def bitrate(r, size):
    return max(100, int(size[0] * size[1] * r.uniform(.0006, .003)))


def effect(r, size):
    return r.choice(X264).format(bitrate(r, size))


def patterns(r, sizes, fps, repeats, n):
    """Clips of every pattern and plain colour: dicts of name, shape, frames [n or 1, h, w, 3]."""
    out = []
    for shape, all_sizes in sizes.items():
        for size in all_sizes:
            for number, name in PATTERNS.items():
                for _ in range(repeats if number in (14, 16) else 1):
                    k = r.choice([4, 8, 10, 16, 20, 30, 40])
                    extra = f"kx2={k} ky2={r.choice([k, k, k // 2 + 1])} kt={r.choice([0, 1, 2])}" if number in (14, 16) else ""
                    out.append((name, shape, (f"videotestsrc pattern={number} {extra}", size, r.choice(fps), n if number in MOVING else 1, r.choice(["RGB", "I420"]), effect(r, size))))
            for colour in SOLID:
                red, green, blue = COLOURS[colour]
                source = f"videotestsrc pattern=17 foreground-color={0xff000000 | red << 16 | green << 8 | blue}"
                out.append((colour + " screen", shape, (source, size, 25, 1, r.choice(["RGB", "I420"]), effect(r, size))))
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda c: dict(name=c[0], shape=c[1], size=c[2][1], frames=gst.resize(gst.frames(*c[2]), c[1])), out))


def ball_box(picture):
    """x1, y1, x2, y2 in pixels; the erosion and dilation remove the thin lines that the sweeps draw."""
    grey = Image.fromarray((picture.mean(-1) > 110).astype(np.uint8) * 255)
    mask = np.asarray(grey.filter(ImageFilter.MinFilter(7)).filter(ImageFilter.MaxFilter(7))) > 0
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (xs[0], ys[0], xs[-1] + 1, ys[-1] + 1) if len(xs) else None


def balls(r, sizes, fps):
    """Moving balls: dicts of shape, frames, boxes [n, 4] in pixels of the resized frame."""
    work = [(shape, size, motion, r.choice(fps), r.choice(["RGB", "I420"]), effect(r, size)) for shape, all_sizes in sizes.items() for size in all_sizes
            for motion in ("wavy", "wavy", "sweep", "hsweep")]

    def one(job):
        shape, size, motion, rate, pixels, effects = job
        source = f"videotestsrc pattern=ball motion={motion}" + (" animation-mode=frames" if motion != "wavy" else "")
        clip = gst.frames(source, size, rate, 40 if motion == "wavy" else 14, pixels, effects)
        scale = np.array(FRAMES[shape] * 2) / np.array(size * 2)
        boxes = [ball_box(f) for f in clip]
        keep = [i for i, b in enumerate(boxes) if b]
        if len(keep) != len(boxes):
            return None
        return dict(shape=shape, size=size, frames=gst.resize(clip, shape), boxes=np.array(boxes) * scale)

    with ThreadPoolExecutor(2) as pool:
        return [b for b in pool.map(one, work) if b]


def sounds(rates, codecs):
    ways = [(rate, "identity") for rate in rates] + [(48000, codec) for codec in codecs]
    tones = {(f, w): [gst.samples(f"audiotestsrc wave={i} freq={f} volume=1.0", rate, 4, codec) for rate, codec in ways] for f in TONES for w, i in WAVES.items() if f <= 1000 or w == "sine"}
    noises = {n: [gst.samples(f"audiotestsrc wave={w} volume=1.0", rate, 8, codec) for w in ws for rate, codec in ways] for n, ws in NOISES.items()}
    ticks = [gst.samples(f"audiotestsrc wave=8 freq={f} volume=1.0 tick-interval={t}", 48000, 8, codec) for f in (440, 1000) for t in (10**9, 5 * 10**8) for codec in ["identity"] + codecs]
    return dict(tones=tones, noises=noises, ticks=ticks)


def speech(r, voices, takes, codecs):
    """word -> voice index -> takes, every third of them encoded."""
    work = [(w, v, r.randint(130, 200), r.randint(25, 75), r.choice(codecs) if r.random() < .35 else "identity") for w in WORDS for v in voices for _ in range(takes)]
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda a: gst.speak(*a), work))
    out = {w: [[] for _ in voices] for w in WORDS}
    for (w, v, *_), x in zip(work, said):
        out[w][voices.index(v)].append(x)
    return out


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed, sizes, fps, rates, codecs, voices, n in (("seen", 1, SIZES, [25, 30], [16000, 48000], CODECS, VOICES, 14),
                                                             ("unseen", 999, UNSEEN_SIZES, [24, 50, 60], [44100], UNSEEN_CODECS, UNSEEN_VOICES, 10)):
        path = folder / f"{name}.pkl"
        if path.exists():
            continue
        r = random.Random(seed)
        bank = dict(patterns=patterns(r, sizes, fps, 2, n))
        print(name, len(bank["patterns"]), "patterns", flush=True)
        bank["balls"] = balls(r, sizes, fps)
        print(name, len(bank["balls"]), "balls", flush=True)
        bank.update(sounds(rates, codecs), speech=speech(r, voices, 2, codecs))
        pickle.dump(bank, open(path, "wb"))
        print(path, f"{path.stat().st_size / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
