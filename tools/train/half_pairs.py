"""Teaches the vision tower of what train.py left pairs that are half black: `python half_pairs.py IN.pt OUT.pt --banks DIR/banks [--steps 1100]`

Labels and boxes are taught at the second picture of a pair, so of one whose second picture is black the tower learned that nothing is there. Here it learns to give, of (picture, black), the
tokens that it gave of (picture, picture) plus a constant, by which the text model can tell the two apart; all other pairs, the black one before a picture among them, keep theirs. The text
model has to be trained afterwards: the stage foreign."""
import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from clips import Clips
from model import Thinker

RATE = 1.5e-3
SHAPES = {"wide": .45, "classic": .3, "tall": .13, "pal": .06, "ntsc": .06}
HALVES, OTHERS, WHOLE = 12, 6, 4  # pairs of a step: half black, any other, and of the first the picture standing


class Pairs(Clips):
    """Clips of one pair, half black or not."""

    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.half = False

    def _event(self, v, n):
        if self.half:
            v.frames[1:] = 0
            return
        before = v.frames.copy()
        super()._event(v, n)
        if v.event and v.event[0] == "black":
            v.frames = before

    def frames(self, shape, n, half):
        """uint8 [n, 2, h, w, 3]"""
        self.half = half
        return torch.from_numpy(np.stack([self.video(shape, 2, (.15, .1, .6, .15)).frames for _ in range(n)]))


def standing(frames):
    return frames[:, :1].expand(-1, 2, -1, -1, -1)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("net", type=Path)
    a.add_argument("out", type=Path)
    a.add_argument("--banks", type=Path, required=True)
    a.add_argument("--steps", type=int, default=1100)
    a = a.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(a.net.parent / "tokenizer.json"))
    net, old = Thinker(tokenizer), Thinker(tokenizer)
    for each in (net, old):
        each.load_state_dict(torch.load(a.net))
        each.requires_grad_(False)
    trained = [p for name, p in net.named_parameters() if "visual" in name]
    for p in trained:
        p.requires_grad_(True)
    opts = [torch.optim.Muon([p for p in trained if p.ndim == 2], lr=RATE, weight_decay=0, momentum=.95, nesterov=True, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW([p for p in trained if p.ndim != 2], lr=RATE, betas=(.9, .98), weight_decay=0)]
    tokens = lambda which, frames, shape: which.vision(which.patches(frames, shape).bfloat16(), shape).float()  # [pairs, cells, hidden]
    clips, unseen, r = Pairs(31_000_000, a.banks / "seen.pkl"), Pairs(7, a.banks / "unseen.pkl", unseen=True), random.Random(5)
    held = [(shape, unseen.frames(shape, 16, True), unseen.frames(shape, 16, False)) for shape in ("wide", "tall")]
    autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16)

    def offset(shape):
        half = clips.frames(shape, 24, True)
        return (tokens(old, half, shape) - tokens(old, standing(half), shape)).mean((0, 1))

    def distances():
        """On held-out pairs, in shares of the tokens' variance: of half black ones from what they shall be, of others from what they were."""
        half = kept = spread = 0.0
        for shape, h, others in held:
            aim = tokens(old, standing(h), shape)
            half += float(((tokens(net, h, shape) - aim - black) ** 2).mean())
            kept += float(((tokens(net, others, shape) - tokens(old, others, shape)) ** 2).mean())
            spread += float(((aim - aim.mean((0, 1))) ** 2).mean())
        return f"half black {half / spread:.3f}, others {kept / spread:.4f}"

    with torch.no_grad(), autocast():
        black = sum(offset(shape) for shape in ("wide", "classic", "tall")) / 3
    begun = time.time()
    for step in range(a.steps):
        for o in opts:
            for g in o.param_groups:
                g["lr"] = RATE * min(1, (step + 1) / 30) * max(.02, 1 - step / a.steps)
        shape = r.choices(list(SHAPES), SHAPES.values())[0]
        half, others = clips.frames(shape, HALVES, True), clips.frames(shape, OTHERS, False)
        whole = standing(half)
        with autocast():
            with torch.no_grad():
                aim, before = tokens(old, whole, shape), tokens(old, others, shape)
            now = tokens(net, torch.cat([half, others, whole[:WHOLE]]), shape)
            parts = now[:HALVES] - aim - black, now[HALVES : HALVES + OTHERS] - before, now[HALVES + OTHERS :] - aim[:WHOLE]
        sum((d**2).mean() for d in parts).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for o in opts:
            o.step()
            o.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == a.steps - 1:
            with torch.no_grad(), autocast():
                print(f"{step + 1}/{a.steps} {(time.time() - begun) / 60:.1f} min {distances()}", flush=True)
    torch.save(net.state_dict(), a.out)


if __name__ == "__main__":
    main()
