"""Trains one part of the speaking half and keeps its state: `python train_speech.py DIR codec|vocoder|dit|talker`; started again, it goes on where it was.

codec    mel → codes → mel, for its codes alone
vocoder  BigVGAN: recorded and decoded mel → wave
dit      the flow from noise to what the codec's decoder makes of the codes: with the recorded mel as target the variance that codes cannot explain is learned as noise
talker   rows of the Thinker's own answers (thinker_rows.py) → codes; two extra heads, dropped later, ask the hidden state for the phone and the word, without which it does not learn to align
"""
import argparse
import copy
import math
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import mel
import speech
from speech import CODES, END, PAD, REPEATS, SILENCE, START, WIDTH

STAGES = {"codec": dict(steps=1400, lr=2e-3), "vocoder": dict(steps=23100, lr=2e-3), "dit": dict(steps=18600, lr=1.5e-3), "talker": dict(steps=3200, lr=2e-3)}
FRAMES = 96  # of a crop for the DiT: its whole receptive field


def pick(items, lengths, n, r):
    return [items[i] for i in r.choice(len(items), n, p=lengths / lengths.sum())]


def crop(x, begin, n, fill=SILENCE):
    """Columns [begin, begin + n) of x, padded."""
    out = np.full((*x.shape[:-1], n), fill, np.float32)
    part = x[..., begin : begin + n]
    out[..., : part.shape[-1]] = part
    return out


class Task:
    """A network, what else is trained with it, and a loss a batch."""

    def __init__(self, folder, r):
        self.folder, self.r = folder, r
        data = pickle.load(open(folder / "teacher.pkl", "rb"))
        self.seen, self.unseen = data["seen"], data["unseen"][:40]
        self.lengths = np.array([d["mel"].shape[1] for d in self.seen], float)
        self.extra = nn.ModuleDict()

    def codec(self):
        c = speech.Codec()
        c.load_state_dict(torch.load(self.folder / "codec.pt"))
        return c.eval()

    @torch.no_grad()
    def with_codes(self):
        """Adds to each recording its codes and what the codec's decoder makes of them."""
        codec, path = self.codec(), self.folder / "codes.pkl"
        if not path.exists():
            codes = {d["text"]: codec.codes(torch.from_numpy(d["mel"].astype(np.float32))[None])[0].numpy().astype(np.int16) for d in self.seen + self.unseen}
            pickle.dump(codes, open(path, "wb"))
        codes = pickle.load(open(path, "rb"))
        for d in self.seen + self.unseen:
            if d["text"] not in codes:
                codes[d["text"]] = codec.codes(torch.from_numpy(d["mel"].astype(np.float32))[None])[0].numpy().astype(np.int16)
            d["codes"] = codes[d["text"]].astype(np.int64)
        return codec


class CodecTask(Task):
    betas, decay, clip = (.9, .98), 1e-3, 1.0

    def __init__(self, *a):
        super().__init__(*a)
        self.net = speech.Codec()

    def loss(self, done):
        x = torch.from_numpy(np.stack([crop(d["mel"], self.r.integers(0, max(1, d["mel"].shape[1] - 127)), 128) for d in pick(self.seen, self.lengths, 16, self.r)]))
        y = self.net(x)
        d = y - x
        l1 = d.abs().mean()
        return l1 + .5 * d.square().mean() + .5 * (d[:, :, 1:] - d[:, :, :-1]).abs().mean(), dict(l1=l1)

    @torch.no_grad()
    def judge(self):
        used, error, n = set(), 0, 0
        for d in self.unseen:
            x = torch.from_numpy(d["mel"].astype(np.float32))[None]
            codes = self.net.codes(x)
            used |= set(codes[0].tolist())
            error, n = error + float((self.net.decode(codes) - x).abs().mean()) * x.shape[2], n + x.shape[2]
        return f"unseen l1 {error / n:.4f}, {len(used)} codes used"


