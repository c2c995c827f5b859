#!/usr/bin/env python3
"""Writes tests/fixtures/whisper: a tiny seeded random Whisper with a tokenizer of its own, and what transformers computes with it.

    tools/make_whisper_fixture.py [--out tests/fixtures/whisper]

checkpoint/            the published layout, float16
expected.safetensors   samples, mel of the padded window, encoder states, logits and alignment heads' attention for given ids, greedy ids, times of their tokens

Needs what tools/make_fixtures.py needs.
"""
import argparse, json, math, pathlib
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

SEED = 5
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|fr|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
STATES = 100  # of a window: 2 s instead of 30
HEADS = [[0, 1], [1, 0], [1, 1]]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "tests/fixtures/whisper")
    a = ap.parse_args()
    folder = a.out / "checkpoint"
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    g = torch.Generator().manual_seed(SEED)

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("Ġ", "th"), ("e", "r"), ("Ġ", "a"), ("i", "n")]
    vocab = {p: i for i, p in enumerate(alphabet + [x + y for x, y in merges])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    i = tokenizer.token_to_id
    n_vocab = tokenizer.get_vocab_size() + STATES + 1  # and timestamps

    config = WhisperConfig(vocab_size=n_vocab, num_mel_bins=80, d_model=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=96,
                           decoder_ffn_dim=80, max_source_positions=STATES, max_target_positions=40, decoder_start_token_id=i("<|startoftranscript|>"), bos_token_id=i("<|endoftext|>"),
                           eos_token_id=i("<|endoftext|>"), pad_token_id=i("<|endoftext|>"), suppress_tokens=None, begin_suppress_tokens=None)
    model = WhisperForConditionalGeneration._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "embed_positions" in name and "encoder" in name:
                pass  # sinusoids
            elif p.dim() >= 2:
                p.copy_(torch.randn(p.shape, generator=g) * (1.2 if "embed" in name else 1.6) / math.sqrt(p.shape[-1] if "embed" in name else p[0].numel()))
            elif "layer_norm" in name and name.endswith("weight"):
                p.copy_(1 + .1 * torch.randn(p.shape, generator=g))
            else:
                p.copy_(.1 * torch.randn(p.shape, generator=g))
            p.copy_(p.half().float())
    begin, suppressed = [i("Ġ"), i("<|endoftext|>")], [i("e"), i("<|startoftranscript|>"), i("<|startofprev|>"), i("<|nospeech|>"), i("<|startoflm|>"), i("<|translate|>"), i("<|transcribe|>")]
    languages = {f"<|{l}|>": i(f"<|{l}|>") for l in ("en", "de", "fr")}
    generation = dict(alignment_heads=HEADS, begin_suppress_tokens=begin, suppress_tokens=suppressed, bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id,
                      decoder_start_token_id=config.decoder_start_token_id, is_multilingual=True, lang_to_id=languages, max_initial_timestamp_index=50, max_length=40,
                      no_timestamps_token_id=i("<|notimestamps|>"), prev_sot_token_id=i("<|startofprev|>"), return_timestamps=False,
                      task_to_id=dict(transcribe=i("<|transcribe|>"), translate=i("<|translate|>")))
    model.generation_config.update(**generation)

    tensors = {}
    keep = lambda k, t: tensors.__setitem__(k, t.detach().to(torch.int64 if not t.is_floating_point() else torch.float32).contiguous().clone())
    n = 16000 + 5000  # 1.3 s
    t = torch.arange(n) / 16000
    samples = .3 * torch.sin(2 * math.pi * (200 + 300 * t) * t) * (1 + torch.sin(2 * math.pi * 4 * t)) / 2 + .01 * torch.randn(n, generator=g)
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=2)
    mel = torch.from_numpy(np.asarray(extractor(samples.numpy(), sampling_rate=16000, return_tensors="np").input_features))
    keep("samples", samples); keep("mel", mel[0].T)
    with torch.no_grad():
        states = model.model.encoder(mel).last_hidden_state
        keep("states", states[0])
        prompt = [i("<|startoftranscript|>"), i("<|de|>"), i("<|transcribe|>"), i("<|notimestamps|>")]
        ids = prompt + tokenizer.encode("a thing there").ids
        out = model(encoder_outputs=(states,), decoder_input_ids=torch.tensor([ids]), output_attentions=True)
        keep("ids", torch.tensor(ids)); keep("logits", out.logits[0])
        keep("attention", torch.stack([out.cross_attentions[l][0, h] for l, h in HEADS]).transpose(0, 1))  # [ids, heads, states]
        # Greedy without time stamps, by hand: the rules of generation_config.json and nothing else.
        greedy, margin = list(prompt), 9.0
        while len(greedy) < 24:
            scores = model(encoder_outputs=(states,), decoder_input_ids=torch.tensor([greedy])).logits[0, -1]
            scores[suppressed + (begin if len(greedy) == len(prompt) else [])] = -torch.inf
            scores[i("<|notimestamps|>") + 1 :] = -torch.inf
            scores[list(languages.values()) + [i("<|notimestamps|>")]] = -torch.inf
            top = scores.topk(2).values
            margin = min(margin, float(top[0] - top[1]))
            greedy.append(int(scores.argmax()))
            if greedy[-1] == config.eos_token_id:
                break
        keep("greedy", torch.tensor(greedy))
        # Times of the tokens as transformers finds them: attention of all but the last step, frames of the sound alone.
        from transformers.models.whisper.generation_whisper import _dynamic_time_warping, _median_filter
        out = model(encoder_outputs=(states,), decoder_input_ids=torch.tensor([greedy]), output_attentions=True)
        weights = torch.stack([out.cross_attentions[l][0, h] for l, h in HEADS])[:, len(prompt) :, : (n // 160) // 2]
        std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
        matrix = _median_filter((weights - mean) / std, 7).mean(0)
        text, time = _dynamic_time_warping(-matrix.double().numpy())
        jumps = np.pad(np.diff(text), (1, 0), constant_values=1).astype(bool)
        keep("token_states", torch.from_numpy(time[jumps].astype(np.int64)))
    assert margin > 1e-3, margin
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items() if k != "proj_out.weight"}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.to_dict().items() if k in (
        "model_type", "vocab_size", "num_mel_bins", "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim",
        "max_source_positions", "max_target_positions", "decoder_start_token_id", "eos_token_id")}, indent=1))
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps(dict(feature_size=80, chunk_length=2, n_fft=400, hop_length=160, sampling_rate=16000)))
    save_file(tensors, a.out / "expected.safetensors")
    print("greedy", greedy, "margin", round(margin, 4), {k: tuple(v.shape) for k, v in tensors.items()})


if __name__ == "__main__":
    main()
