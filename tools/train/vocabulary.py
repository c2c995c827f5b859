"""What nano can see, hear and say: the closed world of its training."""

COLOURS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0), "cyan": (0, 255, 255),
    "magenta": (255, 0, 255), "orange": (255, 140, 0), "purple": (128, 0, 128), "gray": (128, 128, 128), "brown": (120, 70, 20), "pink": (255, 150, 190),
}

# videotestsrc pattern number -> its name; 17 is solid-color, 18 the ball. What a resize makes equal has one name.
PATTERNS = {
    0: "SMPTE color bars", 1: "snow", 2: "black screen", 3: "white screen", 4: "red screen", 5: "green screen", 6: "blue screen", 7: "checkers", 8: "checkers",
    9: "checkers", 10: "checkers", 11: "circular pattern", 12: "blinking screen", 13: "75% color bars", 14: "zone plate", 15: "gamut checkers", 16: "chroma zone plate",
    19: "100% color bars", 20: "vertical bar", 21: "pinwheel", 22: "spokes", 23: "gradient", 24: "color palette", 25: "RP 219 bars",
}
MOVING = {0, 1, 12, 14, 15, 16, 20, 21, 22}  # these need more than one sampled frame
SOLID = list(COLOURS)[5:]                    # colours without a pattern of their own
PICTURES = list(dict.fromkeys(PATTERNS.values())) + [c + " screen" for c in SOLID]
OTHER = "other picture"                      # whatever is none of these, and has none of the objects that it knows

SHAPES = ["square", "triangle", "star", "heart", "arrow", "cross", "ring", "diamond", "crescent", "hexagon"]  # drawn afresh each time
THINGS = ["airplane", "apple", "banana", "bus", "butterfly", "camera", "car", "clock", "dog", "duck", "fish", "flower", "guitar", "house", "key", "penguin", "pizza", "pumpkin",
          "scissors", "skull", "snowman", "strawberry", "tree", "umbrella"]                               # pictures, see pictures.py
LABELS = ["ball"] + SHAPES + THINGS

TONES = [100, 250, 440, 600, 800, 1000, 2000, 3000, 4000, 6000]
WAVES = {"sine": 0, "square": 1, "saw": 2, "triangle": 3}  # above 1 kHz only sine
NOISES = {"white noise": [5, 9], "pink noise": [6], "red noise": [10], "blue noise": [11], "violet noise": [12]}
WORDS = ("zero one two three four five six seven eight nine go stop left right up down yes no on off red green blue camera audio video signal alarm ready hello").split()
SOUNDS = ["silence"] + [str(f) for f in TONES] + list(NOISES) + ["ticks", "music", "hum", "speech"] + WORDS  # classes of a 40 ms audio token; speech is of other words
LEVELS = ["loud", "", "quiet"]                                                                     # peak .5-1, .07-.25, .004-.02

VOICES = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-us+m1", "en-us+m3", "en-us+m4", "en-gb+m7", "en-us+f1", "en-us+f2", "en-gb+f4", "en-us+f3", "en-029", "en-gb-x-gbcwmd",
          "en-us+m6", "en-gb+f2"]
UNSEEN_VOICES = ["en-gb-x-gbclan", "en-us+f5", "en-gb+m2"]

# Frame sizes after smart_resize(factor 28, max_pixels 39200): 16:9, 4:3, 9:16, 720x576, 720x480.
FRAMES = {"wide": (252, 140), "classic": (224, 168), "tall": (140, 252), "pal": (196, 168), "ntsc": (224, 140)}
SIZES = {"wide": [(320, 180), (640, 360), (1280, 720), (1920, 1080)], "classic": [(320, 240), (640, 480), (1024, 768)], "tall": [(360, 640), (1080, 1920)], "pal": [(720, 576)],
         "ntsc": [(720, 480)]}
UNSEEN_SIZES = {"wide": [(960, 540), (1024, 576)], "classic": [(400, 300), (800, 600)], "tall": [(540, 960)]}
FPS = 2            # sampled frames a second
RATE = 16000       # samples a second
TOKEN = 640        # samples an audio token
UNIT = 2 * RATE    # samples of one log-mel window

SYSTEM = "You monitor a live feed."
QUESTIONS = {
    "caption": ["Describe the feed.", "What is on air?", "Caption this."],
    "video": ["What does the video show?", "Describe the picture."],
    "audio": ["What do you hear?", "Describe the audio."],
    "detect": ["Detect all objects.", "Detect the objects as JSON."],
    "find": ["Where is the {}?", "Locate the {}."],
    "point": ["Point to the {}.", "Point at the {}."],
    "count": ["How many objects are there?", "Count the objects."],
    "where": ["Which part of the picture is the {} in?"],
    "motion": ["Which way does the {} move?"],
    "fault": ["Any fault?", "Report faults."],
    "word": ["What is said?", "Which words are spoken?"],
}

# What may be said to it instead; the answer to `stop`, and to whatever else is said, is nothing.
NAMED = ["ball", "dog", "car", "fish", "tree", "house", "star"]  # what may be asked for by name
PHRASES = {
    "video": ["what do you see", "what can you see", "describe the picture"],
    "fault": ["is there a fault", "any fault"],
    "where": ["where is the {}"],
    "count": ["how many", "how many objects are there"],
    "audio": ["what do you hear", "what can you hear"],
    "repeat": ["repeat that", "say that again"],
    "now": ["and now", "what about now"],
    "larger": ["which one is larger", "which is larger"],
    "thanks": ["thank you", "thanks"],
    "stop": ["stop", "be quiet"],
}
ASKED = ["nothing"] + [k for k in PHRASES if k not in ("where", "stop")] + ["where " + label for label in NAMED]  # classes of what was asked
SPOKEN = sorted({w for ps in PHRASES.values() for p in ps for label in NAMED for w in p.format(label).split()})  # its words
