"""The objects that are composited: drawn shapes, and pictures with what keeps a few of them from being learned by heart."""
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from pictures import GLYPHS, LARGEST, PICTURES, crop, glyph, picture
from vocabulary import COLOURS


def _polygon(n, inner, turn):
    points = [(turn + math.pi * i / n, 1 if i % 2 == 0 else inner) for i in range(2 * n)]
    return [(.5 + .48 * r * math.sin(a), .5 - .48 * r * math.cos(a)) for a, r in points]


def _outline(kind, r):
    if kind == "square":
        m = r.uniform(0, .08)
        return [(m, .02), (1 - m, .02), (1 - m, .98), (m, .98)]
    if kind == "triangle":
        return [(r.uniform(.4, .6), .02), (.98, .98), (.02, .98)]
    if kind == "star":
        return _polygon(5, r.uniform(.36, .5), 0)
    if kind == "hexagon":
        return _polygon(3, 1, 0)
    if kind == "diamond":
        m = r.uniform(.1, .2)
        return [(.5, .02), (1 - m, .5), (.5, .98), (m, .5)]
    if kind == "cross":
        t = r.uniform(.1, .2)
        a, b = .5 - t, .5 + t
        return [(a, .02), (b, .02), (b, a), (.98, a), (.98, b), (b, b), (b, .98), (a, .98), (a, b), (.02, b), (.02, a), (a, a)]
    if kind == "arrow":
        t, h = r.uniform(.1, .18), r.uniform(.4, .6)
        return [(.02, .5 - t), (h, .5 - t), (h, .15), (.98, .5), (h, .85), (h, .5 + t), (.02, .5 + t)]
    if kind == "heart":
        ts = [2 * math.pi * i / 60 for i in range(60)]
        return [(.5 + .029 * 16 * math.sin(t) ** 3, .46 - .029 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))) for t in ts]
    return [(.5 + .48 * math.cos(2 * math.pi * i / 60), .5 + .48 * math.sin(2 * math.pi * i / 60)) for i in range(60)]  # ring and crescent begin as a disc


def _unlike(colour):
    """The colours that stand out from one."""
    return [c for c in COLOURS.values() if sum(abs(a - b) for a, b in zip(c, colour)) > 200]


def shape(kind, r, avoid):
    """A drawn shape in a colour that is not near `avoid`: RGBA."""
    n = LARGEST * 2
    colours = _unlike(avoid)
    fill = tuple(min(255, max(0, v + r.randint(-25, 25))) for v in r.choice(colours))
    im = Image.new("RGBA", (n, n))
    draw = ImageDraw.Draw(im)
    points = [(x * n, y * n) for x, y in _outline(kind, r)]
    draw.polygon(points, fill=fill + (255,))
    if kind == "ring":
        m = n * r.uniform(.16, .28)
        draw.ellipse((m, m, n - m, n - m), fill=(0, 0, 0, 0))
    elif kind == "crescent":
        m = n * r.uniform(.22, .34)
        draw.ellipse((m, -n * .04, n + m, n * .92), fill=(0, 0, 0, 0))
    elif r.random() < .3:  # a rim
        rim = r.choice(colours)
        draw.line(points + points[:2], fill=rim + (255,), width=int(n * r.uniform(.02, .06)), joint="curve")
    if r.random() < .3:    # lit from above
        shade = np.asarray(im).astype(np.float32)
        shade[..., :3] *= np.linspace(1, r.uniform(.6, .9), n)[:, None, None]
        im = Image.fromarray(shade.astype(np.uint8))
    return crop(im.resize((LARGEST, LARGEST), Image.LANCZOS))


def _painted(name, r, avoid):
    """A drawing in one colour, what it surrounds painted in another or left open."""
    ink, inside = glyph(name)
    colours = _unlike(avoid)
    line = r.choice([c for c in ((0, 0, 0), (255, 255, 255)) if c in colours] or colours) if r.random() < .4 else r.choice(colours)
    im = Image.new("RGBA", ink.size, line + (0,))
    if r.random() < .6:
        im.paste(r.choice(_unlike(line)), None, inside)
        im.putalpha(inside)
    im.paste(line, None, ink)
    im.putalpha(ImageChops.lighter(im.getchannel("A"), ink))
    return im


