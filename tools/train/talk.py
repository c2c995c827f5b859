"""Conversations: what is said to nano, or beside it, and what it answers, laid out turn by turn as a session that remembers does (runtime/session/dialogue.h).

A turn is a run of media that ends half a second behind what was said: chunks of 2 s, in each the pictures that begin in it and then its sound; no text is asked. Turns of a batch have the same
lengths, so that their media stand at the same places.   `python talk.py` compares positions with transformers'."""
import dataclasses
import pickle
from dataclasses import dataclass

import numpy as np

import questions
from batches import log_mel
from clips import SOUND_KINDS
from talk_banks import ASIDES
from vocabulary import ASKED, FRAMES, LABELS, NAMED, PHRASES, RATE, SPOKEN, SYSTEM, TOKEN, UNIT, WORDS

PAIRS = 3                                   # of frames that are drawn; in a longer run the first one stands for those before
CHUNK = UNIT // TOKEN                       # audio tokens
AGAIN = ["video", "fault", "where", "count", "audio"]  # what "and now" may ask again
OTHERS = ("foreign", "aside", "words")      # kinds of what is not meant for it; others are of PHRASES
# How often each is said in a first and in a later turn.
FIRST = dict(foreign=.24, aside=.12, words=.03, video=.13, fault=.12, where=.2, count=.12, audio=.12, larger=.06, repeat=.02, thanks=.03, stop=.03)
LATER = dict(foreign=.16, aside=.08, words=.02, video=.07, fault=.06, where=.09, count=.06, audio=.05, larger=.16, repeat=.1, now=.24, thanks=.03, stop=.02)


@dataclass(eq=False)
class Said:
    kind: str             # of PHRASES or OTHERS
    answer: str
    label: str = None
    text: str = ""        # what was said, of PHRASES
    wave: np.ndarray = None
    end: float = 0        # of the speech, s from the beginning of the run


@dataclass
class Run:
    """The media of a turn, of one length in a batch."""
    tokens: int           # of sound
    offset: float         # when the first pair of pictures begins, s

    @property
    def pairs(self):
        """Seconds from the beginning at which pairs of pictures begin."""
        return [self.offset + j for j in range(9) if self.offset + j < self.tokens * TOKEN / RATE - .02]


