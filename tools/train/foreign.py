"""What nano was not made for, as clips show it: photographs, screenshots, title cards, logos, test charts, speech and music of the banks that foreign_banks.py renders."""
import io
import math
import pickle
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from vocabulary import FRAMES, RATE

FONTS = {  # of Debian's fonts-dejavu-core fonts-lato fonts-liberation fonts-open-sans fonts-linuxlibertine fonts-comic-neue, and fonts-cantarell fonts-ebgaramond fonts-firacode fonts-play
    "seen": "truetype/dejavu/DejaVuSans.ttf truetype/dejavu/DejaVuSans-Bold.ttf truetype/dejavu/DejaVuSansMono.ttf truetype/lato/Lato-Regular.ttf truetype/lato/Lato-Black.ttf truetype/liberation/LiberationSerif-Regular.ttf "
            "truetype/liberation/LiberationSans-Bold.ttf truetype/open-sans/OpenSans-Light.ttf opentype/linux-libertine/LinLibertine_R.otf opentype/comic-neue/ComicNeue-Bold.otf".split(),
    "unseen": "opentype/cantarell/Cantarell-Regular.otf opentype/ebgaramond/EBGaramond12-Regular.otf truetype/firacode/FiraCode-Regular.ttf opentype/play/Play-Bold.otf".split(),
}
TEXT = {
    "seen": "the evening news live from studio weather tomorrow cloudy with sunshine sports results match of week final score coming up next stay tuned breaking story we will be right back a film by directed music produced "
            "chapter one two part end credits thank you for watching please stand technical difficulties station identification channel four information programme begins shortly minutes subtitles recorded earlier file edit view "
            "window help open save cancel settings search results page error warning total price date name address def return import class void int if else for while print true false null 2024 1998 17:30 42 3.14 100% 25 fps".split(),
    "unseen": "guten abend hier ist das erste deutsche fernsehen mit der tagesschau heute wetter sport und verkehr bitte warten sendung beginnt in wenigen augenblicken ein film von regie buch kamera schnitt ende wir danken ihnen "
              "datei bearbeiten ansicht fenster hilfe speichern abbrechen suchen ergebnis seite fehler ungültig summe preis datum name 2031 08:15 77 2,71 64% 50 Hz".split(),
}


