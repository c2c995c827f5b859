"""Clips with everything known about them, composed from the banks on the fly."""
import io
import math
import pickle
import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

import things
from foreign import Foreign
from vocabulary import COLOURS, FRAMES, LABELS, LEVELS, MOVING, NOISES, OTHER, PATTERNS, PICTURES, RATE, SHAPES, SOUNDS, THINGS, TOKEN, TONES, WAVES, WORDS

PATTERN_NAMES = [p for p in PICTURES if p != "blinking screen"]
SMALLEST = 28   # pixels of an object's longer side: a fifth of the height of a wide picture
CROWD = 14      # objects that are tried to be placed in a crowded still
VIDEO_KINDS = ["pattern", "ball", "objects", "other"]
SOUND_KINDS = ["silence", "tone", "noise", "ticks", "music", "hum", "speech", "other music", "other speech"]  # the last two are recorded, or of other words
OWN_VIDEO, OWN_SOUND = (.24, .2, .56, 0), (.12, .3, .13, .05, .06, .04, .3, 0, 0)  # weights of what nano was made for
LIVELY = {"snow", "pinwheel", "spokes"}  # patterns whose freeze is seen


@dataclass
class Video:
    shape: str
    kind: str                     # of VIDEO_KINDS
    picture: str                  # what is behind, of PICTURES, or OTHER
    frames: np.ndarray = None     # uint8 [n, h, w, 3]
    boxes: list = None            # per frame [(label, x1, y1, x2, y2)], the same objects in each or none
    velocity: dict = field(default_factory=dict)  # label -> pixels a frame, of labels that are there once
    event: tuple = None           # (freeze | black | back, first frame of it)
    moves: bool = False           # a ball, or what is in an other picture
    changed: list = None          # per pair of frames: did the second differ, before noise


@dataclass
class Audio:
    kind: str                     # of SOUND_KINDS
    wave: np.ndarray              # float32
    classes: np.ndarray           # an index of SOUNDS for each token
    phrase: str = "silence"
    level: int = -1               # of LEVELS
    waveform: int = -1            # of WAVES
    lost: float = None            # s
    words: list = field(default_factory=list)