def rows(run, pictures, at):
    """Ids' names and positions of a run behind position `at`: [(token, (t, h, w))], then what follows it; pictures = rows and columns of cells."""
    out, base = [("<|vision_bos|>", (at,) * 3), ("<|audio_bos|>", (at,) * 3)], at + 1
    for chunk in range(-(-run.tokens // CHUNK)):
        for begin in run.pairs:
            if chunk * 2 <= begin + .02 < chunk * 2 + 2:
                t = base + int(begin * 25 + .025)
                out += [("<|VIDEO|>", (t, base + h, base + w)) for h in range(pictures[0]) for w in range(pictures[1])]
        out += [("<|AUDIO|>", (base + i,) * 3) for i in range(chunk * CHUNK, min(run.tokens, (chunk + 1) * CHUNK))]
    end = base + run.tokens
    return out + [("<|audio_eos|>", (end,) * 3), ("<|vision_eos|>", (end,) * 3)], end + 1


class Talk:
    def __init__(self, clips, bank, silence=None):
        """silence: s behind what is said; None: as turns end in training."""
        self.clips, self.r, self.silence = clips, clips.r, silence
        clips.labels = LABELS[1:] + NAMED[1:] * 5  # what is asked for by name is there more often
        self.bank = pickle.load(open(bank, "rb"))
        self.asides = ASIDES["unseen" if clips.unseen else "seen"]

    # ---- what is said

    def utterance(self, text):
        r, (_, x) = self.r, self.r.choice(self.bank[text])
        return self._spoken(x)

    def _spoken(self, x):
        """As another voice or another room has it."""
        r, x = self.r, x.astype(np.float32)
        stretch = r.uniform(.93, 1.08) if self.clips.unseen else r.uniform(.85, 1.18)
        x = np.interp(np.arange(int(len(x) / stretch)) * stretch, np.arange(len(x)), x).astype(np.float32)
        if not self.clips.unseen:
            x = x - r.uniform(-.5, .5) * np.append(0, x[:-1]).astype(np.float32)
            if r.random() < .15:
                tail = int(r.uniform(.03, .15) * RATE)
                echo = self.clips.np.normal(0, 1, tail) * np.exp(-np.arange(tail) * 5 / tail)
                x = x + r.uniform(.1, .4) * np.convolve(x, echo / np.abs(echo).sum() * 3)[: len(x)].astype(np.float32)
        return x / max(1e-6, np.abs(x).max())

    def _others(self, n):
        """The end of what somebody says to somebody else, at most n samples."""
        r, foreign = self.r, self.clips.foreign
        kind = "words" if r.random() < .15 else "speech"
        who = r.choices(list(foreign.bank[kind]), [len(x) for x in foreign.bank[kind].values()])[0]
        n, parts, long = (n if r.random() < .6 else int(n * r.uniform(.3, 1))), [], 0
        while long < n and (kind == "speech" or len(parts) < 3):
            x = self._spoken(foreign._utterance(who, kind))
            parts = [x, np.zeros(int(r.uniform(.05, .35) * RATE), np.float32)] + parts
            long += len(parts[0]) + len(parts[1])
        return np.concatenate(parts[:-1])[-n:]

    def _words(self):
        """nano's thirty words, which answer nothing."""
        speech, parts = self.clips.bank["speech"], []
        voice = self.r.randrange(len(speech["one"]))
        for _ in range(self.r.randint(1, 3)):
            parts += [self._spoken(self.r.choice(speech[self.r.choice(WORDS)][voice])), np.zeros(int(self.r.uniform(.05, .25) * RATE), np.float32)]
        return np.concatenate(parts[:-1])

    def _sound(self, said, n, hears=False):
        """The samples of a run: something in the background, and what is said up to about half a second before the end. `hears`: the background is what is asked for."""
        r = self.r
        kinds = dict(silence=.2, tone=.35, noise=.15, ticks=.07, music=.15, hum=.08) if hears else dict(silence=.65, tone=.14, noise=.06, ticks=.03, music=.08, hum=.04)
        a = self.clips.audio(n / RATE, [kinds.get(k, 0) for k in SOUND_KINDS])
        if hears:
            said.answer = a.phrase.split(",")[0] + "."
        end = n - int(r.choices([r.uniform(.45, .62), r.uniform(.2, .35)], [.85, .15])[0] * RATE) if self.silence is None else n - int(self.silence * RATE)
        x = self._words() if said.kind == "words" else self._others(end - 800) if said.kind == "foreign" else self.utterance(said.text)
        x = x[-(end - 400) :]
        begin, said.end = end - len(x), end / RATE
        wave, gain = a.wave, r.uniform(.2, 1)
        if a.kind == "silence":
            wave = wave * 0 + self.clips.np.normal(0, np.exp(r.uniform(np.log(1e-5), np.log(.01))), n).astype(np.float32)
        elif begin > .7 * RATE and r.random() < .5:  # it ends before somebody speaks
            wave[begin - int(r.uniform(.02, .15) * RATE) :] = 0
        else:
            wave = wave * min(1, r.uniform(.05, .4) * gain / max(1e-6, np.abs(wave).max()))
        wave[begin:end] += x * gain
        said.wave = np.clip(wave, -1, 1).astype(np.float32)

    # ---- what is answered

    def _answers(self, v, pairs):
        """kind -> [(label, answer)] of what may be asked about the last pairs of a video."""
        black = v.event and v.event[0] == "black" or v.picture == "black screen" and v.kind == "pattern"
        plain, objects = dataclasses.replace(v, event=None), questions.seen(v, -1)
        out = {"count": [(None, str(len(objects)))], "thanks": [(None, "ready")], "stop": [(None, "")], "audio": [(None, "")]}
        out["video"] = [(None, "black screen." if black else questions.picture_phrase(plain) + ".")]
        first = 2 * (len(v.frames) // 2 - min(pairs, len(v.frames) // 2))
        if not (v.event and v.event[0] == "freeze" and v.event[1] <= first):  # of which nothing moves is no freeze
            out["fault"] = [(None, "Black picture." if black else "Video frozen." if v.event and v.event[0] == "freeze" else "No signal." if v.picture == "snow" and v.kind == "pattern" else "No fault.")]
        labels = [o[0] for o in objects]
        out["where"] = [(l, questions.zone(objects[labels.index(l)], v.shape) if l in labels else "nothing") for l in NAMED if labels.count(l) < 2]
        sizes = sorted(((o[3] - o[1]) * (o[4] - o[2]), o[0]) for o in objects)
        if len(sizes) > 1 and sizes[-1][0] > 1.5 * sizes[-2][0] and labels.count(sizes[-1][1]) == 1:
            out["larger"] = [(None, sizes[-1][1])]
        return out

    def _turn(self, v, run, before):
        """What is said in a run, behind [Said]."""
        r, may = self.r, self._answers(v, len(run.pairs))
        told = [s.answer for s in before if s.answer]
        may["repeat"] = [(None, told[-1] if told else "nothing")]
        last = next((s for s in reversed(before) if s.kind not in (*OTHERS, "now")), None)
        if last and last.kind in AGAIN and last.kind in may and any(l == last.label for l, _ in may[last.kind]):
            may["now"] = [(l, a) for l, a in may[last.kind] if l == last.label]
        weights = {k: w for k, w in (LATER if before else FIRST).items() if k in may or k in OTHERS}
        weights["where"] *= 1 if any(a != "nothing" for _, a in may["where"]) else .2
        kind = r.choices(list(weights), weights.values())[0]
        if kind in OTHERS:
            return Said(kind, "", text=r.choice(self.asides) if kind == "aside" else "")
        there = [x for x in may[kind] if x[1] != "nothing"]
        label, answer = r.choice(there if there and r.random() < .85 else may[kind])
        return Said(kind, answer, label, r.choice(PHRASES[kind]).format(label))

    def conversation(self, videos, runs):
        """[Said], one a run."""
        before = []
        for v, run in zip(videos, runs):
            said = self._turn(v, run, before)
            asked = next((s for s in reversed(before) if s.kind in AGAIN), None) if said.kind == "now" else said
            self._sound(said, run.tokens * TOKEN, asked.kind == "audio")
            before.append(said)
        return before

    def alone(self, n):
        """What is said in n windows of 2 s by itself: log-mels, and its words as numbers of SPOKEN, from 1 on."""
        mels, words = [], []
        for _ in range(n):
            kind = self.r.choices(list(PHRASES) + ["foreign"], [1, 1, 3, 1.5, 1, 1, 1, 1, 1, .7, 3])[0]
            said = Said(kind, "", text="" if kind == "foreign" else self.r.choice(PHRASES[kind]).format(self.r.choice(NAMED)))
            self._sound(said, UNIT)
            wave = np.roll(said.wave, -self.r.randrange(RATE // 3))
            mels.append(log_mel(wave))
            words.append([SPOKEN.index(x) + 1 for x in said.text.split()])
        return np.stack(mels), words

    def layout(self):
        r = self.r
        shape = r.choices(list(FRAMES), [w * ((s, "snow") in self.clips.patterns) for s, w in zip(FRAMES, (.45, .3, .13, .06, .06))])[0]
        if r.random() < .12:
            return shape, [Run(r.randint(100, 170), 0)]
        runs = [Run(r.randint(42, 75) if r.random() < .8 else r.randint(75, 110), r.choice([0, r.random()])) for _ in range(r.choices([1, 2, 3], [.25, .5, .25])[0])]
        return shape, [Run(run.tokens, 0 if i == 0 else run.offset) for i, run in enumerate(runs)]

    def scenes(self, shape, runs):
        """A video for each run; some go on being what they were."""
        pairs, videos = min(PAIRS, max(len(run.pairs) for run in runs)), []
        for _ in runs:
            videos.append(videos[-1] if videos and self.r.random() < .35 else self.clips.video(shape, 2 * max(2, pairs), (.22, .26, .44, .08)))
        return videos


def batch(talk, tokenizer, chains):
    """Conversations about `chains` sequences of scenes, several of each, fewer where they are longer."""
    shape, runs = talk.layout()
    each = (5, 3, 2)[len(runs) - 1]
    scenes = [talk.scenes(shape, runs) for _ in range(chains)]
    different = list({id(v): v for vs in scenes for v in vs}.values())
    talks = [(vs, talk.conversation(vs, runs)) for vs in scenes for _ in range(each)]
    w, h = (s // 28 for s in FRAMES[shape])
    token = tokenizer.token_to_id
    head = tokenizer.encode(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n").ids
    ask, end, after = tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n").ids, token("<|im_end|>"), tokenizer.encode("\n<|im_start|>user\n").ids
    answers = [[tokenizer.encode(s.answer).ids for s in said] for _, said in talks]
    ids, positions, targets, asked_at = ([[] for _ in talks] for _ in range(4))
    for i, said in enumerate(answers):
        ids[i] += head
        positions[i] += [(p,) * 3 for p in range(len(head))]
        at = len(head)
        for k, (run, answer) in enumerate(zip(runs, said)):
            media, at = rows(run, (h, w), at)
            text = ask + answer + [end] + (after if k + 1 < len(runs) else [])
            pad = max(len(a[k]) for a in answers) - len(answer)
            ids[i] += [token(name) for name, _ in media] + text + [-1] * pad
            positions[i] += [p for _, p in media] + [(at + j,) * 3 for j in range(len(text))] + [(0, 0, 0)] * pad
            first = len(ids[i]) - pad - len(text) + len(ask) - 1  # predicts the first token of the answer
            targets[i] += [-100] * (first - len(targets[i])) + answer + [end]
            asked_at[i].append(first)
            at += len(text)
        targets[i] += [-100] * (len(ids[i]) - len(targets[i]))
    ids, units, parts = np.array(ids), [], []
    for k, run in enumerate(runs):
        cut = run.tokens // CHUNK * UNIT
        units += [log_mel(said[k].wave[o : o + UNIT]) for _, said in talks for o in range(0, cut, UNIT)]
        parts.append(np.stack([log_mel(said[k].wave[cut:]) for _, said in talks]) if run.tokens % CHUNK else None)
    where = {id(v): i for i, v in enumerate(different)}
    kind = lambda s: ASKED.index(f"{s.kind} {s.label}" if s.kind == "where" else s.kind) if s.kind in PHRASES and s.kind != "stop" else 0
    spoken = [[[SPOKEN.index(x) + 1 for x in s.text.split()] if s.kind in PHRASES else [] if s.kind == "foreign" else None for s in said] for _, said in talks]
    return dict(talk=True, shape=shape, runs=[(run.tokens, len(run.pairs)) for run in runs], frames=np.stack([v.frames for v in different]), scene=np.array([[where[id(v)] for v in vs] for vs, _ in talks]),
                ids=np.maximum(ids, 0), seen=ids >= 0, positions=np.array(positions), target=np.array(targets), asked_at=np.array(asked_at), asked=np.array([[kind(s) for s in said] for _, said in talks]),
                units=np.stack(units) if units else None, parts=parts, alone=talk.alone(40), spoken=spoken)


def check():
    """Positions of a run of whole chunks equal transformers'."""
    import torch
    from model import MODES, Thinker
    from tokenizer import train
    net = Thinker(train([p for ps in PHRASES.values() for p in ps] + ["user system assistant"], 800, "/tmp/check_tokenizer.json"))
    for mode in ("clip", "short", "long"):
        for shape, (w, h) in FRAMES.items():
            ids, positions, _, _ = net.prompt(mode, shape)
            media, _ = rows(Run(MODES[mode][1], 0), (h // 28, w // 28), int((ids == net.tokenizer.token_to_id("<|vision_bos|>")).nonzero()[0]))
            assert [net.tokenizer.token_to_id(name) for name, _ in media] == ids[-len(media) :].tolist() and [list(p) for _, p in media] == positions.T[-len(media) :].tolist(), (mode, shape)
    print("positions are transformers'")


if __name__ == "__main__":
    check()
