"""Batches of clips with the targets of both training stages, made by worker processes."""
import multiprocessing
import os
import queue
import random

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import WhisperFeatureExtractor

import questions
from clips import Clips
from model import MODES
from tokenizer import HIGHEST
from vocabulary import FRAMES, LABELS, LEVELS, OTHER, PICTURES, RATE, TOKEN, UNIT

CROWDED = .65  # of the towers' batches
TALKED = .6    # of those of the stage talk
_mel = None


def log_mel(wave):
    """WhisperFeatureExtractor's features of one window, without its padding to 30 s: float32 [128, len / 160]."""
    global _mel
    if _mel is None:
        _mel = torch.from_numpy(np.asarray(WhisperFeatureExtractor(feature_size=128).mel_filters, np.float32)).T.contiguous(), torch.hann_window(400)
    filters, window = _mel
    x = torch.cat([torch.from_numpy(wave), torch.zeros(400)])
    power = torch.stft(x, 400, 160, window=window, return_complex=True, pad_mode="reflect")[:, : len(wave) // 160].abs() ** 2
    x = torch.clamp(filters @ power, min=1e-10).log10()
    return ((torch.maximum(x, x.max() - 8) + 4) / 4).numpy().astype(np.float32)


def cell_targets(v, frame):
    """For each 28-pixel cell of a frame: label (0 = none), ltrb and movement in cells, absolute box in pixels, which object of questions.seen (-1 = none)."""
    w, h = (s // 28 for s in FRAMES[v.shape])
    label, box, absolute, owner = np.zeros((h, w), np.int64), np.zeros((h, w, 6), np.float32), np.zeros((h, w, 4), np.float32), np.full((h, w), -1, np.int64)
    order = sorted(range(len(v.boxes[frame])), key=lambda i: (int(round(v.boxes[frame][i][1])), int(round(v.boxes[frame][i][2]))))
    for i in sorted(order, key=lambda i: -(v.boxes[frame][i][3] - v.boxes[frame][i][1]) * (v.boxes[frame][i][4] - v.boxes[frame][i][2])):
        name, x1, y1, x2, y2 = v.boxes[frame][i]
        before = v.boxes[frame - 1][i] if frame and len(v.boxes[frame - 1]) == len(v.boxes[frame]) else v.boxes[frame][i]
        movement = (x1 + x2 - before[1] - before[3]) / 56, (y1 + y2 - before[2] - before[4]) / 56
        mx, my = (x2 - x1) * .2, (y2 - y1) * .2
        for row in range(h):
            for column in range(w):
                x, y = column * 28 + 14, row * 28 + 14
                if (x1 + mx <= x <= x2 - mx and y1 + my <= y <= y2 - my) or (row == min(h - 1, int((y1 + y2) / 56)) and column == min(w - 1, int((x1 + x2) / 56))):
                    label[row, column], owner[row, column] = LABELS.index(name) + 1, order.index(i)
                    box[row, column] = (x - x1) / 28, (y - y1) / 28, (x2 - x) / 28, (y2 - y) / 28, *movement
                    absolute[row, column] = x1, y1, x2, y2
    return label.ravel(), box.reshape(-1, 6), absolute.reshape(-1, 4), owner.ravel()


def pictures_of_pairs(v):
    """The index of PICTURES that each pair of frames shows at its end; one more is OTHER."""
    out = []
    for last in range(1, len(v.frames), 2):
        black = v.event and ((v.event[0] == "black" and v.event[1] <= last - 1) or (v.event[0] == "back" and v.event[1] >= last + 1))
        out.append(len(PICTURES) if v.picture == OTHER and not black else PICTURES.index("black screen" if black else v.picture))
    return out


def tower_batch(clips, shape, n):
    """n clips of 2 s and as many sounds again, most of them speech."""
    videos = [clips.video(shape, 4, (.12, .12, .56, .2)) for _ in range(n)]
    sounds = [clips.audio(2) for _ in range(n)] + [clips.audio(2, (.04, .15, .1, .03, .03, .03, .4, .02, .2)) for _ in range(n)]
    cells = [[cell_targets(v, f) for f in (1, 3)] for v in videos]
    return dict(shape=shape, frames=np.stack([v.frames for v in videos]), label=np.array([[c[0] for c in p] for p in cells]), box=np.array([[c[1] for c in p] for p in cells]),
                picture=np.array([pictures_of_pairs(v) for v in videos]), changed=np.array([v.changed for v in videos], np.int64), mel=np.stack([log_mel(a.wave) for a in sounds]),
                sound=np.stack([a.classes for a in sounds]), level=np.array([a.level for a in sounds]), waveform=np.array([a.waveform for a in sounds]))


def crowded_batch(clips, shape, n):
    """n stills full of objects: eight times the boxes and labels of a batch of clips at its price."""
    stills = clips.crowds(shape, n)
    cells = [cell_targets(v, 1) for v in stills]
    return dict(shape=shape, frames=np.stack([v.frames for v in stills]), label=np.array([[c[0]] for c in cells]), box=np.array([[c[1]] for c in cells]),
                picture=np.array([pictures_of_pairs(v) for v in stills]), changed=np.array([v.changed for v in stills], np.int64))


WEIGHTS = dict(caption=.7, video=.35, audio=.3, detect=.9, find=.45, point=.2, count=.3, where=.2, motion=.35, fault=.6, word=.4)


def spans(kind, answer, objects, mine):
    """Which characters of an answer tell of which object: [(begin, end, index)]."""
    out, at = [], 0
    for i in mine:
        label, a, b, c, d = objects[i]
        for text in {"detect": [f"{a},{b},{c},{d}", label], "find": [f"{a},{b},{c},{d}", label], "point": [f"{(a + c) // 2},{(b + d) // 2}", label]}.get(kind, [label]):
            begin = answer.find(text, at)
            if begin >= 0:
                at = begin + len(text)
                out.append((begin, at, i))
    return out


def tenths(tokens):
    """The time of audio tokens as answers tell it: in tenths of a second, of which two make a step."""
    return np.arange(tokens) * TOKEN * 5 // RATE * 2


class Questions:
    """Packs question and answer pairs behind one media prefix; each pair sees the prefix and itself."""

    def __init__(self, tokenizer, length, boxes):
        self.t, self.length = tokenizer, length
        self.weights = dict(WEIGHTS, **(dict(caption=.1, video=.1, audio=.02, fault=.02, word=.02, find=.9, detect=1, point=.5, where=.4) if boxes else {}))
        self.end = tokenizer.token_to_id("<|im_end|>")
        self.numbers = {tokenizer.token_to_id(str(i)) for i in range(HIGHEST + 1)}

    def _order(self, v, a, pair, r):
        kind, _, label = pair
        w = self.weights[kind]
        if kind in ("detect", "find", "point") and not v.boxes[-1] and not (kind == "detect" and v.kind == "other"):
            w *= .2
        if kind in ("find", "point") and label not in [b[0] for b in v.boxes[-1]]:
            w *= .4
        if kind == "word" and not a.words and a.kind != "other speech":
            w *= .2
        if kind == "fault" and not (v and v.event) and not (a and a.lost):
            w *= .5
        return r.random() ** (1 / w)

    def pack(self, v, a, r):
        n = self.length
        ids, pair, offset, target, look, coordinate, lost = (np.full(n, fill, np.int64) for fill in (0, -1, 0, -100, -1, 0, 0))
        objects, at, count = questions.seen(v, -1) if v else [], 0, 0
        for kind, answer, label in sorted(questions.answers(v, a, r), key=lambda p: self._order(v, a, p, r), reverse=True):
            q = self.t.encode(questions.question(kind, label, r) + "<|im_end|>\n<|im_start|>assistant\n").ids
            e = self.t.encode(answer)
            k = len(q) + len(e.ids) + 1
            if at + k > n:
                continue
            ids[at : at + k] = q + e.ids + [self.end]
            pair[at : at + k], offset[at : at + k] = count, np.arange(k)
            first = at + len(q) - 1  # the position that predicts the first token of the answer
            target[first : first + len(e.ids) + 1] = e.ids + [self.end]
            if kind in ("detect", "find", "point"):
                coordinate[first : first + len(e.ids)] = [i in self.numbers for i in e.ids]
            if objects and kind in ("detect", "find", "point", "where", "motion", "caption", "video") and not (v.event and v.event[0] == "black"):
                mine = [i for i, o in enumerate(objects) if label in (None, o[0])]
                told = [(0, len(answer), mine[0])] if kind in ("where", "motion") else spans(kind, answer, objects, mine)
                for begin, end, i in told:
                    for j, (x, y) in enumerate(e.offsets):
                        if x < end and y > begin:
                            look[first + j] = i
            if a and a.lost is not None and kind in ("caption", "audio", "fault"):
                begin = answer.rindex(f"{a.lost:.1f} s")
                lost[first : first + len(e.ids)] = [begin <= x < begin + 3 for x, _ in e.offsets]
            at, count = at + k, count + 1
        return dict(ids=ids, pair=pair, offset=offset, target=target, look=look, coordinate=coordinate, lost=lost), count


def half_black(v):
    """Whether it goes black in the middle of a pair. The vision tower knew such pairs last of all (half_pairs.py)."""
    return bool(v.event) and v.event[0] == "black" and v.event[1] % 2 == 1


def text_batch(clips, packer, mode, shape, n, boxes):
    pairs, tokens, _ = MODES[mode]
    frames = 1 if mode == "image" else pairs * 2
    videos = [clips.video(shape, frames, (.06, .31, .53, .1) if boxes else (.2, .16, .46, .18)) if pairs else None for _ in range(n)]
    sounds = [clips.audio(tokens * TOKEN / RATE) if tokens else None for _ in range(n)]
    packed = [packer.pack(v, a, clips.r) for v, a in zip(videos, sounds)]
    out = dict(mode=mode, shape=shape, count=sum(c for _, c in packed), **{k: np.stack([p[k] for p, _ in packed]) for k in packed[0][0]})
    out["own"] = np.array([(v is None or v.kind != "other" and not half_black(v)) and (a is None or "other" not in a.kind) for v, a in zip(videos, sounds)])
    out["own picture"] = np.array([v is not None and v.kind != "other" for v in videos])
    if pairs:
        cells = [cell_targets(v, len(v.frames) - 1) for v in videos]
        out.update(frames=np.stack([np.repeat(v.frames, 2, 0) if mode == "image" else v.frames for v in videos]), label=np.stack([c[0] for c in cells]),
                   absolute=np.stack([c[2] for c in cells]), owner=np.stack([c[3] for c in cells]))
    if tokens:
        out["mel"] = np.stack([log_mel(part) for a in sounds for part in np.split(a.wave, range(UNIT, len(a.wave), UNIT))])
        out["sound"] = np.stack([a.classes for a in sounds])
        out["silent"] = np.stack([tenths(tokens) == (-1 if a.lost is None else round(a.lost * 10)) for a in sounds])  # the step in which the sound is lost
    return out


def _work(seed, made, stage, bank, tokenizer, n, length):
    torch.set_num_threads(1)
    torch.set_default_device("cpu")  # what forked this may have chosen a GPU
    os.nice(5)
    clips, r = Clips(seed, bank), random.Random(seed)
    if stage == "towers":
        while True:
            shape = r.choices(list(FRAMES), (.4, .3, .12, .09, .09))[0]
            made.put(crowded_batch(clips, shape, 2 * n) if r.random() < CROWDED else tower_batch(clips, shape, n))
    boxes = stage == "boxes"
    packer = Questions(Tokenizer.from_file(str(tokenizer)), length, boxes)
    talks = None
    if stage == "talk":
        import talk  # which needs log_mel
        talks = talk.Talk(Clips(seed + 1, bank), bank.with_name("talk-" + bank.name))
    while True:
        if talks and r.random() < TALKED:
            made.put(talk.batch(talks, packer.t, 3))
            continue
        mode = r.choices(list(MODES), (.1, .1, 0, .5, 0, .3) if boxes else (.45, .09, .06, .18, .08, .14))[0]
        few = max(1, n // 2) if mode == "long" else n
        made.put(text_batch(clips, packer, mode, r.choices(list(FRAMES), (.45, .3, .13, .06, .06))[0], few, boxes))


def stream(stage, bank, tokenizer, n, length, seed, workers=1):
    """Batches for ever, or until a worker dies."""
    context = multiprocessing.get_context("fork")
    made = context.Queue(6)
    running = [context.Process(target=_work, args=(seed + i, made, stage, bank, tokenizer, n, length), daemon=True) for i in range(workers)]
    for process in running:
        process.start()
    while True:
        try:
            yield made.get(timeout=10)
        except queue.Empty:
            if not all(process.is_alive() for process in running):
                raise RuntimeError("a worker died") from None
