"""Gives a new Thinker the voice of an earlier checkpoint, without teacher and codec: `python carry_voice.py DIR --earlier CHECKPOINT --thinker FOLDER [--minutes 4] [--steps 400]`

The earlier Talker says what the new Thinker answers, from the earlier Thinker's rows of the same answers; its codes are what the new rows are taught to. It begins with the earlier weights behind the linear map
from new rows to earlier ones (ridge regression towards the identity). Leaves in DIR/voice what export.py --voice wants."""
import argparse
import copy
import math
import pickle
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import DynamicCache

import questions
import speech
from clips import Clips
from speech import CODES, END, PAD, START, WIDTH
from thinker_rows import KINDS, SPECIAL, Reader
from train_speech import TalkerTask

RIDGE = 1000.0
LONGEST = 420  # codes


class Distilled(TalkerTask):
    """The batches of train_speech.py, of other data."""

    def __init__(self, data, net, r):
        self.special, self.prompts, self.net, self.r = {k: torch.from_numpy(v) for k, v in data["special"].items()}, data["prompts"], net, r
        nothing = lambda i: torch.zeros(len(i["codes"]), dtype=torch.long)
        items = [dict(i, codes=torch.tensor(i["codes"]), phones=nothing(i), words=nothing(i)) for i in data["items"]]
        r.shuffle(items)
        self.tests, self.items, self.order = items[:60], items[60:], []

    def loss(self):
        batch = self.next_batch()
        longest = 400 if self.r.random() < .25 else int(self.r.integers(0, 24))
        x, ids, target, _, _, mask, _ = self.build(batch[: max(2, len(batch) // 3)] if longest == 400 else batch, longest)
        slip = (torch.rand(ids.shape) < .08) & (ids > 0) & (ids < CODES)
        ids = torch.where(slip, torch.randint(1, CODES, ids.shape), ids)
        h = self.forward(x, ids, mask)
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.net.codec_head(h[target >= 0]).float()
        return F.cross_entropy(scores, target[target >= 0])

    @torch.no_grad()
    def judge(self):
        total = right = n = 0
        for i in range(0, len(self.tests), 8):
            x, ids, target, _, _, mask, _ = self.build(self.tests[i : i + 8], 400)
            scores, target = self.net.codec_head(self.forward(x, ids, mask).float()).flatten(0, 1), target.flatten()
            known = target >= 0
            total, n = total + float(F.cross_entropy(scores[known], target[known], reduction="sum")), n + int(known.sum())
            right += int((scores[known].argmax(-1) == target[known]).sum())
        return f"unseen: cross entropy {total / n:.3f}, codes right {right / n:.3f}"


@torch.no_grad()
def both(new, earlier, clips, r, seconds):
    """Answers that the new Thinker would give itself, with its rows and the earlier one's; prompts of both; pairs of rows."""
    items, prompts, pairs, begun = [], [], [], time.time()
    half = lambda x: x.numpy().astype(np.float16)
    while time.time() - begun < seconds:
        video, audio = clips.video(r.choice(["wide", "wide", "classic"]), 4, (.5, .2, .3)), clips.audio(2)
        mine, its = new.look(video, audio), earlier.look(video, audio)
        some = torch.randperm(len(mine))[:20]
        pairs.append((mine[some], its[some], 1.0))
        answers = {k: t for k, t, _ in questions.answers(video, audio, r) if k in KINDS}
        for kind in sorted({r.choice(KINDS) for _ in range(6)} & set(answers)):
            question = questions.question(kind, None, r)
            rows = new.rows(question, answers[kind], own=True)
            if not rows:
                continue
            ask, said = earlier.rows(question, answers[kind])
            pairs += [(rows[0], ask, 1.0), (rows[1], said, 3.0)]
            items.append(dict(text=answers[kind], reply=half(rows[1]), question=half(rows[0]), prompt=len(prompts), earlier=(its, ask, said)))
        prompts.append(half(mine))
    for token in SPECIAL.values():
        i = new.tokenizer.token_to_id(token)
        pairs.append((new.table[i][None], earlier.table[i][None], 200.0))
    print(len(items), "answers of", len(prompts), "clips", flush=True)
    return items, prompts, pairs


def linear_map(pairs):
    """[257, 256]: rows with a one behind them → earlier rows."""
    x, y = (torch.cat([p[i] for p in pairs]).double() for i in (0, 1))
    weight = torch.cat([torch.full((len(p[0]), 1), p[2]) for p in pairs]).double()
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    ridge = RIDGE * torch.eye(WIDTH + 1).double()
    ridge[WIDTH, WIDTH] = 1e-6
    identity = torch.cat([torch.eye(WIDTH), torch.zeros(1, WIDTH)]).double()
    a = torch.linalg.solve((x * weight).T @ x + ridge, (x * weight).T @ y + ridge @ identity)
    print(f"linear map: R² {1 - float(((x @ a - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()):.3f}", flush=True)
    return a.float()


@torch.no_grad()
def say(talker, special, items):
    """Puts into items the codes that the talker says of their earlier rows, greedily; None where it does not come to an end."""
    embedding, items = talker.model.embed_tokens, sorted(items, key=lambda i: len(i["earlier"][2]))
    for begin in range(0, len(items), 48):
        batch = items[begin : begin + 48]
        before = [torch.cat(i["earlier"][:2]) for i in batch]
        p, n = max(map(len, before)), len(batch)
        x, keep = torch.zeros(n, p + 2, WIDTH), torch.ones(n, p + 2, dtype=torch.bool)
        for b, (item, rows) in enumerate(zip(batch, before)):
            x[b, p - len(rows) : p], keep[b, : p - len(rows)] = rows, False
            x[b, p], x[b, p + 1] = special["bos"] + embedding.weight[PAD], item["earlier"][2][0] + embedding.weight[START]
        seen = torch.ones(p + 2, p + 2).tril().bool()[None] & keep[:, None] | torch.eye(p + 2).bool()[None]
        cache = DynamicCache()
        run = lambda x, seen: talker.model(inputs_embeds=talker.thinker_to_talker_proj(x), attention_mask={"full_attention": torch.zeros(seen.shape).masked_fill_(~seen, -1e4)[:, None]}, past_key_values=cache,
                                           use_cache=True).last_hidden_state[:, -1]
        h, codes, done = run(x, seen), [[] for _ in batch], [False] * n
        for step in range(1, LONGEST):
            scores = talker.codec_head(h)
            scores[:, 0] = scores[:, CODES:END] = scores[:, END + 1 :] = -1e9
            code = scores.argmax(-1)
            for b in range(n):
                done[b] |= bool(code[b] == END)
                if not done[b]:
                    codes[b].append(int(code[b]))
            if all(done):
                break
            rows = [i["earlier"][2] for i in batch]
            row = torch.stack([r[step] if step < len(r) else special["text_end" if step == len(r) else "text_pad"] for r in rows])
            keep = torch.cat([keep, torch.ones(n, 1, dtype=torch.bool)], 1)
            h = run((row + embedding(code))[:, None], keep[:, None])
        for b, item in enumerate(batch):
            item["codes"] = codes[b] if done[b] and len(codes[b]) > 3 else None
            del item["earlier"]


def part(weights, prefix):
    return {k[len(prefix) :]: v.float() for k, v in weights.items() if k.startswith(prefix)}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", type=Path)
    a.add_argument("--earlier", type=Path, required=True)
    a.add_argument("--thinker", type=Path, required=True)
    a.add_argument("--minutes", type=float, default=4, help="of looking at clips")
    a.add_argument("--steps", type=int, default=400)
    a = a.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    out = a.folder / "voice"
    out.mkdir(exist_ok=True)
    new, earlier, r = Reader(a.thinker), Reader(a.earlier), random.Random(101)
    ids = {k: new.tokenizer.token_to_id(v) for k, v in SPECIAL.items()}
    weights, net = load_file(a.earlier / "model.safetensors"), speech.new_talker(speech.talker_config(**ids))
    net.load_state_dict(part(weights, "talker."))
    items, prompts, pairs = both(new, earlier, Clips(101, a.folder / "banks/seen.pkl"), r, 60 * a.minutes)
    say(net.eval(), {k: earlier.table[i] for k, i in ids.items()}, items)
    data = dict(items=[i for i in items if i["codes"]], prompts=prompts, special={k: new.table[i].numpy() for k, i in ids.items()})
    with torch.no_grad():  # (row + code) · A through the earlier projection
        m = linear_map(pairs)
        projection = net.thinker_to_talker_proj
        projection.bias += projection.weight @ m[WIDTH]
        projection.weight.copy_(projection.weight @ m[:WIDTH].T)
        net.model.embed_tokens.weight.copy_(net.model.embed_tokens.weight @ torch.linalg.inv(m[:WIDTH]))
    task = Distilled(data, net, np.random.default_rng(0))
    print(len(task.items), "utterances;", task.judge(), flush=True)
    mean, optimiser = copy.deepcopy(net), torch.optim.AdamW(net.parameters(), 6e-4, betas=(.9, .98), weight_decay=.01)
    for step in range(a.steps):
        for g in optimiser.param_groups:
            g["lr"] = 6e-4 * min(1, (step + 1) / 30) * (.5 * (1 + math.cos(math.pi * step / a.steps)) + .01)
        optimiser.zero_grad()
        task.loss().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            for x, y in zip(mean.parameters(), net.parameters()):
                x.lerp_(y, 1 - min(.99, (step + 1) / (step + 10)))
        if step % 50 == 49:
            print(f"{step + 1}/{a.steps} {task.judge()}", flush=True)
    torch.save(mean.state_dict(), out / "talker.pt")
    torch.save(part(weights, "token2wav.code2wav_dit_model."), out / "dit.pt")
    torch.save(part(weights, "token2wav.code2wav_bigvgan_model."), out / "vocoder.pt")
    voice = next(iter(torch.load(a.earlier / "spk_dict.pt").values()))
    torch.save(dict(cond=voice["cond"][0], reference=voice["ref_mel"]), out / "voice.pt")
    pickle.dump(dict(ids=ids), open(out / "rows.pkl", "wb"))


if __name__ == "__main__":
    main()