class Foreign:
    def __init__(self, r, bank, unseen):
        self.r, self.name = r, "unseen" if unseen else "seen"
        self.bank = pickle.load(open(bank, "rb"))
        self.fonts = FONTS[self.name]
        # What is hardest to tell from its own comes more often than it is measured: single words, and emblems.
        self.single, self.kinds = (.25, (.5, .08, .15, .11, .1, .06)) if unseen else (.4, (.4, .08, .15, .2, .11, .06))

    # ---- sound

    def _utterance(self, who, kind):
        return self.r.choice(self.bank[kind][who]).astype(np.float32)

    def speech(self, n):
        """float32 [n] at a peak of about 1, and bool [n]: is somebody speaking. One voice says sentences, now and then single words; the first may have begun before."""
        r, wave, speaks = self.r, np.zeros(n, np.float32), np.zeros(n, bool)
        kind = "words" if r.random() < self.single else "speech"
        who = r.choices(list(self.bank[kind]), [len(x) for x in self.bank[kind].values()])[0]
        t, x = int(r.uniform(0, .4) * RATE), self._utterance(who, kind)
        if kind == "speech" and len(x) > RATE and r.random() < .6:
            t, x = 0, x[r.randrange(len(x) - RATE) :]
        while t < n:
            stretch = r.uniform(.88, 1.14)
            x = np.interp(np.arange(int(len(x) / stretch)) * stretch, np.arange(len(x)), x).astype(np.float32)[: n - t]
            wave[t : t + len(x)], speaks[t : t + len(x)] = x, True
            t += len(x) + int(r.uniform(.05, .5) * RATE)
            x = self._utterance(who, kind)
            if n - t < RATE // 4:  # what is cut off so soon is no speech yet
                break
        if r.random() < .25:  # a room
            tail = int(r.uniform(.05, .25) * RATE)
            echo = np.random.default_rng(r.randrange(1 << 30)).normal(0, 1, tail) * np.exp(-np.arange(tail) * 5 / tail)
            wave = wave + r.uniform(.1, .5) * np.convolve(wave, echo / np.abs(echo).sum() * 3)[:n].astype(np.float32)
        return wave, speaks

    def music(self, n):
        x = self.r.choice(self.bank["music"][self.r.choice(list(self.bank["music"]))]).astype(np.float32)
        o = self.r.randrange(len(x) - n) if len(x) > n else 0
        return np.resize(x[o : o + n], n)

    # ---- picture

    def picture(self, shape, n):
        """Frames of a picture that nano was never taught: uint8 [n, h, w, 3]; and do they move. All of them show something: a page has parts that look like a plain colour."""
        while True:
            frames, moves = self._picture(shape, n)
            if frames.std((1, 2)).max(1).min() > 12:
                return frames, moves

    def _picture(self, shape, n):
        r = self.r
        kind = r.choices(["stored", "moving", "card", "logo", "chart", "console"], self.kinds)[0]
        if kind == "moving":
            bank = r.choice(self.bank["moving"])
            o, step = r.randrange(len(bank)), r.choice([0, 1, 1])
            return np.stack([self._cut(Image.open(io.BytesIO(bank[(o + i * step) % len(bank)])).convert("RGB"), shape, (0, 0, 1)) for i in range(n)]), False
        im = self.stored() if kind == "stored" else getattr(self, "_" + kind)(shape)
        if kind == "stored" and r.random() < .2:
            im = self._lower_third(im)
        if n > 1 and r.random() < .35:  # a camera that pans or zooms, a page that scrolls
            a, b = self._view(), self._view()
            between = [tuple(p + (q - p) * i / (n - 1) for p, q in zip(a, b)) for i in range(n)]
            return np.stack([self._cut(im, shape, v) for v in between]), True
        if n > 1 and kind == "stored" and r.random() < .1:  # a cut
            after, at = self.stored(), r.randrange(1, n)
            return np.stack([self._cut(im if i < at else after, shape, (.5, .5, 1)) for i in range(n)]), False
        return np.repeat(self._cut(im, shape, self._view() if kind == "stored" else (.5, .5, 1))[None], n, 0), False

    def _view(self):
        return self.r.random(), self.r.random(), self.r.uniform(.45, 1)

    @staticmethod
    def _cut(im, shape, view):
        """The part of a picture at x, y (0 to 1) that has the frame's proportions and `view[2]` of the largest such size."""
        w, h = FRAMES[shape]
        wide = {"pal": 4 / 3, "ntsc": 4 / 3}.get(shape, w / h)
        cw = min(im.width, im.height * wide) * view[2]
        ch = cw / wide
        x, y = view[0] * max(0, im.width - cw), view[1] * max(0, im.height - ch)
        return np.asarray(im.resize((w, h), Image.BICUBIC, (x, y, min(im.width, x + cw), min(im.height, y + ch)), reducing_gap=2.0))

    def stored(self):
        bank = self.bank["pictures"]
        return Image.open(io.BytesIO(self.r.choice(bank[self.r.choice(list(bank))]))).convert("RGB")

    def _colour(self):
        return tuple(self.r.choice([0, 255, self.r.randrange(256), self.r.randrange(256)]) for _ in "rgb")

    def _contrast(self, colour):
        return next(c for c in iter(self._colour, None) if abs(sum(c) - sum(colour)) > 220)

    def _words(self, most):
        text = " ".join(self.r.choice(TEXT[self.name]) for _ in range(self.r.randint(1, most)))
        return self.r.choice([text, text.upper(), text.title(), text.capitalize()])

    def _ground(self, w, h):
        """What a card stands on, and a colour that is seen on it."""
        r, e, a = self.r, self.r.random(), self._colour()
        if e < .5:
            return Image.new("RGB", (w, h), a), self._contrast(a)
        if e < .75:
            b = tuple(min(255, max(0, c + r.randint(-90, 90))) for c in a)
            ramp = Image.linear_gradient("L").rotate(r.choice([0, 90, 180, 270])).resize((w, h))
            return Image.composite(Image.new("RGB", (w, h), a), Image.new("RGB", (w, h), b), ramp), self._contrast(a)
        im = self.stored().resize((w, h)).filter(ImageFilter.GaussianBlur(r.choice([0, 3, 8]))).point(lambda v: v // 2)
        return im, (255, 255, 255)

    def _size(self, shape):
        w, h = FRAMES[shape]
        wide = {"pal": 4 / 3, "ntsc": 4 / 3}.get(shape, w / h)
        return (round(360 * wide), 360) if wide > 1 else (360, round(360 / wide))

    def _card(self, shape):
        """A title, credits, a page of text."""
        r, (w, h) = self.r, self._size(shape)
        im, ink = self._ground(w, h)
        draw, size, align = ImageDraw.Draw(im), int(h * math.exp(r.uniform(math.log(.05), math.log(.2)))), r.choice("lcr")
        font = _font(r.choice(self.fonts), size)
        lines = r.randint(1, max(1, min(9, int(h * .8 / (size * 1.3)))))
        y = r.uniform(.05, 1) * (h - lines * size * 1.3)
        for _ in range(lines):
            text = self._words(3 if size > .1 * h else 6)
            long = draw.textlength(text, font)
            draw.text(({"l": .06 * w, "c": (w - long) / 2, "r": .94 * w - long}[align], y), text, ink, font)
            y += size * 1.3
        if r.random() < .3:
            y, t = r.uniform(.1, .9) * h, r.uniform(.005, .03) * h
            draw.rectangle((.06 * w, y, r.uniform(.3, .94) * w, y + t), fill=self._colour())
        return im

    def _logo(self, shape):
        """The emblem of a station: a name on figures that lie over one another."""
        r, (w, h) = self.r, self._size(shape)
        im, ink = self._ground(w, h)
        draw, cx, cy, size = ImageDraw.Draw(im), w * r.uniform(.3, .7), h * r.uniform(.3, .7), min(w, h) * r.uniform(.15, .4)
        for _ in range(r.randint(2, 6)):
            x, y, a, b = cx + r.uniform(-.6, .6) * size, cy + r.uniform(-.5, .5) * size, size * r.uniform(.2, 1), size * r.uniform(.1, .7)
            fill, figure = self._colour(), r.randrange(4)
            if figure == 0:
                draw.ellipse((x - a, y - b, x + a, y + b), fill=fill)
            elif figure == 1:
                draw.rounded_rectangle((x - a, y - b, x + a, y + b), r.uniform(0, .5) * b, fill=fill)
            elif figure == 2:
                draw.arc((x - a, y - a, x + a, y + a), r.uniform(0, 360), r.uniform(0, 360), fill, max(2, int(b * .3)))
            else:
                draw.polygon([(x + a * r.uniform(-1, 1), y + b * r.uniform(-1, 1)) for _ in range(r.randint(3, 6))], fill=fill)
        font = _font(r.choice(self.fonts), int(size * r.uniform(.25, .7)))
        text = self._words(2)
        draw.text((cx - draw.textlength(text, font) / 2, cy + size * r.choice([-.2, .3, .6])), text, ink, font, stroke_width=r.choice([0, 0, 2]), stroke_fill=self._contrast(ink))
        return im

    def _chart(self, shape):
        """A test chart as a camera or a projector is set by: grid, circles, bursts of lines, steps, patches, a name."""
        r, (w, h) = self.r, self._size(shape)
        im = Image.new("RGB", (w, h), r.choice([(128, 128, 128), (100, 100, 100), (255, 255, 255), (0, 0, 0), (60, 60, 90)]))
        draw, line = ImageDraw.Draw(im), r.choice([(255, 255, 255), (220, 220, 220), (0, 0, 0), (255, 255, 0)])
        parts = r.sample(["grid", "circle", "bursts", "steps", "patches", "cross", "star"], r.randint(3, 6))
        if "grid" in parts:
            step, t = r.choice([20, 30, 36, 45]), r.choice([1, 2])
            for x in range(step // 2, w, step):
                draw.line((x, 0, x, h), line, t)
            for y in range(step // 2, h, step):
                draw.line((0, y, w, y), line, t)
        for name in parts:
            x, y, a, b = r.uniform(.05, .5) * w, r.uniform(.05, .7) * h, r.uniform(.25, .6) * w, r.uniform(.08, .25) * h
            if name == "circle":
                for radius in [.47, *r.sample([.1, .2, .3], r.randint(0, 3))]:
                    radius *= min(w, h)
                    draw.ellipse((w / 2 - radius, h / 2 - radius, w / 2 + radius, h / 2 + radius), outline=line, width=r.randint(1, 4))
            elif name == "bursts":
                for i in range(n := r.randint(3, 7)):
                    for at in np.arange(x + a * i / n, x + a * (i + .9) / n, r.choice([2, 3, 4, 6, 8]) * 2):
                        draw.rectangle((at, y, at + r.choice([1, 2, 3]), y + b), fill=line)
            elif name in ("steps", "patches"):
                for i in range(n := r.randint(5, 12)):
                    v = int(255 * i / (n - 1))
                    draw.rectangle((x + a * i / n, y, x + a * (i + 1) / n, y + b), fill=(v, v, v) if name == "steps" else self._colour())
            elif name == "cross":
                draw.line((w / 2, 0, w / 2, h), line, 2)
                draw.line((0, h / 2, w, h / 2), line, 2)
                draw.rectangle((2, 2, w - 3, h - 3), outline=line, width=r.randint(1, 6))
            elif name == "star":
                cx, cy, radius, n = r.choice([(w / 2, h / 2), (w * .15, h * .2), (w * .85, h * .8)]) + (min(w, h) * r.uniform(.08, .25), r.randint(9, 24))
                for i in range(n):
                    draw.pieslice((cx - radius, cy - radius, cx + radius, cy + radius), 360 * i / n, 360 * (i + .5) / n, fill=line)
        if r.random() < .7:
            font, text = _font(r.choice(self.fonts), r.randint(14, 40)), self._words(2)
            long = draw.textlength(text, font)
            x, y = (w - long) / 2, r.uniform(.1, .8) * h
            draw.rectangle((x - 4, y, x + long + 4, y + font.size * 1.3), fill=(0, 0, 0))
            draw.text((x, y), text, (255, 255, 255), font)
        return im

    def _console(self, shape):
        """A terminal or an editor full of lines."""
        r, (w, h) = self.r, self._size(shape)
        ground = r.choice([(0, 0, 0), (30, 30, 30), (0, 43, 54), (255, 255, 255), (48, 10, 36)])
        im = Image.new("RGB", (w, h), ground)
        draw, size = ImageDraw.Draw(im), r.randint(10, 20)
        font, inks = _font(r.choice(self.fonts), size), [self._contrast(ground) for _ in range(r.randint(1, 4))]
        if r.random() < .4:
            draw.rectangle((0, 0, w, size * 1.5), fill=self._colour())
        for y in range(4, r.randint(h // 3, h), int(size * 1.25)):
            if r.random() < .85:
                draw.text((4 + size * r.choice([0, 0, 2, 4]), y), self._words(12), r.choice(inks), font)
        return im

    def _lower_third(self, im):
        r = self.r
        im = im.copy()
        draw, (w, h) = ImageDraw.Draw(im), im.size
        top, fill = h * r.uniform(.65, .85), self._colour()
        draw.rectangle((0, top, w * r.uniform(.5, 1), top + h * .14), fill=fill)
        draw.text((w * .05, top + h * .02), self._words(4), self._contrast(fill), _font(r.choice(self.fonts), max(10, int(h * .08))))
        return im


@lru_cache(maxsize=None)
def _font(name, size):
    return ImageFont.truetype("/usr/share/fonts/" + name, size)
