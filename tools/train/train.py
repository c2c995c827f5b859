"""Trains one stage and keeps its state: `python train.py DIR STAGE`; started again, it goes on where it was.

towers  the vision and audio towers, by what their tokens should know (labels, boxes, patterns, sounds, levels)
boxes   the text model on frozen towers, mostly boxes: the slowest skill first
text    the text model on frozen towers, everything
joint   all of it together, the towers slowly
foreign the text model and, slowly, the audio tower of a finished checkpoint (--begin-with), which learns what it was not made for; of what
        it was made for the rows that its Talker reads stay near the checkpoint's, since the Talker is not trained with them
talk    the same of what it is told aloud: questions without a text, in conversations that it remembers (models/nano has not had it yet)
"""
import argparse
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import batches
from model import Thinker
from thinker_rows import Reader
from tokenizer import HIGHEST
from vocabulary import SOUNDS, WORDS

STAGES = {  # steps, clips a batch, learning rates of Muon and AdamW, share of the steps that cool down, of the rates for the towers, for the audio tower if another, packed answer tokens
    "towers": dict(steps=28100, n=16, muon=2e-3, adam=2e-3, cool=.3, towers=1.0, length=0),
    "boxes": dict(steps=650, n=16, muon=3e-3, adam=2e-3, cool=.3, towers=0.0, length=96),
    "text": dict(steps=8650, n=16, muon=3e-3, adam=1.5e-3, cool=.4, towers=0.0, length=160),
    "joint": dict(steps=2000, n=16, muon=1e-3, adam=5e-4, cool=.6, towers=.2, length=160),
    "foreign": dict(steps=1500, n=8, muon=1e-3, adam=1e-3, cool=1, towers=0.0, hearing=.5, length=160),
    "talk": dict(steps=1700, n=8, muon=1e-3, adam=1e-3, cool=1, towers=0.0, hearing=.9, length=160),
}
ORDER = list(STAGES)
CALLED_OTHER = 3.0  # weight of the loss of an own picture that is called other, beside the one of its right name


def tensor(array):
    """On the device that main chose."""
    return torch.from_numpy(array).to(torch.get_default_device())


def sound_losses(net, sounds, true):
    """Of the classes [n, tokens] that audio tokens [n, tokens, hidden] have."""
    scores, word = net.heads["sound"](sounds).float(), true >= SOUNDS.index(WORDS[0])
    right = (scores.argmax(-1) == true).float()
    return {"sound": F.cross_entropy(scores.flatten(0, 1), true.flatten()), "_sound": right[~word].mean(), "_word": right[word].mean()}


def tower_losses(net, b, pictures, sounds):
    t, head = (lambda k: tensor(b[k])), net.heads
    out = {}
    label = t("label").flatten(0, 1)
    scores = head["label"](pictures).float()
    weight = torch.where(label > 0, 3.0, 1.0)
    out["label"] = 3 * (F.cross_entropy(scores.flatten(0, 1), label.flatten(), reduction="none") * weight.flatten()).sum() / weight.sum()
    there = label > 0
    if there.any():
        box, true = head["box"](pictures[there]).float(), t("box").flatten(0, 1)[there]
        out["box"] = 2 * F.smooth_l1_loss(box[:, :4], true[:, :4], beta=.1)
        out["movement"] = F.smooth_l1_loss(box[:, 4:], true[:, 4:], beta=.1)
        both = (torch.minimum(box[:, 0], true[:, 0]) + torch.minimum(box[:, 2], true[:, 2])).clamp(min=0) * (torch.minimum(box[:, 1], true[:, 1]) + torch.minimum(box[:, 3], true[:, 3])).clamp(min=0)
        area = lambda x: (x[:, 0] + x[:, 2]).clamp(min=0) * (x[:, 1] + x[:, 3]).clamp(min=0)
        iou = both / (area(box) + area(true) - both + 1e-4)
        out["overlap"] = .5 * (1 - iou.mean())
        out["_iou"], out["_label"] = iou.mean(), (scores[there].argmax(-1) == label[there]).float().mean()
    mean = pictures.mean(1)
    for name, key, w in (("picture", "picture", .5), ("changed", "changed", .3)):
        scores, true = head[name](mean).float(), t(key).flatten()
        out[name], out["_" + name] = w * F.cross_entropy(scores, true), (scores.argmax(-1) == true).float().mean()
    if sounds is None:
        return out
    out |= sound_losses(net, sounds, t("sound"))
    mean = sounds.mean(1)
    for name in ("level", "waveform"):
        known = t(name) >= 0
        if known.any():
            scores, true = head[name](mean[known]).float(), t(name)[known]
            out[name], out["_" + name] = .3 * F.cross_entropy(scores, true), (scores.argmax(-1) == true).float().mean()
    return out


