"""What nano says aloud: sentences of its captions, reports and announcements, as written and as spoken."""
import random
import re

from vocabulary import COLOURS, LABELS, NOISES, PICTURES, TONES, WAVES, WORDS

UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
REPORTS = ["No fault.", "No signal.", "No audio.", "Black picture.", "Video frozen.", "Audio lost.", "Signal lost.", "Audio is back.", "Video is back.", "Signal restored.", "All is well.",
           "Please check the signal.", "Please check the audio.", "Please check camera {}.", "Camera {} is ready.", "Channel {} is on air.", "Channel {} lost.", "Alarm on channel {}.",
           "Audio and video are normal.", "Warning.", "Yes.", "No."]


def words_of(n):
    if n < 20:
        return UNITS[n]
    if n < 100:
        return TENS[n // 10] + (" " + UNITS[n % 10] if n % 10 else "")
    if n < 1000:
        return UNITS[n // 100] + " hundred" + (" " + words_of(n % 100) if n % 100 else "")
    return words_of(n // 1000) + " thousand" + (" " + words_of(n % 1000) if n % 1000 else "")


def spoken(text):
    """A written sentence in words."""
    s = text.replace("SMPTE", "simpty").replace("RP 219", "R P two nineteen").replace("%", " percent")
    s = re.sub(r"(\d)\.(\d) s\b", r"\1 point \2 seconds", s)
    s = re.sub(r"\b1 s\b", "1 second", s)
    s = re.sub(r"\b(\d+) s\b", r"\1 seconds", s)
    s = re.sub(r"\bHz\b", "hertz", s)
    return " ".join(re.sub(r"\d+", lambda m: words_of(int(m.group())), s).split())


def _sound(r):
    kind = r.random()
    if kind < .15:
        return "silence"
    if kind < .5:
        f = r.choice(TONES)
        phrase = f"{f} Hz {r.choice(list(WAVES)) if f <= 1000 else 'sine'} tone" + r.choice(["", ", loud", ", quiet"])
    elif kind < .7:
        phrase = r.choice(list(NOISES)) + r.choice(["", ", loud", ", quiet"])
    elif kind < .8:
        phrase = r.choice(["ticks", "music", "hum"])
    else:
        return "speech: " + " ".join(r.choice(WORDS) for _ in range(r.choice([1, 2, 2, 3])))
    return phrase + (f", lost at {r.randint(2, 8) * .2:.1f} s" if r.random() < .15 else "")


def _picture(r):
    kind = r.random()
    if kind < .45:
        phrase = r.choice(PICTURES)
    elif kind < .6:
        phrase = r.choice(["moving ball", "ball"]) + " on " + r.choice(list(COLOURS)) + " screen"
    else:
        phrase = ", ".join(r.sample(LABELS[1:], r.choice([1, 1, 2, 3]))) + " on " + r.choice(PICTURES)
    if r.random() < .2:
        phrase += r.choice([", frozen", ", frozen from 1 s", f", black from {r.choice([.5, 1.0, 1.5])} s", f", back at {r.choice([.5, 1.0, 1.5])} s"])
    return phrase


def sentence(r):
    kind = r.random()
    if kind < .22:
        return f"Video: {_picture(r)}. Audio: {_sound(r)}."
    if kind < .44:
        return _picture(r) + "."
    if kind < .62:
        return _sound(r) + "."
    if kind < .8:
        return r.choice(REPORTS).format(r.randint(0, 12)) + (" " + r.choice(REPORTS).format(r.randint(0, 12)) if r.random() < .3 else "")
    if kind < .9:
        return r.choice([f"{r.randint(0, 5)}", r.choice(["top", "middle", "bottom"]) + " " + r.choice(["left", "center", "right"]), r.choice(["left", "right", "up", "down", "still"])])
    everything = LABELS + list(COLOURS) + WORDS + [w for p in PICTURES for w in p.split()]
    return " ".join(r.choice(everything) for _ in range(r.randint(2, 5)))


def sentences(n, seed, but=()):
    """n different sentences, none of them in `but`."""
    r, out = random.Random(seed), {}
    while len(out) < n:
        s = sentence(r)
        if s not in but and len(spoken(s)) < 140:
            out[s] = None
    return list(out)
