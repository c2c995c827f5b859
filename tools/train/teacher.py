"""The voice that nano learns: Festival's cmu_us_slt_arctic_hts says sentences, with the times of every phone and word.  `python teacher.py DIR [N]`

Says what DIR/captions.json lists (thinker_rows.py) and N sentences more, and keeps DIR/teacher.pkl.

Packages: festival festvox-us-slt-hts."""
import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly

import mel
from sentences import sentences, spoken

# With its lexicon's "audio" Whisper understands 9 of 24 of them, with a stressed last vowel all of them.
FESTIVAL = """(voice_cmu_us_slt_arctic_hts)
(lex.add.entry '("audio" n (((ao) 1) ((d iy) 0) ((ow) 1))))
(define (say words base)
  (let ((u (utt.synth (eval (list 'Utterance 'Text words)))) (f (fopen (string-append base ".txt") "w")))
    (utt.save.wave u (string-append base ".wav") 'riff)
    (mapcar (lambda (s) (format f "%s %f %s\\n" (item.name s) (item.feat s 'end) (item.feat s "R:SylStructure.parent.parent.name"))) (utt.relation.items u 'Segment))
    (fclose f)))
"""
CODE = mel.HOP * 4 / mel.RATE  # s


def read(base):
    """16-bit samples cut to the speech and to whole codes, and for each code its phone and word."""
    x, rate = soundfile.read(base + ".wav", dtype="float32")
    x = resample_poly(x, mel.RATE // 8000, rate // 8000)
    loud = np.flatnonzero(np.convolve(np.abs(x), np.ones(240) / 240, "same") > .004)
    begin = max(0, loud[0] - 960)
    x = x[begin : loud[-1] + 2400]
    x = np.pad(x, (0, -len(x) % (mel.HOP * 4)))
    segments = [line.split() for line in open(base + ".txt")]
    phones, words, at = [], [], 0
    for k in range(len(x) // (mel.HOP * 4)):
        time = (k + .5) * CODE + begin / mel.RATE
        while at < len(segments) - 1 and time >= float(segments[at][1]):
            at += 1
        phones.append(segments[at][0])
        words.append(segments[at][2].lower() if segments[at][0] != "pau" else "")
    return (np.clip(x, -1, 1) * 32767).astype(np.int16), phones, words


def say(texts):
    """[(text, samples, phones, words)]"""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "say.scm"
        script.write_text(FESTIVAL + "\n".join(f'(say "{spoken(t)}" "{folder}/{i}")' for i, t in enumerate(texts)))
        subprocess.run(["festival", "-b", str(script)], check=True, stderr=subprocess.DEVNULL)
        return [(t, *read(f"{folder}/{i}")) for i, t in enumerate(texts)]


def main(folder, n=7000, held_out=160):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    unseen = sentences(held_out, 777)
    captions = json.load(open(folder / "captions.json")) if (folder / "captions.json").exists() else []
    seen = [t for t in dict.fromkeys(captions + sentences(n, 1, but=set(unseen))) if t not in unseen]
    done = []
    for texts in [unseen] + [seen[i : i + 500] for i in range(0, len(seen), 500)]:
        for text, samples, phones, words in say(texts):
            done.append(dict(text=text, wave=samples, mel=mel.mel(torch.from_numpy(samples / np.float32(32767))).numpy().astype(np.float16), phones=phones, words=words))
        print(len(done), "sentences", flush=True)
    pickle.dump(dict(unseen=done[: len(unseen)], seen=done[len(unseen) :]), open(folder / "teacher.pkl", "wb"))


if __name__ == "__main__":
    main(sys.argv[1], *(int(n) for n in sys.argv[2:]))