def number_targets(sigma):
    n = torch.arange(HIGHEST + 1.0)
    p = torch.exp(-((n[:, None] - n) ** 2) / (2 * sigma**2))
    return p / p.sum(1, keepdim=True)


def text_losses(net, b, pictures, sounds, sigma, taps=True, kept=None):
    t, mode, shape = (lambda k: tensor(b[k])), b["mode"], b["shape"]
    prefix, positions, at_pictures, at_sounds = net.prompt(mode, shape)
    n, p = len(b["ids"]), len(prefix)
    ids = torch.cat([prefix.expand(n, -1), t("ids")], 1)
    x = net.embed(ids, pictures, sounds, mode, shape)
    offset = t("offset") + int(positions.max()) + 1
    all_positions = torch.cat([positions[:, None].expand(3, n, -1), offset[None].expand(3, -1, -1)], 2)
    pair = torch.cat([torch.full((n, p), -2), t("pair")], 1)
    size = p + t("ids").shape[1]
    seen = torch.ones(size, size).tril().bool() & ((pair[:, None] == -2) | (pair[:, None] == pair[:, :, None]))
    hidden, tap, look = net.text(x, all_positions, torch.zeros(seen.shape).masked_fill_(~seen, -1e4))

    out, asked = {}, t("target") >= 0
    embedding = net.embedding()
    own = t("own")
    if kept and own.any():
        # What it said before of its own it says as before, in the rows that its Talker reads: last hidden state and embedding.
        with torch.no_grad():
            looked = kept.vision(kept.patches(t("frames")[own], shape).bfloat16(), shape) if pictures is not None else None
            heard = kept.audio(t("mel").unflatten(0, (n, -1))[own].flatten(0, 1).bfloat16()) if sounds is not None else None
            before = kept.text(kept.embed(ids[own], looked, heard, mode, shape), all_positions[:, own], torch.zeros(seen[own].shape).masked_fill_(~seen[own], -1e4))[0].float()
            before = before + F.embedding(ids[own], kept.embedding())
        now = hidden[own].float() + F.embedding(ids[own], embedding)
        there = (pair != -1)[own]
        out["kept"] = 3 * ((now - before)[there] ** 2).mean() / (before[there] ** 2).mean()
    true, coordinate = t("target")[asked], t("coordinate")[asked].bool()
    scores = F.linear(hidden[:, p:][asked], embedding).float()
    log_p = F.log_softmax(scores, -1)
    loss = -log_p.gather(1, true[:, None])[:, 0]
    out["_nll"], guess = loss[~coordinate].mean(), scores.argmax(-1)
    out["_right"] = (guess == true)[~coordinate].float().mean()
    soft = number_targets(sigma)
    value = torch.full((embedding.shape[0],), -1, dtype=torch.long)
    value[net.numbers] = torch.arange(HIGHEST + 1)
    if coordinate.any():
        at = coordinate.nonzero()[:, 0]
        loss = loss.index_put((at,), -(soft[value[true[at]]] * log_p[at][:, net.numbers]).sum(1))
        out["_pixels"] = (value[guess[at]] - value[true[at]]).abs().float().mean()
    # Where a picture is hard to see, its own names share what is left of the probability, and "other", one word for everything else, would win though it is unlikely.
    named = t("own picture")[:, None].expand_as(asked)[asked] & ~torch.isin(true, net.other)
    called_other = -torch.log1p(-log_p[:, net.other].exp().sum(1).clamp(max=.999))
    out["_other"] = called_other[named].sum() / max(1, len(ids))
    loss = loss + CALLED_OTHER * named * called_other
    weight = torch.where(coordinate, 1.5, 1.0)
    out["language"] = 2 * (loss * weight).sum() / weight.sum()

    if taps and pictures is not None:
        cells = t("label").shape[1]
        last = at_pictures[-cells:]
        media = tap[:, last]
        label, there = t("label"), t("label") > 0
        scores = net.heads["tap_label"](media).float()
        weight = torch.where(there, 3.0, 1.0)
        out["tap label"] = .5 * (F.cross_entropy(scores.flatten(0, 1), label.flatten(), reduction="none") * weight.flatten()).sum() / weight.sum()
        if there.any():
            # The media tokens shall carry their box in the very form in which the answer says it, so that saying it is copying it.
            own = F.rms_norm(media[there], (media.shape[-1],))
            said = F.linear(net.heads["tap_numbers"](own).unflatten(-1, (4, -1)), embedding[net.numbers]).float()
            box = t("absolute")[there].round().long().clamp(0, HIGHEST)
            out["tap box"] = -(soft[box] * F.log_softmax(said, -1)).sum(-1).mean()
            out["_tap pixels"] = (said.argmax(-1) - box).abs().float().mean()
        who = t("look")
        if (who >= 0).any():
            mine = (t("owner")[:, None] == who[:, :, None]) & (who >= 0)[:, :, None]
            found = (look[:, :, p:, last].float() * mine[:, None]).sum(-1)
            known = mine.any(-1)
            found = found.permute(0, 2, 1)[known]
            out["look"] = -.3 * torch.log(found + 1e-4).mean()
            out["_looks"] = found.mean()

    if taps and sounds is not None:
        # So shall the audio tokens carry their time, second and tenth, and where an answer says when a sound was lost it shall look there.
        own = F.rms_norm(tap[:, at_sounds], (tap.shape[-1],))
        said = F.linear(net.heads["tap_time"](own).unflatten(-1, (2, -1)), embedding[net.numbers[:10]]).float()
        tenths = tensor(batches.tenths(len(at_sounds)))
        out["tap time"] = .5 * F.cross_entropy(said.flatten(0, 2), torch.stack([tenths // 10, tenths % 10], -1).expand(n, -1, -1).flatten())
        told = t("lost").bool() & t("silent").any(1)[:, None]
        if told.any():
            found = (look[:, :, p:, at_sounds].float() * t("silent")[:, None, None].float()).sum(-1).permute(0, 2, 1)[told]
            out["look at time"] = -.3 * torch.log(found + 1e-4).mean()
            out["_looks at time"] = found.mean()
    return out


def talk_losses(net, b, pictures, sounds):
    """Of conversations: what is answered, and of the sound which words of questions are in it."""
    t = lambda k: tensor(b[k])
    ids, scene, n = t("ids"), t("scene"), len(b["ids"])
    pictures = pictures.unflatten(0, (-1, b["frames"].shape[1] // 2))
    drawn = pictures.shape[1]
    looked = [pictures[scene[:, k], max(0, j - pairs + drawn)] for k, (_, pairs) in enumerate(b["runs"]) for j in range(pairs)]
    x = F.embedding(ids, net.embedding()).to(pictures.dtype)
    x = x.index_copy(1, (ids[0] == net.config.video_token_id).nonzero()[:, 0], torch.cat(looked, 1).to(x.dtype))
    x = x.index_copy(1, (ids[0] == net.config.audio_token_id).nonzero()[:, 0], torch.cat(sounds, 1).to(x.dtype))
    size = ids.shape[1]
    seen = torch.ones(size, size).tril().bool() & t("seen")[:, None]
    hidden = net.text(x, t("positions").permute(2, 0, 1), torch.zeros(seen.shape).masked_fill_(~seen, -1e4))[0]

    true, asked_at = t("target"), t("asked_at")
    asked = true >= 0
    scores = F.linear(hidden[asked], net.embedding()).float()
    loss = F.cross_entropy(scores, true[asked], reduction="none")
    first = torch.zeros_like(asked).scatter_(1, asked_at, torch.ones_like(asked_at, dtype=torch.bool))[asked]
    right = (scores.argmax(-1) == true[asked]).float()
    weight = torch.where(first, 3.0, 1.0)
    at_end = hidden.gather(1, asked_at[..., None].expand(-1, -1, hidden.shape[-1]))
    kind = net.heads["asked"](at_end).float().flatten(0, 1)
    out = {"talk": 2 * (loss * weight).sum() / weight.sum(), "asked": .3 * F.cross_entropy(kind, t("asked").flatten()), "_talk": right.mean(), "_begins": right[first].mean(), "_asked": (kind.argmax(-1) == t("asked").flatten()).float().mean()}
    said = [(s, words) for k, s in enumerate(sounds) for s, words in zip(s, (w[k] for w in b["spoken"])) if words is not None]
    said += list(zip(net.audio(tensor(b["alone"][0]).bfloat16()), b["alone"][1]))
    log_p = net.spoken(torch.nn.utils.rnn.pad_sequence([s for s, _ in said])).log_softmax(-1)
    words, lengths = torch.tensor([w for _, words in said for w in words]), [torch.tensor([len(x[i]) for x in said]) for i in (0, 1)]
    out["spoken"] = .1 * F.ctc_loss(log_p, words, *lengths, reduction="none", zero_infinity=True).mean()
    return out


def heard(net, b):
    """Audio tokens of conversations, [clips, tokens, hidden] a run."""
    units = net.audio(tensor(b["units"]).bfloat16()) if b["units"] is not None else None
    out, at, n = [], 0, len(b["ids"])
    for (tokens, _), part in zip(b["runs"], b["parts"]):
        whole = tokens // 50
        pieces = [units[at : at + n * whole].reshape(n, whole * 50, -1)] if whole else []
        at += n * whole
        out.append(torch.cat(pieces + ([net.audio(tensor(part).bfloat16())] if part is not None else []), 1))
    return out


def share(name, stage):
    """Of the stage's learning rates, for a parameter."""
    s = STAGES[stage]
    hearing = s.get("hearing", s["towers"])
    if "audio_tower" in name or name.startswith(("heads.sound", "heads.spoken")):
        return hearing if "audio_tower" in name else float(hearing > 0)
    if "visual" in name or name.startswith("heads.") and "tap" not in name and "asked" not in name:
        return s["towers"]
    return 0.0 if stage == "towers" else 1.0


def optimisers(net, stage):
    """Muon for matrices, AdamW for the rest; a group for each learning rate."""
    s, groups = STAGES[stage], {"muon": {}, "adam": {}}
    for name, p in net.named_parameters():
        scale = 0.0 if name == "hf.lm_head.weight" else share(name, stage)
        p.requires_grad_(scale > 0)
        if scale > 0:
            groups["muon" if p.ndim == 2 and "embed" not in name and "heads" not in name else "adam"].setdefault(scale, []).append(p)
    made = []
    for kind in ("muon", "adam"):
        parameters = [dict(params=params, scale=scale) for scale, params in groups[kind].items()]
        if not parameters:
            continue
        made.append((torch.optim.Muon(parameters, lr=s["muon"], weight_decay=.02, momentum=.95, nesterov=True, adjust_lr_fn="match_rms_adamw") if kind == "muon" else
                     torch.optim.AdamW(parameters, lr=s["adam"], betas=(.9, .98), eps=1e-8, weight_decay=.01), s[kind]))
    return made


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", type=Path)
    a.add_argument("stage", choices=STAGES)
    a.add_argument("--steps", type=int)
    a.add_argument("--clips", type=int, dest="n", help="a batch")
    a.add_argument("--begin-with", type=Path, metavar="CHECKPOINT", help="where no earlier stage is in the folder: the Thinker of a checkpoint, models/nano for one; its tokenizer.json must be the folder's")
    a.add_argument("--rate", type=float, default=1, help="of the learning rates: .5 for weights that were trained before, whose last cooling a full rate undoes")
    a.add_argument("--cool", type=float, help="share of the steps that cool down; 1 with such weights")
    a.add_argument("--device", default="cpu", help="cuda, where there is one: then as many workers as processors")
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--workers", type=int, default=1)
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_default_device(a.device)
    s = dict(STAGES[a.stage], **{k: v for k, v in (("steps", a.steps), ("n", a.n), ("cool", a.cool)) if v})
    torch.manual_seed(0)
    net = Thinker(Tokenizer.from_file(str(a.folder / "tokenizer.json")))
    state_file, final = a.folder / f"{a.stage}.state", a.folder / f"{a.stage}.pt"
    if final.exists():
        sys.exit(f"{final} is there already")
    for earlier in reversed(ORDER[: ORDER.index(a.stage)]):
        if (a.folder / f"{earlier}.pt").exists():
            net.load_state_dict(torch.load(a.folder / f"{earlier}.pt", map_location=a.device), strict=a.stage != "talk")  # heads of its own
            print("begins with", earlier, flush=True)
            break
    else:
        if a.begin_with:  # what only training asks of it begins afresh
            net.hf.load_state_dict(Reader(a.begin_with).thinker.state_dict())
    kept = None
    if a.begin_with and a.stage in ("foreign", "talk"):
        kept = Thinker(Tokenizer.from_file(str(a.folder / "tokenizer.json"))).requires_grad_(False)
        kept.hf.load_state_dict(Reader(a.begin_with).thinker.state_dict())
    taps = not a.begin_with  # what only training asks of the media tokens is not in a checkpoint, and to learn it afresh would undo what they carry
    opts, step, clips = optimisers(net, a.stage), 0, 0
    if state_file.exists():
        state = torch.load(state_file, map_location=a.device)
        net.load_state_dict(state["net"])
        for (o, _), saved in zip(opts, state["optimisers"]):
            o.load_state_dict(saved)
        step, clips = state["step"], state["clips"]
        print("goes on at step", step, flush=True)
    log, average, begun, saved = open(a.folder / f"{a.stage}.log", "a"), {}, time.time(), time.time()
    trained = [p for p in net.parameters() if p.requires_grad]
    for b in batches.stream(a.stage, a.folder / "banks/seen.pkl", a.folder / "tokenizer.json", s["n"], s["length"], 1000 * ORDER.index(a.stage) + 10 * step, a.workers):
        done = step / s["steps"]
        rate = min(1, (step + 1) / 60) * min(1, max(.02, (1 - done) / s["cool"]))
        for o, lr in opts:
            for g in o.param_groups:
                g["lr"] = lr * a.rate * rate * g["scale"]
        with torch.autocast(a.device, dtype=torch.bfloat16), torch.set_grad_enabled(True):
            frames, mel = b.get("frames"), b.get("mel")
            with torch.set_grad_enabled(s["towers"] > 0):
                pictures = net.vision(net.patches(tensor(frames), b["shape"]).bfloat16(), b["shape"]) if frames is not None else None
            talks = "talk" in b
            with torch.set_grad_enabled(s.get("hearing", s["towers"]) > 0):
                sounds = heard(net, b) if talks else net.audio(tensor(mel).bfloat16()) if mel is not None else None
            losses = talk_losses(net, b, pictures, sounds) if talks else tower_losses(net, b, pictures, sounds) if a.stage == "towers" else text_losses(net, b, pictures, sounds, max(1.2, 6 * (1 - 2 * done)) if a.stage == "boxes" else 1.2, taps, kept)
            if a.stage in ("foreign", "talk") and sounds is not None and not talks:
                losses |= sound_losses(net, sounds.reshape(len(b["sound"]), -1, sounds.shape[-1]), tensor(b["sound"]))
        sum(v for k, v in losses.items() if k[0] != "_").backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for o, _ in opts:
            o.step()
            o.zero_grad(set_to_none=True)
        step, clips = step + 1, clips + len(b.get("frames", b.get("ids")))
        for k, v in losses.items():
            v = float(v.detach()) if torch.is_tensor(v) else v
            if v == v:
                average[k] = .97 * average.get(k, v) + .03 * v
        if step % 50 == 0 or step == 5:
            line = f"{step}/{s['steps']} {clips} clips {(time.time() - begun) / 60:.1f} min {time.process_time() / 60:.1f} cpu-min " + " ".join(f"{k}:{v:.3f}" for k, v in average.items())
            print(line, flush=True)
            print(line, file=log, flush=True)
        if time.time() - saved > 240 or step >= s["steps"]:
            torch.save(dict(net=net.state_dict(), optimisers=[o.state_dict() for o, _ in opts], step=step, clips=clips), state_file.with_suffix(".tmp"))
            state_file.with_suffix(".tmp").rename(state_file)
            saved = time.time()
        if step >= s["steps"]:
            torch.save(net.state_dict(), final)
            break


if __name__ == "__main__":
    main()
