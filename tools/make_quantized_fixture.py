#!/usr/bin/env python3
"""Writes tests/fixtures/quantized: the text model of the fixture qwen2_5_omni/a as each published layout stores
it, and what transformers computes with the weights that the stored numbers stand for.

    tools/make_quantized_fixture.py [--out tests/fixtures/quantized] [--only NAME]

NAME/checkpoint/quantized.safetensors  the linear layers, packed here from the layouts' definitions, which
                                       runtime/io/quantized/*.cc name; everything else is a's, by a link
NAME/expected.{safetensors,json}       as tools/make_fixtures.py writes them

Needs what tools/make_fixtures.py needs (transformers 5.24 was used). With compressed-tensors installed, what is
packed for it is compared with what its own packer makes.
"""
import argparse, json, os, pathlib, shutil
import torch
from safetensors.torch import load_file, save_file
import make_fixtures as base
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

BASE = pathlib.Path(__file__).parent.parent / "tests/fixtures/qwen2_5_omni/a"
TEXT = "thinker.model.layers."
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # which output each nibble of a word holds


def pack(x, bits, axis):
    """Unsigned numbers, `bits` each, into int32 along `axis`, lowest bits first."""
    x = x.movedim(axis, -1).to(torch.int64)
    words = x.reshape(*x.shape[:-1], -1, 32 // bits)
    shifts = torch.arange(0, 32, bits)
    packed = (words << shifts).sum(-1)
    packed = torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)
    return packed.movedim(-1, axis).contiguous()


def quantize(w, bits, group, symmetric, group_of):
    """→ q [out, in] and zero [out, groups], unsigned; scale [out, groups], float16."""
    out, n_in = w.shape
    order = torch.argsort(group_of, stable=True)
    g = w[:, order].reshape(out, n_in // group, group)
    most, middle = 2**bits - 1, 2 ** (bits - 1)
    if symmetric:
        scale = g.abs().amax(-1) / (middle - 1)
        zero = torch.full_like(scale, middle)
    else:
        low, high = g.amin(-1).clamp(max=0), g.amax(-1).clamp(min=0)
        scale = (high - low) / most
        zero = torch.round(-low / scale).clamp(1, most)  # "gptq" cannot store a zero of 0
    scale = scale.to(torch.float16)
    s = scale.float()
    q = (torch.round(g / s[..., None]) + zero[..., None]).clamp(0, most)
    numbers = torch.empty_like(w)
    numbers[:, order] = q.reshape(out, n_in)
    return numbers.to(torch.int64), zero.to(torch.int64), scale


def awq(name, q, zero, scale, group_of, f):
    interleave = lambda x: x.reshape(x.shape[0], -1, 8)[:, :, AWQ_ORDER].reshape(x.shape)
    return {name + ".qweight": pack(interleave(q.T), 4, 1), name + ".qzeros": pack(interleave(zero.T), 4, 1),
            name + ".scales": scale.T.contiguous()}


def gptq(name, q, zero, scale, group_of, f):
    off = 0 if f["config"].get("checkpoint_format") == "gptq_v2" else 1
    return {name + ".qweight": pack(q.T, f["bits"], 0), name + ".qzeros": pack(zero.T - off, f["bits"], 1),
            name + ".scales": scale.T.contiguous(), name + ".g_idx": group_of.to(torch.int32)}


def w8a8(name, q, zero, scale, group_of, f):
    return {name + ".weight": (q - 128).to(torch.int8), name + ".weight_scale": scale}


def packed(name, q, zero, scale, group_of, f):
    tensors = {name + ".weight_packed": pack(q, f["bits"], 1), name + ".weight_scale": scale,
               name + ".weight_shape": torch.tensor(q.shape)}
    if not f["symmetric"]:
        tensors[name + ".weight_zero_point"] = pack(zero, f["bits"], 0)
    if f["act_order"]:
        tensors[name + ".weight_g_idx"] = group_of.to(torch.int32)
    check_packed(tensors, name, q, zero, f["bits"])
    return tensors


def check_packed(tensors, name, q, zero, bits):
    try:
        from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
    except ImportError:
        return
    offset = 2 ** (bits - 1)
    assert torch.equal(tensors[name + ".weight_packed"], pack_to_int32((q - offset).to(torch.int8), bits))
    if name + ".weight_zero_point" in tensors:
        theirs = pack_to_int32((zero - offset).to(torch.int8), bits, packed_dim=0)
        assert torch.equal(tensors[name + ".weight_zero_point"], theirs)


def scheme(bits, group, **more):
    weights = dict(num_bits=bits, type="int", strategy="group" if group else "channel", group_size=group or None)
    return {"group_0": dict(targets=["Linear"], weights=weights | more, input_activations=None)}


DENSE = ["visual", "audio_tower", "lm_head"]
IGNORE = ["lm_head", "re:.*visual.*", "re:.*audio_tower.*"]
FORMATS = {
    "awq": dict(store=awq, bits=4, group=32, symmetric=False, act_order=False, skip="v_proj",
                config=dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm",
                            modules_to_not_convert=DENSE + ["v_proj"])),
    "gptq": dict(store=gptq, bits=4, group=32, symmetric=False, act_order=True,
                 config=dict(quant_method="gptq", bits=4, group_size=32, sym=False, desc_act=True,
                             checkpoint_format="gptq")),
    "gptq-int8": dict(store=gptq, bits=8, group=32, symmetric=True, act_order=False,
                      config=dict(quant_method="gptq", bits=8, group_size=32, sym=True, desc_act=False,
                                  checkpoint_format="gptq_v2")),
    "w8a8": dict(store=w8a8, bits=8, group=-1, symmetric=True, act_order=False,
                 config=dict(quant_method="compressed-tensors", format="int-quantized", quantization_status="compressed",
                             ignore=IGNORE, config_groups=scheme(8, 0, symmetric=True))),
    "w4a16": dict(store=packed, bits=4, group=32, symmetric=False, act_order=True,
                  config=dict(quant_method="compressed-tensors", format="pack-quantized", quantization_status="compressed",
                              ignore=IGNORE,
                              config_groups=scheme(4, 32, symmetric=False, actorder="group"))),
}


