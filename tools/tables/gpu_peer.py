#!/usr/bin/env python3
"""What transformers takes on a GPU for the work that tests/bench/bench_gpu.cc measures: bfloat16, sdpa, random weights of a checkpoint's shapes.

    tools/tables/gpu_peer.py FOLDER [floors] [prefill] [decode] [vision] [audio]

FOLDER: of Qwen2.5-Omni; only its config.json is read. Needs torch with CUDA and transformers 5.
"""
import argparse, sys, time

import torch

PARTS = ("floors", "prefill", "decode", "vision", "audio")


def median_ms(work, n=5):
    work(), work()
    times = []
    for _ in range(n):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return 1e3 * sorted(times)[n // 2]


def positions(begin, n):
    return torch.arange(begin, begin + n, device="cuda").view(1, 1, n).expand(3, 1, n)


def tower(thinker, name):
    """Releases differ in where the towers are."""
    return next(module for path, module in thinker.named_modules() if path.split(".")[-1] == name)


def rows(thinker, *shape):
    return torch.randn(*shape, thinker.config.text_config.hidden_size, device="cuda", dtype=torch.bfloat16)


def floors(_):
    x = torch.randn(1 << 28, device="cuda")
    y = torch.empty_like(x)
    t = median_ms(lambda: y.copy_(x))
    print(f"peer: copy inside the device {2 * 4 * x.numel() / t / 1e9:.2f} TB/s")
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    t = median_ms(lambda: a @ b, 20)
    print(f"peer: product of 8192³ {2 * 8192 ** 3 / t / 1e9:.0f} TFLOP/s")


def prefill(thinker):
    for n in (16, 128, 512, 2048, 4096):
        x = rows(thinker, 1, n)
        t = median_ms(lambda: thinker.model(inputs_embeds=x, position_ids=positions(0, n), use_cache=True))
        print(f"peer: prefill {n:5d} {t:9.2f} ms {1e3 * n / t:9.0f} tokens/s", flush=True)


def decode(thinker):
    from transformers import DynamicCache
    for n, behind in ((1, 512), (8, 512), (64, 512), (1, 4096)):
        cache = DynamicCache(config=thinker.config.text_config)
        thinker.model(inputs_embeds=rows(thinker, n, behind), position_ids=positions(0, behind).expand(3, n, behind), use_cache=True, past_key_values=cache)
        at = behind
        embed = thinker.get_input_embeddings()
        ids = torch.zeros(n, 1, dtype=torch.long, device="cuda")

        def step():
            nonlocal at, ids
            out = thinker.model(inputs_embeds=embed(ids), position_ids=positions(at, 1).expand(3, n, 1), use_cache=True, past_key_values=cache)
            ids = thinker.lm_head(out.last_hidden_state).argmax(-1)
            at += 1
            return ids.tolist()

        print(f"peer: decode of {n:2d} at {behind:5d} behind, eager {median_ms(step, 16):9.2f} ms", flush=True)
    products_of_a_step(thinker)


def products_of_a_step(thinker):
    """All matrices that a step of one reads, once, through cuBLAS in a graph."""
    weights = [w for name, w in thinker.named_parameters() if w.dim() == 2 and ".layers." in name and "audio" not in name] + [thinker.lm_head.weight]
    x = {w.shape[1]: torch.randn(1, w.shape[1], device="cuda", dtype=torch.bfloat16) for w in weights}

    def products():
        for w in weights:
            torch.nn.functional.linear(x[w.shape[1]], w)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        products()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        products()
    t, size = median_ms(graph.replay, 20), sum(2 * w.numel() for w in weights)
    print(f"peer: products of a step alone, cuBLAS in a graph {t:.3f} ms, {size / 1e9:.2f} GB, {size / t / 1e9:.2f} TB/s", flush=True)


def vision(thinker):
    for h, w in ((448, 448), (728, 1288)):
        gh, gw = h // 14, w // 14
        x = torch.randn(gh * gw, 1176, device="cuda", dtype=torch.bfloat16)
        grid = torch.tensor([[1, gh, gw]], device="cuda")
        print(f"peer: vision {w}×{h} {median_ms(lambda: tower(thinker, 'visual')(x, grid_thw=grid)):9.2f} ms", flush=True)


def audio(thinker):
    x = torch.randn(128, 200, device="cuda", dtype=torch.bfloat16)
    n_frames, n_states = (torch.tensor([n], device="cuda") for n in (200, 100))
    print(f"peer: audio 2 s {median_ms(lambda: tower(thinker, 'audio_tower')(x, feature_lens=n_frames, aftercnn_lens=n_states)):9.2f} ms", flush=True)


def build(folder):
    import transformers
    from transformers import AutoConfig
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniThinkerForConditionalGeneration
    config = AutoConfig.from_pretrained(folder).thinker_config
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        thinker = Qwen2_5OmniThinkerForConditionalGeneration(config).eval()
    print(f"peer: transformers {transformers.__version__}, torch {torch.__version__}, {torch.cuda.get_device_name()}")
    return thinker


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder")
    ap.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    a = ap.parse_args()
    if unknown := set(a.parts) - set(PARTS):
        ap.error(f"no such part: {', '.join(sorted(unknown))}")
    if not torch.cuda.is_available():
        print("(no peer: this Python's torch finds no GPU)")
        return 77
    torch.manual_seed(0)
    thinker, failed = build(a.folder), 0
    with torch.inference_mode():
        for part in a.parts or PARTS:
            try:
                globals()[part](thinker)
            except Exception as e:  # a part that this release of transformers cannot do
                failed = 1
                print(f"peer: {part} failed: {e!r:.300}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
