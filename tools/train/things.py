"""The objects that are composited: drawn shapes, and pictures from Debian's tuxpaint-stamps-default, fonts-noto-color-emoji and openclipart-png.

The last picture of each kind is never trained on."""
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vocabulary import COLOURS

STAMPS = Path("/usr/share/tuxpaint/stamps")
CLIPART = Path("/usr/share/openclipart/png")
EMOJI = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
PICTURES = {  # a stamp's path, an emoji, or the name of a clipart
    "airplane": ["vehicles/flight/planes/cartoon/plane.png", "✈", "airplane", "airplane_nicu_buculei_01"],
    "apple": ["food/fruit/apple_red.png", "🍎", "food/fruit/apple_fuji.png", "apple_mateya_01", "another_apple_01"],
    "banana": ["food/fruit/cartoon/banana.png", "🍌", "food/fruit/banana.png", "banana"],
    "bicycle": ["🚲", "bicycle_01", "bicycle_philippe_colin_01"],
    "bus": ["vehicles/masstransit/cartoon/double_decker_bus.png", "vehicles/masstransit/green_korean_bus.png", "🚌", "bus1_jarno_vasamaa_01"],
    "butterfly": ["seasonal/easter/butterfly.png", "animals/insects/cartoon/butterfly.png", "🦋", "butterfly_jonvdveen_01"],
    "car": ["vehicles/auto/beetle.png", "vehicles/auto/sedan.png", "🚗", "car_jamin_ellis_", "vehicles/auto/sportscar2.png"],
    "clock": ["⏰", "clock_michael_breuer_02", "🕐"],
    "dog": ["animals/mammals/dogs/dog.png", "🐶", "🐕", "dog_04_drawn_with_strai_02"],
    "duck": ["animals/birds/duck.png", "household/rubberduck.png", "🦆", "rubber_duck1_ganson"],
    "elephant": ["animals/mammals/elephant.png", "🐘", "elephant_01"],
    "fish": ["animals/fish/clownfish.png", "animals/fish/stripedfish.png", "🐟", "🐠", "brown_fish_01"],
    "frog": ["animals/amphibians/frog.png", "🐸", "animals/amphibians/frog-1.png"],
    "horse": ["animals/mammals/equines/horse.png", "🐴", "🐎"],
    "house": ["town/houses/cartoon/cityhouse.png", "🏠", "small_house_01", "house_gabrielle_nowicki_", "house_christoph_brill_01"],
    "key": ["household/key.png", "🔑", "key_juliane_krug_01"],
    "owl": ["animals/birds/owl.png", "🦉", "owl_on_branch_ganson"],
    "penguin": ["animals/birds/penguin.png", "animals/birds/magellanic_penguin.png", "🐧", "animals/birds/little-penguin.png"],
    "pizza": ["food/pizza.png", "🍕", "pizza_pepperoni", "pizza_4_stagioni_archite_01"],
    "pumpkin": ["food/vegetables/pumpkin_small.png", "🎃", "seasonal/halloween/jackolantern_mean.png", "pumpkin2_yemu_01"],
    "rose": ["plants/flowers/rose.png", "🌹", "rose"],
    "skull": ["seasonal/halloween/skull.png", "💀", "skull_charles_mccolm_01", "cute_skull_fredrik_holmq_01"],
    "snowman": ["people/cartoon/snowman.png", "⛄", "snowman_01"],
    "umbrella": ["☂", "☔", "umbrella", "canada_umbrella_ganson"],
}
LARGEST = 160  # pixels


def _crop(picture):
    alpha = np.asarray(picture)[..., 3] > 40
    ys, xs = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    return picture.crop((int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1))


@lru_cache(maxsize=None)
def picture(name):
    if name.endswith(".png"):
        im = Image.open(STAMPS / name)
    elif ord(name[0]) > 0x2000:
        im = Image.new("RGBA", (160, 160))
        ImageDraw.Draw(im).text((10, 10), name, font=ImageFont.truetype(EMOJI, 109), embedded_color=True)
    else:
        Image.MAX_IMAGE_PIXELS = None  # one clipart is poster sized
        im = Image.open(sorted(CLIPART.rglob(name + ".png"))[0])
    im = _crop(im.convert("RGBA"))
    im.thumbnail((LARGEST, LARGEST), Image.LANCZOS)
    return im


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


def shape(kind, r, avoid):
    """A drawn shape in a colour that is not near `avoid`: RGBA."""
    n = LARGEST * 2
    colours = [c for c in COLOURS.values() if sum(abs(a - b) for a, b in zip(c, avoid)) > 200]
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
    return _crop(im.resize((LARGEST, LARGEST), Image.LANCZOS))


def sprite(label, height, r, avoid=(0, 0, 0), unseen=False):
    """An object whose longer side is `height` pixels, cut to its visible pixels: float32 [h, w, 4]."""
    if label in PICTURES:
        im = picture(PICTURES[label][-1] if unseen else r.choice(PICTURES[label][:-1]))
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
