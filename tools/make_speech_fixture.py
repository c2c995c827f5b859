#!/usr/bin/env python3
"""Writes tests/fixtures/qwen2_5_omni/speech: a tiny seeded random Talker and Token2Wav, two voices, and what transformers computes with each part alone.

    tools/make_speech_fixture.py [--out tests/fixtures/qwen2_5_omni/speech]

checkpoint/            config.json, model.safetensors (bfloat16, computed with as float32; of the Thinker only its embedding table), spk_dict.pt
expected.safetensors   rows and positions for the Talker, its first logits and greedy codes; speaker vector, one velocity of the DiT (with and without condition), sampled mel, wave

Needs what tools/make_fixtures.py needs.
"""
import argparse, json, math, pathlib
import torch
from safetensors.torch import save_file
from transformers import Qwen2_5OmniTalkerConfig, Qwen2_5OmniTalkerForConditionalGeneration, Qwen2_5OmniToken2WavConfig, Qwen2_5OmniToken2WavModel

SEED, WIDTH, CODES = 44, 40, 60
PAD, START, END, MASK = CODES + 1, CODES + 2, CODES + 3, CODES + 5
TEXT_END, TEXT_PAD, BOS = 3, 4, {"Alto": 5, "Bass": 6}


@torch.no_grad()
def randomise(model, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.dim() >= 2:
            table = name.endswith("embed_tokens.weight") or name.endswith("codec_embed.weight")
            p.copy_(torch.randn(p.shape, generator=g) * (2.0 if table else 1.0) / math.sqrt(p.shape[-1] if table else p[0].numel()))
        elif "norm" in name and name.endswith("weight"):
            p.copy_(1 + 0.1 * torch.randn(p.shape, generator=g))
        else:
            p.copy_((0.2 if name.endswith(("alpha", "beta")) else 0.05) * torch.randn(p.shape, generator=g))
        p.copy_(p.to(torch.bfloat16).float())


@torch.no_grad()
def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "tests/fixtures/qwen2_5_omni/speech")
    a = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    g = torch.Generator().manual_seed(SEED + 1)
    folder = a.out / "checkpoint"
    folder.mkdir(parents=True, exist_ok=True)

    talker_config = Qwen2_5OmniTalkerConfig(
        vocab_size=CODES + 8, embedding_size=WIDTH, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=16,
        max_position_embeddings=1024, rope_parameters=dict(rope_type="default", mrope_section=[2, 3, 3], rope_theta=1e4), tts_codec_pad_token_id=PAD, tts_codec_start_token_id=START,
        tts_codec_end_token_id=END, tts_codec_mask_token_id=MASK, tts_text_end_token_id=TEXT_END, tts_text_pad_token_id=TEXT_PAD)
    talker = Qwen2_5OmniTalkerForConditionalGeneration._from_config(talker_config, attn_implementation="eager").eval()
    randomise(talker, SEED)
    talker.codec_head.weight[CODES:] = 0
    wave_config = Qwen2_5OmniToken2WavConfig(
        dit_config=dict(hidden_size=48, num_hidden_layers=4, num_attention_heads=3, head_dim=16, ff_mult=2, emb_dim=20, block_size=6, look_ahead_layers=[1], look_backward_layers=[0, 2], repeats=2,
                        num_embeds=CODES + 1, mel_dim=20, dropout=0.0, enc_emb_dim=12, enc_dim=16, enc_channels=[12, 12, 12, 12, 36], enc_kernel_sizes=[5, 3, 3, 3, 1],
                        enc_dilations=[1, 2, 3, 4, 1], enc_attention_channels=8, enc_res2net_scale=3, enc_se_channels=6),
        bigvgan_config=dict(mel_dim=20, upsample_initial_channel=64, resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1, 3, 5], [1, 2, 4]], upsample_rates=[5, 3, 2, 2, 2, 2],
                            upsample_kernel_sizes=[11, 7, 4, 4, 4, 4]))
    token2wav = Qwen2_5OmniToken2WavModel._from_config(wave_config).eval()
    randomise(token2wav, SEED + 2)
    table = torch.randn(12, WIDTH, generator=g).to(torch.bfloat16).float()
    voices = {name: dict(bos_token=BOS[name], cond=torch.randn(1, 12, generator=g), ref_mel=torch.randn(1, 30 + 7 * k, 20, generator=g)) for k, name in enumerate(BOS)}
    torch.save(voices, folder / "spk_dict.pt")
    tensors, keep = {}, lambda k, t: tensors.__setitem__(k, t.detach().to(torch.int64 if not t.is_floating_point() else torch.float32).contiguous().clone())

    # Talker: a prompt with positions like those of a picture, a reply of 9 rows, 30 codes; text end and text padding come to their turn.
    n, voice = 14, voices["Bass"]
    prompt, reply = torch.randn(n, WIDTH, generator=g), torch.randn(9, WIDTH, generator=g)
    positions = torch.tensor([[i if i < 4 or i > 9 else 4 for i in range(n)], [i if i < 4 or i > 9 else 4 + (i - 4) // 3 for i in range(n)], [i if i < 4 or i > 9 else 4 + (i - 4) % 3 for i in range(n)]])
    keep("talker.prompt", prompt); keep("talker.reply", reply); keep("talker.positions", positions)
    codec = talker.model.embed_tokens.weight
    rows = torch.cat([prompt, (table[voice["bos_token"]] + codec[PAD])[None], (reply[0] + codec[START])[None]])
    at = int(positions.max()) + 1
    history, codes, past, margin = [MASK] * n + [PAD, START], [], None, 9.0
    where = torch.cat([positions, torch.tensor([[at, at + 1]] * 3)], 1)
    for k in range(30):
        out = talker.model(inputs_embeds=talker.thinker_to_talker_proj(rows)[None], position_ids=where[:, None], past_key_values=past, use_cache=True)
        past = out.past_key_values
        scores = talker.codec_head(out.last_hidden_state[0, -1]).float()
        if k == 0:
            keep("talker.logits", scores)
        for i in set(history):
            scores[i] = scores[i] * 1.05 if scores[i] < 0 else scores[i] / 1.05
        scores[START] = -torch.inf
        margin = min(margin, float(-scores.topk(2).values.diff()))
        code = int(scores.argmax())
        assert code < CODES, "the seed ends too early"
        codes.append(code)
        history.append(code)
        row = reply[k + 1] if k + 1 < len(reply) else table[TEXT_END if k + 1 == len(reply) else TEXT_PAD]
        rows, where = (codec[code] + row)[None], torch.full((3, 1), at + 2 + k)
    keep("talker.codes", torch.tensor(codes))
    assert margin > 1e-3, margin

    dit, vocoder = token2wav.code2wav_dit_model, token2wav.code2wav_bigvgan_model
    code = torch.tensor(codes)[None]
    keep("speaker", dit.input_embed.spk_encoder(voice["ref_mel"])[0])
    x = torch.randn(1, 2 * len(codes), 20, generator=g)
    cond = voice["cond"][:, None].repeat(1, x.shape[1], 1)
    both = dit(hidden_states=x, condition_vector=voice["ref_mel"], speaker_embedding=cond, quantized_code=code, time_step=torch.tensor(0.3), apply_cfg=True)
    keep("dit.x", x[0]); keep("dit.conditioned", both[0]); keep("dit.unconditioned", both[1])
    real_randn = torch.randn
    torch.randn = lambda *s, **k: x.clone()
    try:
        mel = dit.sample(voice["cond"], voice["ref_mel"], code)
        plain = dit.sample(voice["cond"], voice["ref_mel"], code, num_steps=3, guidance_scale=0.0)
    finally:
        torch.randn = real_randn
    keep("mel", mel[0].T); keep("mel.unguided", plain[0].T)
    unclamped = {}
    vocoder.conv_post.register_forward_hook(lambda m, i, o: unclamped.__setitem__("y", o))
    vocoder(mel)
    vocoder.conv_post.weight.mul_(0.5 / float(unclamped["y"].abs().max()))
    vocoder.conv_post.weight.copy_(vocoder.conv_post.weight.to(torch.bfloat16).float())
    keep("wave", vocoder(mel).reshape(-1))

    weights = {"thinker.model.embed_tokens.weight": table} | {"talker." + k: t for k, t in talker.state_dict().items()} | {"token2wav." + k: t for k, t in token2wav.state_dict().items()}
    weights = {k: t.to(torch.bfloat16).contiguous() for k, t in weights.items() if not k.endswith("filter")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(dict(model_type="qwen2_5_omni", talker_config=talker_config.to_dict(), token2wav_config=token2wav.config.to_dict()), indent=1, default=str))
    save_file(tensors, a.out / "expected.safetensors")
    print("codes", codes, "margin", round(margin, 4), {k: tuple(t.shape) for k, t in tensors.items()})


if __name__ == "__main__":
    main()