class Clips:
    def __init__(self, seed, bank, unseen=False):
        self.r, self.np, self.unseen = random.Random(seed), np.random.default_rng(seed), unseen
        self.labels = LABELS[1:]  # of objects, the more often the oftener
        self.foreign = Foreign(self.r, bank.with_name("foreign-" + bank.name), unseen)
        bank = pickle.load(open(bank, "rb"))
        self.patterns, self.balls = {}, {}
        for p in bank["patterns"]:
            self.patterns.setdefault((p["shape"], p["name"]), []).append(p["frames"])
        for b in bank["balls"]:
            self.balls.setdefault(b["shape"], []).append(b)
        self.bank = bank

    # ---- sound

    def _part(self, bank, n):
        x = self.r.choice(bank)
        x = np.tile(x, -(-n // len(x)) + 1)
        o = self.r.randint(0, len(x) - n) if len(x) > n else 0
        return x[o : o + n].copy()

    def _level(self):
        low, high = [(.5, 1), (.07, .25), (.004, .02)][k := self.r.randrange(3)]
        return k, math.exp(self.r.uniform(math.log(low), math.log(high)))

    def audio(self, seconds, kinds=(.07, .2, .1, .04, .04, .03, .24, .05, .23)):
        """A sound; kinds are the weights of SOUND_KINDS."""
        r, n = self.r, int(seconds * RATE)
        kind = r.choices(SOUND_KINDS, kinds)[0]
        a = Audio(kind, np.zeros(n, np.float32), np.zeros(n // TOKEN, np.int64))
        if kind == "silence":
            if r.random() < .4:
                a.wave += self.np.normal(0, math.exp(r.uniform(math.log(1e-5), math.log(2e-4))), n).astype(np.float32)
            if r.random() < .25:  # the last of what was lost between two answers
                tail = int(r.uniform(.002, .06) * RATE)
                a.wave[:tail] += self._part(self.bank["noises"][r.choice(list(NOISES))] if r.random() < .4 else self.bank["tones"][r.choice(TONES), "sine"], tail) * math.exp(r.uniform(math.log(.01), 0))
        elif kind in ("tone", "noise"):
            a.level, gain = self._level()
            if kind == "tone":
                frequency = r.choice(TONES)
                wave = r.choice(list(WAVES)) if frequency <= 1000 and r.random() < .6 else "sine"
                a.waveform = list(WAVES).index(wave)
                bank, a.phrase, sound = self.bank["tones"][frequency, wave], f"{frequency} Hz {wave} tone", str(frequency)
            else:
                sound = a.phrase = r.choice(list(NOISES))
                bank = self.bank["noises"][sound]
            a.wave = self._part(bank, n) * gain
            a.classes[:] = SOUNDS.index(sound)
            a.phrase += ", " + LEVELS[a.level] if LEVELS[a.level] else ""
        elif kind == "ticks":
            a.wave, a.phrase = self._part(self.bank["ticks"], n) * r.uniform(.1, 1), "ticks"
            a.classes[:] = SOUNDS.index("ticks")
        elif kind in ("music", "other music"):
            a.wave, a.phrase = self._music(n) if kind == "music" else self.foreign.music(n) * r.uniform(.1, 1), "music"
            a.classes[:] = SOUNDS.index("music")
        elif kind == "hum":
            mains, t = r.choice([50, 60]), np.arange(n) / RATE
            a.wave = sum(np.sin(2 * np.pi * mains * h * t + r.uniform(0, 6)) / h ** r.uniform(1, 2) for h in range(1, 9)).astype(np.float32)
            a.wave *= r.uniform(.03, .5) / np.abs(a.wave).max()
            a.phrase = "hum"
            a.classes[:] = SOUNDS.index("hum")
        elif kind == "speech":
            self._speech(a, seconds)
        else:
            self._other_speech(a)
        if kind in ("tone", "noise", "music", "other music") and r.random() < .2:
            step = r.randint(1, int(seconds * 5) - 1)
            a.lost = step / 5
            a.wave[step * RATE // 5 :] = 0
            a.classes[step * RATE // 5 // TOKEN :] = 0
            a.phrase += f", lost at {a.lost:.1f} s"
        a.wave = np.clip(a.wave * (r.uniform(1, 3) if a.level == 0 and r.random() < .1 else 1), -1, 1).astype(np.float32)  # now and then clipped
        return a

    def _music(self, n):
        r, wave, t = self.r, np.zeros(n, np.float32), 0
        while t < n:
            step, root = int(RATE * r.choice([.15, .2, .25, .3, .4])), r.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])
            time = np.arange(min(step * 2, n - t)) / RATE
            note = 0
            for interval in r.choice([[0], [0, 4, 7], [0, 3, 7], [0, 7]]):
                f = 261.63 * 2 ** ((root + interval) / 12) * r.choice([.5, 1, 1])
                note = note + sum(np.sin(2 * np.pi * f * h * time) / h**1.5 for h in (1, 2, 3))
            wave[t : t + len(time)] += (note * np.exp(-time * 4)).astype(np.float32)
            t += step
        return wave * r.uniform(.1, 1) / np.abs(wave).max()

    def _speech(self, a, seconds):
        r, gain, n = self.r, self.r.uniform(.15, 1), len(a.wave)
        voice, t = r.randrange(len(self.bank["speech"]["one"])), int(r.uniform(0, .4) * RATE)
        tilt = 0 if self.unseen else r.uniform(-.5, .5)
        for _ in range(r.choice([1, 1, 2, 2, 3]) * max(1, int(seconds / 2))):
            word = r.choice(WORDS)
            x = r.choice(self.bank["speech"][word][voice])
            stretch = r.uniform(.88, 1.14) if self.unseen else r.uniform(.82, 1.22)
            x = np.interp(np.arange(int(len(x) / stretch)) * stretch, np.arange(len(x)), x).astype(np.float32)
            if not self.unseen:  # brighter or duller, as other voices are
                tilted = x - tilt * np.append(0, x[:-1]).astype(np.float32)
                x = tilted * (np.abs(x).max() / max(1e-6, np.abs(tilted).max()))
            if t + len(x) > n:
                if a.words:
                    break
                t, x = 0, x[:n]
            a.wave[t : t + len(x)] += x * gain
            a.classes[t // TOKEN : (t + len(x)) // TOKEN + 1] = SOUNDS.index(word)
            a.words.append(word)
            t += len(x) + int(r.uniform(.03, .25) * RATE)
        if r.random() < .4:
            a.wave += self.np.normal(0, math.exp(r.uniform(math.log(3e-4), math.log(.01))), n).astype(np.float32)
        a.phrase = "speech: " + " ".join(a.words)

    def _other_speech(self, a):
        wave, speaks = self.foreign.speech(len(a.wave))
        a.wave = wave * self.r.uniform(.15, 1)
        if self.r.random() < .4:
            a.wave += self.np.normal(0, math.exp(self.r.uniform(math.log(3e-4), math.log(.01))), len(wave)).astype(np.float32)
        a.classes[:] = np.where(speaks.reshape(-1, TOKEN).any(1), SOUNDS.index("speech"), 0)
        a.phrase = "speech"

    # ---- picture

    def _take(self, frames, n):
        if len(frames) == 1:
            return np.repeat(frames, n, 0)
        o = self.r.randint(0, len(frames) - n)
        return frames[o : o + n].copy()

    def _plain(self, name, shape, n):
        w, h = FRAMES[shape]
        return np.full((n, h, w, 3), COLOURS[name], np.uint8)

    def _behind(self, shape, n):
        if self.r.random() < .5:
            colour = self.r.choice(list(COLOURS))
            return colour + " screen", self._plain(colour, shape, n)
        picture = self.r.choice(PATTERN_NAMES)
        return picture, self._take(self.r.choice(self.patterns[shape, picture]), n)

    def _real_ball(self, shape, n):
        r, w = self.r, FRAMES[shape][0]
        b = r.choice(self.balls[shape])
        o = r.randint(0, len(b["frames"]) - n)
        frames, boxes = b["frames"][o : o + n].copy(), b["boxes"][o : o + n].copy()
        if r.random() < .5:
            frames, boxes = frames[:, :, ::-1].copy(), np.stack([w - boxes[:, 2], boxes[:, 1], w - boxes[:, 0], boxes[:, 3]], 1)
        return Video(shape, "ball", "black screen", frames, [[("ball", *b)] for b in boxes], moves=True)

    def _drawn_ball(self, shape, n):
        r, (w, h) = self.r, FRAMES[shape]
        ball, back = "white", "black"
        if r.random() < .5:
            ball = r.choice(list(COLOURS))
            back = r.choice([c for c in COLOURS if sum(abs(a - b) for a, b in zip(COLOURS[c], COLOURS[ball])) > 150])
        radius = r.choice([14, 7, 7.9, 3.94, 5.2, 10, r.uniform(2.6, 16), r.uniform(16, 42)])
        speed = r.choice([0, 1, 1, 1]) * r.uniform(8, 45)
        while True:
            angle, speed = r.uniform(0, 2 * math.pi), speed * .97
            vx, vy = speed * math.cos(angle), speed * math.sin(angle)
            x, y = r.uniform(radius, w - radius), r.uniform(radius, h - radius)
            if radius <= x + (n - 1) * vx <= w - radius and radius <= y + (n - 1) * vy <= h - radius:
                break
        frames, boxes = self._plain(back, shape, n), []
        rows, columns = np.mgrid[0:h, 0:w] + .5
        for i in range(n):
            cx, cy = x + vx * i, y + vy * i
            alpha = np.clip(radius - np.hypot(columns - cx, rows - cy) + .5, 0, 1)[..., None]
            frames[i] = frames[i] * (1 - alpha) + np.array(COLOURS[ball]) * alpha
            boxes.append([("ball", cx - radius, cy - radius, cx + radius, cy + radius)])
        return Video(shape, "ball", back + " screen", frames, boxes, {"ball": (vx, vy)}, moves=speed > 0)

    def _objects(self, shape, n):
        r, (w, h) = self.r, FRAMES[shape]
        picture, frames = self._behind(shape, n)
        v = Video(shape, "objects", picture, frames, [[] for _ in range(n)])
        count, moving, placed = r.choices([1, 2, 3, 4, 5], [.42, .28, .16, .1, .04])[0], r.random() < .4, []
        for _ in range(count):
            label = r.choice([k for k in self.labels if k not in [p[0] for p in placed]]) if r.random() < .85 or not placed else placed[0][0]
            size = math.exp(r.uniform(math.log(SMALLEST), math.log(min(min(h, w) * .75, 110 if count < 3 else 70))))
            sprite = things.sprite(label, size, r, frames[0].mean((0, 1)), self.unseen)
            sh, sw = sprite.shape[:2]
            for _ in range(20 if sw <= w - 4 and sh <= h - 4 else 0):
                x, y, vx, vy = r.uniform(0, w - sw), r.uniform(0, h - sh), 0, 0
                if moving:
                    speed = r.uniform(8, 40)
                    vx, vy = r.choice([(speed, 0), (-speed, 0), (0, speed), (0, -speed)])
                    if not (0 <= x - (n - 1) * vx <= w - sw and 0 <= y - (n - 1) * vy <= h - sh):
                        continue
                x0, y0 = x - (n - 1) * vx, y - (n - 1) * vy
                box = (min(x, x0), min(y, y0), max(x, x0) + sw, max(y, y0) + sh)
                if all(box[2] < q[0] or box[0] > q[2] or box[3] < q[1] or box[1] > q[3] for _, q in placed):
                    break
            else:
                continue
            placed.append((label, box))
            for i in range(n):
                xi, yi = min(max(round(x0 + i * vx), 0), w - sw), min(max(round(y0 + i * vy), 0), h - sh)
                alpha = sprite[..., 3:] / 255
                under = frames[i, yi : yi + sh, xi : xi + sw]
                frames[i, yi : yi + sh, xi : xi + sw] = under * (1 - alpha) + sprite[..., :3] * alpha
                v.boxes[i].append((label, xi, yi, xi + sw, yi + sh))
            v.velocity[label] = (vx, vy)
        for label, n_of in Counter(p[0] for p in placed).items():
            if n_of > 1:
                v.velocity.pop(label)
        return v

    def crowds(self, shape, n, each=4):
        """n stills of two equal frames, full of objects that do not touch; each object stands in `each` of them, since drawing it costs more than placing it."""
        r, (w, h) = self.r, FRAMES[shape]
        stills = []
        for _ in range(n):
            picture, frames = self._behind(shape, 1)
            stills.append(Video(shape, "objects", picture, np.repeat(frames, 2, 0), [[], []], changed=[False]))
        for _ in range(n * CROWD // each):
            label, size = r.choice(THINGS if r.random() < .85 else SHAPES), math.exp(r.uniform(math.log(SMALLEST), math.log(min(h, w) * .6)))
            among = r.sample(stills, each)
            sprite = things.sprite(label, size, r, among[0].frames[0].mean((0, 1)), self.unseen)
            sh, sw = sprite.shape[:2]
            for v in among:
                for _ in range(12 if sw <= w - 4 and sh <= h - 4 else 0):
                    x, y = r.randrange(w - sw), r.randrange(h - sh)
                    if all(x + sw < b[1] or x > b[3] or y + sh < b[2] or y > b[4] for b in v.boxes[0]):
                        alpha, under = sprite[..., 3:] / 255, v.frames[0, y : y + sh, x : x + sw]
                        if (np.abs(sprite[..., :3] - under) * alpha).sum() < 60 * alpha.sum():
                            break  # it would hardly be seen
                        v.frames[:, y : y + sh, x : x + sw] = under * (1 - alpha) + sprite[..., :3] * alpha
                        for boxes in v.boxes:
                            boxes.append((label, x, y, x + sw, y + sh))
                        break
        for v in stills:
            self._degrade(v)
        return stills

    def _event(self, v, n):
        """Now and then the picture freezes, goes black or comes back."""
        r, e = self.r, self.r.random()
        black = .42 if self.unseen else .5
        moves = n > 1 and all(np.abs(v.frames[i].astype(np.int16) - v.frames[i + 1]).mean() > .15 for i in range(n - 1))
        seen = moves and v.picture != "blinking screen" and (v.kind == "ball" or v.kind == "other" and v.moves or v.picture in LIVELY or any(a or b for a, b in v.velocity.values()))
        if e < .3 and seen and n > 2:
            first = r.randint(0 if v.picture == "snow" and v.kind == "pattern" else 1, n - 2)
            v.frames[first:] = v.frames[first]
            v.boxes = [list(v.boxes[min(i, first)]) for i in range(n)]
            v.event, v.velocity = ("freeze", first), {}
        elif .3 <= e < black and v.picture != "black screen" and n > 1:
            first = r.randint(1, n - 1) if self.unseen or r.random() < .3 else 1  # the hardest: the only pair with something is half black
            v.frames[first:] = 0
            v.boxes = [b if i < first else [] for i, b in enumerate(v.boxes)]
            v.event = ("black", first)
        elif black <= e < black + .06 and v.picture != "black screen" and n > 1:
            first = r.randint(1, n - 1)
            v.frames[:first] = 0
            v.boxes = [b if i >= first else [] for i, b in enumerate(v.boxes)]
            v.event, v.velocity = ("back", first), {}

    def _degrade(self, v):
        """What a feed does to a picture: a logo, gain and noise, a slow fade, a lossy codec with 4:2:0."""
        r, n = self.r, len(v.frames)
        still = [i > 0 and np.array_equal(v.frames[i], v.frames[i - 1]) for i in range(n)]
        if r.random() < .12:
            h, w = v.frames.shape[1:3]
            lw, lh = r.randint(12, 28), r.randint(6, 14)
            x, y = r.choice([6, w - lw - 6]), r.choice([5, h - lh - 5])
            if not any(b[1] < x + lw and b[3] > x and b[2] < y + lh and b[4] > y for boxes in v.boxes for b in boxes):
                logo = (self.np.random((lh, lw, 1)) > .5) * self.np.integers(120, 255, 3)
                part = v.frames[:, y : y + lh, x : x + lw]
                v.frames[:, y : y + lh, x : x + lw] = part * .55 + logo * .45
        if r.random() < .35:
            fade = np.linspace(1, r.uniform(.8, 1), n) if r.random() < .2 and not any(still) else np.ones(n)
            gain, sigma = r.uniform(.9, 1.06), r.uniform(0, 4)
            v.frames = np.clip(v.frames.astype(np.float32) * (gain * fade)[:, None, None, None] + self.np.normal(0, sigma, v.frames.shape), 0, 255).astype(np.uint8)
        if r.random() < .35:
            quality = r.randint(25, 92)
            for i in range(n):
                b = io.BytesIO()
                Image.fromarray(v.frames[i]).save(b, "JPEG", quality=quality)
                v.frames[i] = np.asarray(Image.open(b))
        for i in range(1, n):
            if still[i]:
                v.frames[i] = v.frames[i - 1]

    def video(self, shape, n, kinds=(.2, .16, .46, .18)):
        r, kind = self.r, self.r.choices(VIDEO_KINDS, kinds)[0]
        if kind == "pattern":
            picture = r.choice(PICTURES) if r.random() < .75 else r.choice(["snow", "black screen", "pinwheel", "spokes", "SMPTE color bars", "zone plate"])
            frames = self._take(r.choice(self.patterns[shape, picture]), n)
            bright = frames.mean((1, 2, 3)) > 128
            if picture == "blinking screen" and (bright.all() or not bright.any()):  # sampled in step with its blinking it is one that doesn't
                picture = "white screen" if bright[0] else "black screen"
            v = Video(shape, kind, picture, frames, [[] for _ in range(n)])
        elif kind == "ball":
            v = self._real_ball(shape, n) if r.random() < .5 else self._drawn_ball(shape, n)
        elif kind == "objects":
            v = self._objects(shape, n)
        else:
            frames, moves = self.foreign.picture(shape, n)
            v = Video(shape, kind, OTHER, frames, [[] for _ in range(n)], moves=moves)
        self._event(v, n)
        v.changed = [bool(np.abs(v.frames[i].astype(np.int16) - v.frames[i + 1]).mean() > .1) for i in range(0, n - 1, 2)]
        self._degrade(v)
        return v
