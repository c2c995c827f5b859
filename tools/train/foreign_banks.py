"""Renders once what nano was not made for: photographs, screenshots, speech in many languages, music.  `python foreign_banks.py DIR` writes DIR/foreign-seen.pkl and DIR/foreign-unseen.pkl

Of the second nothing is ever trained on: other packages, languages, voices and fonts. Both are dicts of
pictures  kind -> JPEG files of at most LARGEST pixels
speech    who speaks -> float16 samples at RATE, an utterance each
words     the same, single words
music     who plays -> float16 samples at RATE, SECONDS of a piece each

Packages: those of PICTURES, TUNES and PEOPLE; espeak-ng flite tuxpaint-stamps-default ffmpeg fortunes."""
import io
import pickle
import random
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from scipy.signal import resample_poly

from pictures import STAMPS
from vocabulary import RATE, UNSEEN_VOICES, VOICES, WORDS

SHARE, LARGEST, SECONDS = Path("/usr/share"), 640, 12
PICTURES = {  # bank: {kind: {Debian package: at most so many of it}}
    "seen": {"photograph": {"mate-backgrounds": 40, "plasma-workspace-wallpapers": 60, "lomiri-wallpapers-16.04": 30, "lxqt-themes": 30, "endless-sky-data": 200}, "screenshot": {"gimp-help-en": 300}},
    "unseen": {"photograph": {"gnome-backgrounds": 60, "ukui-wallpapers": 60}, "screenshot": {"gnome-user-docs": 80, "kicad-doc-en": 80}, "plot": {"python-skimage-doc": 100}},
}
# ffmpeg's sources: what a feed may show beside GStreamer's patterns
SOURCES = {"seen": ["mandelbrot", "life=s=640x360:mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00", "cellauto=s=640x360", "colorspectrum=s=640x360", "allrgb", "gradients=s=640x360:nb_colors=5"],
           "unseen": ["testsrc=s=640x360", "testsrc2=s=640x360", "rgbtestsrc=s=640x360", "yuvtestsrc=s=640x360", "sierpinski=s=640x360", "allyuv"]}
TUNES = {"seen": "games/warzone2100/music", "unseen": "games/neverball/bgm"}  # of warzone2100-music and neverball-data
# Recordings of people: the stamps' descriptions, and asterisk-core-sounds-LANGUAGE-wav, which are telephone sound
PEOPLE = {"seen": (["fr", "ru", "ro", "ca", "bg", "da"], ["fr_CA_f_June", "ru_RU_f_IvrvoiceRU"]), "unseen": (["es", "el"], ["en_US_f_Allison", "it_IT_m_Carlo"])}
# Languages of the stamps' descriptions, as espeak-ng says them
LANGUAGES = {"seen": "af ar bg ca cs cy da de el en_GB eo es eu fa fi fr ga gd gu he hr hy id is it ja ka ko lt lv ml ms nb nl pl pt pt_BR ro ru sk sl sq sr th uk zh_CN".split(),
             "unseen": "am hi hu mk sv tr vi".split()}
ESPEAK = {"en_GB": "en-gb", "pt_BR": "pt-br", "zh_CN": "cmn", "fr": "fr-fr"}
VARIANTS = {"seen": ["", "+m1", "+m3", "+m4", "+m7", "+f1", "+f2", "+f4", "+croak"], "unseen": ["+m5", "+f3", "+f5"]}
FLITE = {"seen": ["kal", "awb", "rms"], "unseen": ["slt"]}


def shrunk(im):
    im = im.convert("RGB")
    im.thumbnail((LARGEST, LARGEST), Image.LANCZOS)
    out = io.BytesIO()
    im.save(out, "JPEG", quality=88)
    return out.getvalue()


def pictures(name, r):
    out = {}
    for kind, packages in PICTURES[name].items():
        for package, most in packages.items():
            files = {}  # of pictures that come in many sizes the largest
            for f in map(Path, sorted(subprocess.run(["dpkg", "-L", package], check=True, capture_output=True, text=True).stdout.splitlines())):
                if f.suffix in (".jpg", ".jpeg", ".png", ".webp") and f.is_file() and "/icons/" not in str(f):
                    key = f.parts[-4] if "contents" in f.parts else f.stem
                    files[key] = max(f, files.get(key, f), key=lambda x: x.stat().st_size)
            taken = []
            for f in r.sample(sorted(files.values()), len(files)):
                im = Image.open(f)
                if min(im.size) >= 180 and max(im.size) <= 3 * min(im.size) and len(taken) < most:
                    taken.append(shrunk(im))
            print(name, kind, package, len(taken), flush=True)
            out.setdefault(kind, []).extend(taken)
    return out


def generated(source):
    """12 pictures of one of ffmpeg's sources, two a second."""
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-t", "8", "-i", source, "-vf", "fps=2,scale='min(640,iw)':-2", "-frames:v", "12", d + "/%02d.png"], check=True)
        return [shrunk(Image.open(f)) for f in sorted(Path(d).iterdir())]


