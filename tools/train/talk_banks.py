"""Renders once what people say to nano, and what they say to each other: `python talk_banks.py DIR` writes DIR/talk-seen.pkl and DIR/talk-unseen.pkl

Both are dicts of texts -> float16 samples at RATE, a take each: those of PHRASES, which nano answers, and of ASIDES, short sentences that sound like them and are not meant for it. Voices of the
second file are never trained on, and so are its asides. Packages: espeak-ng flite."""
import pickle
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from foreign_banks import said
from vocabulary import NAMED, PHRASES, RATE, UNSEEN_VOICES, VOICES

MORE_VOICES = {  # espeak-ng's variants with names
    "seen": "Adam Alicia Andrea Annie antonio aunty belinda benjamin boris david ed edward grandma grandpa iven john linda max michael mike pablo paul quincy rob robert steph victor klatt2 klatt4 zac".split(),
    "unseen": "shelby norbert travis".split(),
}
FLITE = {"seen": {"kal": 120, "kal16": 105, "awb": 130, "rms": 110}, "unseen": {"slt": 170}}  # voice: its pitch in Hz
ASIDES = {
    "seen": "what do you mean|what do you want|what did you say|what time is it|what is the matter|who do you see|when do you leave|where is my coat|where is the kitchen|where is she now|where are they|how much is it|how are you|"
            "how many people came|how many days|how old is he|is there any milk|is there a shop|is he there|repeat after me|do it again|say hello to him|stop that noise|stop it now|thank her for me|thank goodness|tank you|"
            "and then|and now the news|not now|which one is yours|which way is it|which is better|can you hear me|can you see her|do you know|describe the man|any news|any more tea|he is larger|the fault is mine|a picture of him|"
            "come here|see you later|good morning|never mind|all right|I think so|let me see|you are right|the dog is in the house|the ball is mine|buy a fish|a blue car|it is a tree|look at the star".split("|"),
    "unseen": "what do you think|what can we do|what is it now|where is the station|where is my hat|where were you|how many years|how long is it|is there a doctor|is there any hope|repeat the year|say it to him|stop here please|"
              "thank him|and who|which one is mine|which is the way|can you help me|do you see him|describe the house|any ideas|that is larger|good evening|I do not know|see you soon|the ball was red|the dog was here".split("|"),
}


def takes(name, text, r):
    """(who, command) of each take."""
    espeak = lambda voice: (voice, ["espeak-ng", "-v", voice, "-s", str(r.randint(125, 205)), "-p", str(r.randint(20, 80)), "-w", "{out}", "{text}"])
    for voice in {"seen": VOICES, "unseen": UNSEEN_VOICES}[name]:
        yield from (espeak(voice) for _ in range(2 if text in ASIDES[name] else 3))
    for variant in MORE_VOICES[name]:
        yield espeak(r.choice(["en-us", "en-gb"]) + "+" + variant)
    for voice, pitch in FLITE[name].items():
        for _ in range(2 if text in ASIDES[name] else 4):
            yield "flite " + voice, ["flite", "-voice", voice, "--setf", f"duration_stretch={r.uniform(.85, 1.2):.2f}", "--seti", f"int_f0_target_mean={pitch * r.uniform(.85, 1.2):.0f}", "-o", "{out}", "-t", "{text}"]


def main(folder):
    for name, seed in (("seen", 5), ("unseen", 995)):
        path = Path(folder) / f"talk-{name}.pkl"
        if path.exists():
            continue
        r, bank = random.Random(seed), {}
        texts = [p.format(label) for ps in PHRASES.values() for p in ps for label in (NAMED if "{}" in p else [None])] + ASIDES[name]
        jobs = [(text, who, command) for text in texts for who, command in takes(name, text, r)]
        with ThreadPoolExecutor(2) as pool:
            for (text, who, _), x in zip(jobs, pool.map(lambda j: said(j[2], j[0]), jobs)):
                if len(x) > RATE // 10:
                    bank.setdefault(text, []).append((who, x))
        pickle.dump(bank, open(path, "wb"))
        print(path, len(jobs), f"{path.stat().st_size / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
