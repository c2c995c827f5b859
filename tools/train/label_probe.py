"""How many objects of crowded stills the towers name right, before a text model reads them: of drawings that are trained on, and of the others.  `python label_probe.py DIR STATE [--stills N]`

STATE is a towers.pt, towers.state or text.pt; its heads say a label a cell, and the cells of an object vote."""
import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

import batches
from clips import Clips
from model import Thinker
from vocabulary import LABELS


def named(still, scores):
    """(label, is it what the towers say) of each object; scores [cells, 1 + labels]."""
    label, _, _, owner = batches.cell_targets(still, 1)
    for i in range(owner.max() + 1):
        if (mine := owner == i).any():
            yield LABELS[label[mine][0] - 1], int(scores[torch.from_numpy(mine)][:, 1:].sum(0).argmax()) + 1 == label[mine][0]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", type=Path, help="with tokenizer.json and banks")
    a.add_argument("state", type=Path)
    a.add_argument("--stills", type=int, default=200)
    a = a.parse_args()
    torch.set_num_threads(1)
    net = Thinker(Tokenizer.from_file(str(a.folder / "tokenizer.json")))
    state = torch.load(a.state, map_location="cpu")
    net.load_state_dict(state.get("net", state))
    for bank in ("seen", "unseen"):
        clips, right, n = Clips(9, a.folder / f"banks/{bank}.pkl", unseen=bank == "unseen"), Counter(), Counter()
        for i in range(a.stills // 10):
            shape = ("wide", "classic")[i % 2]
            stills = clips.crowds(shape, 10)
            with torch.no_grad():
                pictures = net.vision(net.patches(torch.from_numpy(np.stack([v.frames for v in stills])), shape), shape)
                scores = net.heads["label"](pictures).log_softmax(-1)
            for still, s in zip(stills, scores):
                for label, ok in named(still, s):
                    n["all"] += 1
                    n[label] += 1
                    right["all"] += ok
                    right[label] += ok
        share = {k: right[k] / n[k] for k in n}
        print(f"{bank} drawings: {100 * share.pop('all'):.1f} % of {n['all']} objects; the hardest: " + ", ".join(f"{k} {100 * v:.0f}" for k, v in sorted(share.items(), key=lambda x: x[1])[:10]), flush=True)


if __name__ == "__main__":
    main()