def _restyled(im, r):
    """The same drawing by another hand: in few colours, in two, with an outline, blurred, sharpened, cut by an edge, bent."""
    alpha = im.getchannel("A")
    colour = im.convert("RGB")
    if r.random() < .2:
        colour = colour.quantize(r.randint(3, 8)).convert("RGB")
    elif r.random() < .1:
        dark, light = (tuple(r.randrange(a, a + 100) for _ in "rgb") for a in (0, 150))
        colour = ImageOps.colorize(colour.convert("L"), dark, light)
    elif r.random() < .12:
        turned = list(colour.split())
        r.shuffle(turned)
        colour = Image.merge("RGB", turned)
    e = r.random()
    if e < .1:
        colour = colour.filter(ImageFilter.GaussianBlur(r.uniform(.5, 2.5)))
    elif e < .2:
        colour = colour.filter(ImageFilter.UnsharpMask(r.uniform(1, 4), 150, 2))
    if r.random() < .1:
        lines = ImageOps.invert(colour.convert("L").filter(ImageFilter.FIND_EDGES)).point(lambda x: max(0, 3 * x - 510))
        colour = ImageChops.multiply(colour, Image.merge("RGB", (lines,) * 3))
    im = colour.convert("RGBA")
    im.putalpha(alpha)
    if r.random() < .2:
        width, ink = r.randint(1, 6), r.choice([(0, 0, 0), (255, 255, 255), tuple(r.randrange(256) for _ in "rgb")])
        im = ImageOps.expand(im, width)
        rim = Image.new("RGBA", im.size, ink + (255,))
        rim.putalpha(im.getchannel("A").filter(ImageFilter.MaxFilter(2 * width + 1)))
        im = Image.alpha_composite(rim, im)
    if r.random() < .3:
        w, h = im.size
        corners = [side * (at + (.5 - at) * r.uniform(-.2, .3)) for at, side in zip((0, 0, 0, 1, 1, 1, 1, 0), (w, h) * 4)]  # x, y from the upper left one on, against the clock
        im = im.transform((w, h), Image.QUAD, corners, Image.BILINEAR)
    if r.random() < .12:
        w, h = im.size
        left, top, right, bottom = (int(r.choice([0, 0, r.uniform(0, .3)]) * s) for s in (w, h, w, h))
        im = im.crop((left, top, w - right, h - bottom))
    return im


def _varied(im, r):
    """Another picture of the same kind, as far as colours and proportions make one: hue, saturation, contrast, a slant, a stretch."""
    alpha = im.getchannel("A")
    colour = im.convert("RGB")
    if r.random() < .5:
        h, s, v = colour.convert("HSV").split()
        turn = r.randint(-22, 22) if r.random() < .8 else r.randint(0, 255)
        colour = Image.merge("HSV", (h.point(lambda x: (x + turn) % 256), s, v)).convert("RGB")
    colour = ImageEnhance.Color(colour).enhance(r.choice([r.uniform(.5, 1.4), 1, 0 if r.random() < .2 else 1]))
    colour = ImageEnhance.Contrast(colour).enhance(r.uniform(.7, 1.3))
    im = colour.convert("RGBA")
    im.putalpha(alpha)
    if r.random() < .6:
        w, h, slant = im.width, im.height, r.uniform(-.25, .25)
        wide = int(w + abs(slant) * h)
        im = im.transform((wide, h), Image.AFFINE, (1, slant, -max(0, slant * h), 0, 1, 0), Image.BILINEAR)
        im = im.resize((max(8, int(wide * r.uniform(.75, 1.3))), h), Image.BILINEAR)
    return im


def sprite(label, height, r, avoid=(0, 0, 0), unseen=False):
    """An object whose longer side is `height` pixels, cut to its visible pixels: float32 [h, w, 4]."""
    if label in PICTURES:
        known = PICTURES[label][unseen]
        which = r.randrange(len(known) + (0 if unseen else len(GLYPHS[label])))
        im = picture(known[which]) if which < len(known) else _painted(GLYPHS[label][which - len(known)], r, avoid)
        if not unseen:
            im = _varied(_restyled(im, r), r)
        if r.random() < .5:
            im = im.transpose(Image.FLIP_LEFT_RIGHT)
        turn = 20
    else:
        im, turn = shape(label, r, avoid), 180 if label in ("arrow", "crescent", "star", "ring") else 12
    if r.random() < .7:
        im = im.rotate(r.uniform(-turn, turn), Image.BILINEAR, expand=True)
    scale = height / max(im.size)
    im = im.resize((max(6, round(im.width * scale * r.uniform(.9, 1))), max(6, round(im.height * scale * r.uniform(.9, 1)))), Image.BICUBIC, reducing_gap=2.0)
    x = np.asarray(im).astype(np.float32)
    visible = x[..., 3] > 60
    ys, xs = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    if len(ys) < 4 or len(xs) < 4:
        return sprite(label, height * 1.2, r, avoid, unseen)
    x = x[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1].copy()
    x[..., :3] = np.clip(x[..., :3] * r.uniform(.85, 1.15), 0, 255)
    return x
