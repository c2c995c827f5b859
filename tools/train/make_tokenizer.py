"""Trains the tokenizer on the answers that the clips give: `python make_tokenizer.py DIR`"""
import random
import sys
from pathlib import Path

import questions
import tokenizer
from clips import Clips
from vocabulary import COLOURS, FRAMES, LABELS, PICTURES, QUESTIONS, SYSTEM, WORDS

folder = Path(sys.argv[1])
if not (folder / "tokenizer.json").exists():
    clips, corpus = Clips(7, folder / "banks/seen.pkl"), []
    for i in range(1500):
        shape, n = clips.r.choice(list(FRAMES)), clips.r.choice([2, 4, 4, 8])
        corpus += [a for _, a, _ in questions.answers(clips.video(shape, n), clips.audio(n / 2), clips.r)]
    once = [p for ps in QUESTIONS.values() for p in ps] + [SYSTEM, "system user assistant"] + LABELS + PICTURES + WORDS + list(COLOURS)
    corpus += [x for w in once for x in (w, " " + w)] * 400
    t = tokenizer.train(corpus, 1536, folder / "tokenizer.json")
    print("vocabulary", t.get_vocab_size(), {w: t.encode(w).tokens for w in random.Random(1).sample(LABELS, 5)})