def quantize_checkpoint(f, dense, seed):
    """→ the tensors to store, and every tensor as they stand for it."""
    g = torch.Generator().manual_seed(seed)
    stored, meant = {}, dict(dense)
    for name, w in sorted(dense.items()):
        module = name.removesuffix(".weight")
        if not name.startswith(TEXT) or not module.endswith("_proj") or module.endswith(f.get("skip", "-")):
            continue
        n_in = w.shape[1]
        group = n_in if f["group"] == -1 else f["group"]
        group_of = torch.arange(n_in) // group
        if f["act_order"]:
            group_of = group_of[torch.randperm(n_in, generator=g)]
        q, zero, scale = quantize(w.float(), f["bits"], group, f["symmetric"], group_of)
        stored |= f["store"](module, q, zero, scale, group_of, f)
        del dense[name]
        meant[name] = dequantized(q, zero, scale, group_of)
    return stored, meant


def dequantized(q, zero, scale, group_of):
    return ((q - zero[:, group_of]).float() * scale.float()[:, group_of]).contiguous()


def module_of(name):
    """The name of a published tensor in the modules of transformers 5."""
    name = name.removeprefix("thinker.")
    if name.startswith("model."):
        return "model.language_model." + name.removeprefix("model.")
    return name if name.startswith("lm_head") else "model." + name


def write_checkpoint(f, stored, dense, path):
    path.mkdir(parents=True)
    for name in ("generation_config.json", "processor_config.json", "tokenizer.json"):
        os.symlink(f"../../../qwen2_5_omni/a/checkpoint/{name}", path / name)
    os.symlink("../../../qwen2_5_omni/a/checkpoint/model.safetensors", path / "dense.safetensors")
    save_file(stored, path / "quantized.safetensors", metadata={"format": "pt"})
    weight_map = {n: "dense.safetensors" for n in dense} | {n: "quantized.safetensors" for n in stored}
    index = dict(metadata={}, weight_map=dict(sorted(weight_map.items())))
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((BASE / "checkpoint/config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | dict(quantization_config=f["config"]), indent=1))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", type=pathlib.Path, default=BASE.parent.parent / "quantized")
    ap.add_argument("--only", choices=sorted(FORMATS))
    a = ap.parse_args()
    torch.set_num_threads(1)
    v, c = base.ARCHITECTURES["a"], base.CASES["a"]
    tok = base.make_tokenizer()
    scratch = a.out / "scratch"
    scratch.mkdir(parents=True)
    processor = base.make_processor(tok, scratch)
    frames, audio = base.make_inputs(c, v["seed"], scratch)
    shutil.rmtree(scratch)
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    for seed, (name, f) in enumerate(FORMATS.items()):
        if a.only and name != a.only:
            continue
        path = a.out / name
        shutil.rmtree(path, ignore_errors=True)
        dense = load_file(BASE / "checkpoint/model.safetensors")
        stored, meant = quantize_checkpoint(f, dense, seed)
        write_checkpoint(f, stored, dense, path / "checkpoint")
        os.symlink("../../qwen2_5_omni/a/input", path / "input")
        config = base.make_config(v, tok)
        model = Qwen2_5OmniThinkerForConditionalGeneration._from_config(config, attn_implementation="eager").eval()
        thinker = {module_of(n): t.float() for n, t in meant.items() if n.startswith("thinker.")}
        model.load_state_dict(thinker, strict=True)
        end, pad = tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>")
        model.generation_config.eos_token_id, model.generation_config.pad_token_id = [end, pad], pad
        tensors, info = {}, dict(transformers=base.transformers.__version__, torch=torch.__version__, cases={})
        for case in ("text", "av"):
            one = base.run_case(case, model, processor, video, audio, c["fps"], tensors)
            info["cases"][case] = one
            weak = "  <- too small a margin: change what is quantized" if one["min_margin"] < 1e-3 else ""
            print(name, case, repr(one["text"])[:60], round(one["min_margin"], 4), weak)
        for same in ("pixel_values_videos_every8", "input_features", "vision_embeds", "audio_embeds", "hidden_embeds"):
            tensors.pop(f"av.{same}")  # as in a: what is before the text model is dense
        save_file(tensors, path / "expected.safetensors")
        (path / "expected.json").write_text(json.dumps(info, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