class VocoderTask(Task):
    betas, decay, clip = (.8, .98), 1e-4, 5.0
    N = 28  # frames a crop

    def __init__(self, *a):
        super().__init__(*a)
        self.net, self.decoder = speech.new_vocoder(), self.with_codes()
        self.windows = {n: torch.hann_window(n) for n in (256, 512, 1024, 2048)}

    def spectral(self, y, x):
        total = 0
        for n, window in self.windows.items():
            a, b = (torch.sqrt(s.real**2 + s.imag**2 + 1e-7) for s in (torch.stft(v, n, n // 4, n, window, return_complex=True) for v in (y, x)))
            total = total + torch.norm(b - a) / (torch.norm(b) + 1e-3) + (torch.log(a + 1e-3) - torch.log(b + 1e-3)).abs().mean()
        return total / len(self.windows)

    def loss(self, done):
        waves, mels = [], []
        for i, d in enumerate(pick(self.seen, self.lengths, 8, self.r)):
            begin = int(self.r.integers(0, max(1, len(d["codes"]) - self.N // REPEATS + 1)))
            m = d["mel"]
            if i % 2 and done > .3:  # what the DiT will give
                with torch.no_grad():
                    near = slice(max(0, begin - 8), begin + self.N // REPEATS + 8)
                    m = self.decoder.decode(torch.from_numpy(d["codes"][near])[None])[0].numpy()
                m = m[:, (begin - near.start) * REPEATS :]
            else:
                m = m[:, begin * REPEATS :]
            mels.append(crop(m, 0, self.N))
            waves.append(crop(d["wave"][None], begin * REPEATS * mel.HOP, self.N * mel.HOP, 0)[0] / 32767)
        x, y = torch.from_numpy(np.stack(waves)), speech.vocode(self.net, torch.from_numpy(np.stack(mels)))
        l1 = (mel.mel(y) - mel.mel(x)).abs().mean()
        return self.spectral(y, x) + 2 * l1, dict(mel=l1)

    @torch.no_grad()
    def judge(self):
        e = [float((mel.mel(speech.vocode(self.net, m := torch.from_numpy(d["mel"].astype(np.float32))[None])) - m).abs().mean()) for d in self.unseen[:12]]
        return f"unseen mel l1 {np.mean(e):.4f}"


class DitTask(Task):
    betas, decay, clip = (.9, .98), .01, 1.0

    def __init__(self, *a):
        super().__init__(*a)
        codec, self.net = self.with_codes(), speech.new_dit()
        with torch.no_grad():
            for d in self.seen + self.unseen:
                d["made"] = codec.decode(torch.from_numpy(d["codes"])[None])[0].numpy().astype(np.float16)
        self.net.proj_out.bias.data = torch.from_numpy(np.concatenate([d["made"].astype(np.float32) for d in self.seen[:300]], 1).mean(1))
        self.long = [d for d in self.seen if d["mel"].shape[1] >= 240]
        self.cond = torch.randn(16, generator=torch.Generator().manual_seed(5))
        self.reference = torch.from_numpy(self.long[0]["mel"][:, 20:220].astype(np.float32)).T[None]
        torch.save(dict(cond=self.cond, reference=self.reference), self.folder / "voice.pt")  # what spk_dict.pt will hold

    def batch(self, n=32):
        x, codes = np.empty((n, FRAMES, mel.BANDS), np.float32), np.empty((n, FRAMES // REPEATS), np.int64)
        for i, d in enumerate(pick(self.seen, self.lengths, n, self.r)):
            k = FRAMES // REPEATS
            begin = int(self.r.integers(0, max(1, len(d["codes"]) - k + 1)))
            part = d["codes"][begin : begin + k]
            codes[i] = np.pad(part, (0, k - len(part)), mode="edge")
            frames = d["made"][:, begin * REPEATS : (begin + len(part)) * REPEATS].astype(np.float32)
            x[i] = np.pad(frames, ((0, 0), (0, FRAMES - frames.shape[1])), mode="edge").T
        heard = []
        for _ in range(8):
            m = self.long[self.r.integers(len(self.long))]["mel"]
            begin = self.r.integers(0, m.shape[1] - 120)
            heard.append(m[:, begin : begin + 120].astype(np.float32).T)
        return torch.from_numpy(x), torch.from_numpy(codes), torch.from_numpy(np.stack(heard))

    def loss(self, done):
        x, codes, heard = self.batch()
        n = len(x)
        nobody = n // 8  # the rows of guidance: no speaker, no codes
        cond = self.cond.expand(n, -1).clone()
        cond[:nobody], codes[:nobody], heard[0] = 0, 0, 0
        time, noise = torch.rand(n), torch.randn_like(x)
        at = time[:, None, None]
        speaker = self.net.input_embed.spk_encoder(heard).repeat_interleave(nobody, 0)
        with torch.autocast("cpu", torch.bfloat16):
            v = speech.velocity(self.net, (1 - at) * noise + at * x, speaker, cond, codes, time)
        return (v.float() - (x - noise)).square().mean(), {}

    @torch.no_grad()
    def judge(self):
        torch.manual_seed(3)
        e = [float((self.net.sample(self.cond[None], self.reference, torch.from_numpy(d["codes"])[None], num_steps=3, guidance_scale=.5)[0] - torch.from_numpy(d["made"].astype(np.float32))).abs().mean())
             for d in self.unseen[:8]]
        return f"l1 to the decoder's mel {np.mean(e):.4f}"


class TalkerTask(Task):
    betas, decay, clip = (.9, .98), .05, 1.0

    def __init__(self, *a):
        super().__init__(*a)
        self.with_codes()
        rows = pickle.load(open(self.folder / "rows.pkl", "rb"))
        self.special = {k: torch.from_numpy(v) for k, v in rows["special"].items()}
        self.prompts = rows["prompts"]
        phones, words, recorded = {}, {}, {}
        for d in self.seen + self.unseen:
            recorded[d["text"]] = dict(codes=torch.from_numpy(d["codes"]), phones=torch.tensor([phones.setdefault(p, len(phones)) for p in d["phones"]]),
                                       words=torch.tensor([words.setdefault(w, len(words)) for w in d["words"]]))
        said = [dict(recorded[s["text"]], reply=s["reply"], question=s["question"], prompt=s["prompt"]) for s in rows["said"] if s["text"] in recorded]
        self.tests, self.items = said[:60], said[60:]
        self.net = speech.new_talker(speech.talker_config(**rows["ids"]))
        self.extra = nn.ModuleDict(dict(phone=nn.Linear(256, len(phones)), word=nn.Linear(256, len(words))))
        self.order = []
        print(len(self.items), "utterances,", len(words), "words", flush=True)

    def build(self, items, longest):
        """The stream of Talker.generate(): prompt · bos + pad · reply 0 + start · codes + the rest of the reply, its end, padding."""
        prompts = []
        for item in items:
            p = np.concatenate([self.prompts[item["prompt"]], item["question"]]).astype(np.float32)
            prompts.append(torch.from_numpy(p[len(p) - min(len(p), longest) :]))
        p = max(len(x) for x in prompts)
        n = max(len(i["codes"]) for i in items) + 2 + p
        x, ids = torch.zeros(len(items), n, WIDTH), torch.full((len(items), n), -1)
        target, phone, word = (torch.full((len(items), n), -100) for _ in range(3))
        mask = torch.ones(len(items), n, dtype=torch.long)
        for b, (item, prompt) in enumerate(zip(items, prompts)):
            reply, codes, k = torch.from_numpy(item["reply"].astype(np.float32)), item["codes"], len(item["codes"])
            x[b, p - len(prompt) : p], mask[b, : p - len(prompt)] = prompt, 0
            x[b, p], x[b, p + 1] = self.special["bos"], reply[0]
            rest = torch.cat([reply[1:], self.special["text_end"][None]])[:k]
            x[b, p + 2 : p + 2 + len(rest)] = rest
            x[b, p + 2 + len(rest) : p + 2 + k] = self.special["text_pad"]
            ids[b, p], ids[b, p + 1], ids[b, p + 2 : p + 2 + k] = PAD, START, codes
            target[b, p + 1 : p + 1 + k], target[b, p + 1 + k] = codes, END
            phone[b, p + 1 : p + 1 + k], word[b, p + 1 : p + 1 + k] = item["phones"], item["words"]
        return x, ids, target, phone, word, mask, p

    def forward(self, x, ids, mask):
        embedded = self.net.model.embed_tokens(ids.clamp(min=0)) * (ids >= 0)[..., None]
        seen = torch.ones(x.shape[1], x.shape[1]).tril().bool()[None] & mask[:, None].bool()
        seen |= torch.eye(x.shape[1]).bool()[None]
        bias = torch.zeros(seen.shape).masked_fill_(~seen, -1e4)[:, None]
        with torch.autocast("cpu", torch.bfloat16):
            return self.net.model(inputs_embeds=self.net.thinker_to_talker_proj(x + embedded), attention_mask={"full_attention": bias.bfloat16()}, use_cache=False).last_hidden_state

    def loss(self, done):
        if not self.order:  # batches of about 1800 codes, alike in length
            order = sorted(range(len(self.items)), key=lambda i: len(self.items[i]["codes"]) + self.r.uniform(0, 12))
            batch = []
            for i in order:
                batch.append(i)
                if len(batch) * (len(self.items[i]["codes"]) + 2) >= 1800:
                    self.order.append(batch)
                    batch = []
            self.r.shuffle(self.order)
        batch = [self.items[i] for i in self.order.pop()]
        longest = 400 if self.r.random() < .12 else int(self.r.integers(0, 24))
        if longest == 400:
            batch = batch[: max(2, len(batch) // 4)]
        x, ids, target, phone, word, mask, p = self.build(batch, longest)
        if self.r.random() < .3:  # transformers leaves these two out where a mask of ones was dropped
            ids[:, p : p + 2] = -1
        slip = (torch.rand(ids.shape) < .1) & (ids > 0) & (ids < CODES)  # its own mistakes must not lead it astray
        ids = torch.where(slip, torch.randint(1, CODES, ids.shape), ids)
        h = self.forward(x, ids, mask)
        h, flat = h[target >= 0], target[target >= 0]
        with torch.autocast("cpu", torch.bfloat16):
            scores, phones, words = self.net.codec_head(h).float(), self.extra["phone"](h).float(), self.extra["word"](h).float()
        code = F.cross_entropy(scores, flat)
        where = target[target >= 0] != END
        phones, words = F.cross_entropy(phones[where], phone[phone >= 0]), F.cross_entropy(words[where], word[word >= 0])
        return code + (.5 if done < .5 else .2) * phones + (1 if done < .5 else .3) * words, dict(code=code, phone=phones, word=words)

    @torch.no_grad()
    def judge(self):
        total = n = 0
        for i in range(0, len(self.tests), 8):
            x, ids, target, _, _, mask, _ = self.build(self.tests[i : i + 8], 12)
            scores = self.net.codec_head(self.forward(x, ids, mask).float())
            total, n = total + float(F.cross_entropy(scores.flatten(0, 1), target.flatten(), ignore_index=-100)) * (k := int((target >= 0).sum())), n + k
        return f"unseen cross entropy {total / max(1, n):.3f}"


TASKS = dict(codec=CodecTask, vocoder=VocoderTask, dit=DitTask, talker=TalkerTask)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", type=Path)
    a.add_argument("stage", choices=STAGES)
    a.add_argument("--steps", type=int)
    a.add_argument("--from", dest="begin", type=Path, help="weights of an earlier run to begin with")
    a = a.parse_args()
    torch.set_num_threads(1)
    s = dict(STAGES[a.stage], **({"steps": a.steps} if a.steps else {}))
    state_file, final = a.folder / f"{a.stage}.state", a.folder / f"{a.stage}.pt"
    if final.exists():
        sys.exit(f"{final} is there already")
    torch.manual_seed(0)
    task = TASKS[a.stage](a.folder, np.random.default_rng(int(time.time())))
    if a.begin:
        task.net.load_state_dict(torch.load(a.begin))
    mean = copy.deepcopy(task.net)  # of the weights over the last steps
    parameters = list(task.net.parameters()) + list(task.extra.parameters())
    optimiser, step = torch.optim.AdamW(parameters, s["lr"], betas=task.betas, weight_decay=task.decay), 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=False)
        task.net.load_state_dict(state["net"])
        task.extra.load_state_dict(state["extra"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
        print("goes on at step", step, flush=True)
    average, saved = {}, time.time()
    while step < s["steps"]:
        done = step / s["steps"]
        for g in optimiser.param_groups:
            g["lr"] = s["lr"] * min(1, (step + 1) / 60) * (.5 * (1 + math.cos(math.pi * done)) + .01)
        loss, parts = task.loss(done)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, task.clip)
        optimiser.step()
        step += 1
        keep = min(.995, (step + 1) / (step + 10))
        with torch.no_grad():
            for x, y in zip(mean.parameters(), task.net.parameters()):
                x.lerp_(y, 1 - keep)
        for k, v in {"loss": loss, **parts}.items():
            v = float(v.detach())
            average[k] = .97 * average.get(k, v) + .03 * v
        if step % 50 == 0:
            print(f"{step}/{s['steps']} {time.process_time() / 60:.1f} cpu-min " + " ".join(f"{k}:{v:.4f}" for k, v in average.items()), flush=True)
        if step % 400 == 0 or step == s["steps"]:
            now, task.net = task.net, mean
            print(task.judge(), flush=True)
            task.net = now
        if time.time() - saved > 180 or step == s["steps"]:
            torch.save(dict(net=task.net.state_dict(), extra=task.extra.state_dict(), mean=mean.state_dict(), optimiser=optimiser.state_dict(), step=step), state_file.with_suffix(".tmp"))
            state_file.with_suffix(".tmp").rename(state_file)
            saved = time.time()
    torch.save(mean.state_dict(), final)


if __name__ == "__main__":
    main()