def heard(x, rate):
    """Samples at RATE without the silences around them, at a peak of 1."""
    x = x.mean(1) if x.ndim == 2 else x
    x = resample_poly(x, RATE // gcd(RATE, rate), rate // gcd(RATE, rate)).astype(np.float32)
    loud = np.flatnonzero(np.abs(x) > .02 * np.abs(x).max())
    x = x[loud[0] : loud[-1] + 1] if len(loud) else x
    return (x / max(1e-6, np.abs(x).max())).astype(np.float16)


def said(command, text):
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run([c.format(out=f.name, text=text) for c in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return heard(*soundfile.read(f.name, dtype="float32"))


def descriptions():
    """language -> sentences of the stamps."""
    out = {}
    for f in sorted(STAMPS.rglob("*.txt")):
        for line in f.read_text(errors="ignore").splitlines():
            if found := re.match(r"(\w+)\.utf8=(.{6,160})", line):
                out.setdefault(found[1], []).append(found[2])
    return out


def english():
    """Sentences of the fortunes."""
    text = "\n".join((SHARE / "games/fortunes" / name).read_text(errors="ignore") for name in ("computers", "people", "science", "wisdom"))
    return [s for q in text.split("%") for s in re.findall(r"[A-Z][a-z ,']{30,140}\.", " ".join(q.split()))]


def speech(name, r):
    """(utterances, single words), each who -> [samples]"""
    texts, sentences, jobs = descriptions(), english(), []
    espeak = lambda voice: ["espeak-ng", "-v", voice, "-s", str(r.randint(130, 200)), "-p", str(r.randint(25, 75)), "-w", "{out}", "{text}"]
    for language in LANGUAGES[name]:
        for _ in range(12):
            voice = ESPEAK.get(language, language)
            jobs.append(("speech", voice, espeak(voice + r.choice(VARIANTS[name])), " ".join(r.sample(texts[language], 2))))
    voices = {"seen": VOICES, "unseen": UNSEEN_VOICES}[name]
    for voice in voices:
        for _ in range(12):
            jobs.append(("speech", voice, espeak(voice), r.choice(sentences)))
    foreign = sorted({w.lower() for s in sentences for w in re.findall(r"[a-zA-Z]{3,}", s)} - set(WORDS))
    for _ in range(4700 if name == "seen" else 200):
        voice = r.choice(voices)
        jobs.append(("words", voice, espeak(voice), r.choice(foreign)))
    for voice in FLITE[name]:
        for _ in range(60):
            jobs.append(("speech", "flite " + voice, ["flite", "-voice", voice, "-o", "{out}", "-t", "{text}"], r.choice(sentences)))
    out = {"speech": {}, "words": {}}
    with ThreadPoolExecutor(3) as pool:
        for (kind, who, _, _), x in zip(jobs, pool.map(lambda j: said(j[2], j[3]), jobs)):
            if len(x) > RATE // 10:
                out[kind].setdefault(who, []).append(x)
    languages, phones = PEOPLE[name]
    recordings = {"stamps " + l: sorted(STAMPS.rglob(f"*_desc_{l}.ogg")) for l in languages}
    recordings |= {p: [f for f in sorted((SHARE / "asterisk/sounds" / p).glob("*.wav"))] for p in phones}
    for who, files in recordings.items():
        for f in r.sample(files, min(len(files), 160)):
            try:
                x = heard(*soundfile.read(f, dtype="float32"))
            except soundfile.LibsndfileError:  # a few are empty
                continue
            if len(x) > RATE // 2:
                out["speech"].setdefault(who, []).append(x)
    return out["speech"], out["words"]


def music(name, r):
    out = {}
    for f in sorted(f for f in (SHARE / TUNES[name]).rglob("*") if f.suffix in (".ogg", ".opus")):
        length, rate = soundfile.info(f).frames, soundfile.info(f).samplerate
        for at in [r.uniform(0, max(0, length - SECONDS * rate)) for _ in range(5)]:
            x = heard(*soundfile.read(f, start=int(at), frames=SECONDS * rate, dtype="float32"))
            if len(x) > 4 * RATE:
                out.setdefault(f.stem, []).append(x)
    return out


def main(folder):
    for name, seed in (("seen", 3), ("unseen", 997)):
        path = Path(folder) / f"foreign-{name}.pkl"
        if path.exists():
            continue
        r = random.Random(seed)
        bank = dict(pictures=pictures(name, r), moving=[generated(s) for s in SOURCES[name]])
        bank["speech"], bank["words"] = speech(name, r)
        bank["music"] = music(name, r)
        for kind in ("speech", "words", "music"):
            print(name, kind, {who: len(x) for who, x in bank[kind].items()}, flush=True)
        pickle.dump(bank, open(path, "wb"))
        print(path, f"{path.stat().st_size / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
