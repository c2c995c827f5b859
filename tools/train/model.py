"""The nano Thinker: transformers' own classes hold the weights; a forward pass for batches of one shape computes the same, faster on a CPU.

`python model.py` checks the two against each other."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from transformers import Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration

from tokenizer import HIGHEST
from vocabulary import ASKED, FRAMES, LABELS, LEVELS, OTHER, PICTURES, SOUNDS, SPOKEN, SYSTEM, WAVES

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
TAP = 1   # after this text layer the media tokens are asked for what they know
LOOK = 2  # in this text layer the heads LOOK_HEADS of an answer look at the object that is being written
LOOK_HEADS = (0, 2)

# Modes of the prompt: (frame pairs, audio tokens, how they are announced)
MODES = {"clip": (2, 50, "both"), "short": (1, 25, "both"), "long": (4, 100, "both"), "video": (2, 0, "video"), "audio": (0, 50, "audio"), "image": (1, 0, "image")}


def config(tokenizer):
    i = tokenizer.token_to_id
    vision = dict(depth=4, hidden_size=192, intermediate_size=544, num_heads=6, patch_size=14, spatial_merge_size=2, temporal_patch_size=2, window_size=112, out_hidden_size=256,
                  fullatt_block_indexes=[1, 3])
    audio = dict(num_mel_bins=128, encoder_layers=3, encoder_attention_heads=4, encoder_ffn_dim=384, d_model=128, max_source_positions=1500, n_window=100, output_dim=256)
    text = dict(vocab_size=tokenizer.get_vocab_size(), hidden_size=256, intermediate_size=640, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096,
                rope_parameters={"rope_type": "default", "rope_theta": 10.0, "mrope_section": [4, 14, 14]}, tie_word_embeddings=True, bos_token_id=i("<|endoftext|>"),
                eos_token_id=i("<|im_end|>"), pad_token_id=i("<|endoftext|>"))
    return Qwen2_5OmniThinkerConfig(
        audio_config=audio, vision_config=vision, text_config=text, audio_token_index=i("<|AUDIO|>"), image_token_index=i("<|IMAGE|>"), video_token_index=i("<|VIDEO|>"),
        audio_start_token_id=i("<|audio_bos|>"), audio_end_token_id=i("<|audio_eos|>"), vision_start_token_id=i("<|vision_bos|>"), vision_end_token_id=i("<|vision_eos|>"),
        user_token_id=tokenizer.encode("user").ids[0], tie_word_embeddings=True, position_id_per_seconds=25, seconds_per_chunk=2, eos_token_id=i("<|im_end|>"),
        bos_token_id=i("<|endoftext|>"), pad_token_id=i("<|endoftext|>"))


def rms_norm(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), 1e-6)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def attention(q, k, v, mask=None):
    """[B, heads, N, d]; an additive mask. bmm is twice as fast as the CPU's fused attention backward. Returns output and weights."""
    b, h, n, d = q.shape
    q, k, v = (q * d**-.5).reshape(b * h, n, d), k.reshape(b * h, -1, d).transpose(1, 2), v.reshape(b * h, -1, d)
    scores = torch.bmm(q, k) if mask is None else torch.baddbmm(mask.to(q.dtype), q, k)
    p = torch.softmax(scores, -1).to(v.dtype)
    return torch.bmm(p, v).view(b, h, n, d), p.view(b, h, n, -1)


class Thinker(nn.Module):
    def __init__(self, tokenizer):
        super().__init__()
        self.config, self.tokenizer = config(tokenizer), tokenizer
        self.hf = Qwen2_5OmniThinkerForConditionalGeneration(self.config)
        n = self.config.text_config.hidden_size
        self.numbers = torch.tensor([tokenizer.token_to_id(str(i)) for i in range(HIGHEST + 1)])
        self.other = torch.tensor([tokenizer.encode(text).ids[0] for text in (OTHER, " " + OTHER)])  # with which only OTHER begins
        # What only training asks of the towers and of the media tokens inside the text model; dropped by the export.
        self.heads = nn.ModuleDict(dict(label=nn.Linear(n, len(LABELS) + 1), box=nn.Linear(n, 6), picture=nn.Linear(n, len(PICTURES) + 1), changed=nn.Linear(n, 2), sound=nn.Linear(n, len(SOUNDS)),
                                        level=nn.Linear(n, len(LEVELS)), waveform=nn.Linear(n, len(WAVES)), tap_label=nn.Linear(n, len(LABELS) + 1), tap_numbers=nn.Linear(n, 4 * n, bias=False),
                                        tap_time=nn.Linear(n, 2 * n, bias=False), asked=nn.Linear(n, len(ASKED)), spoken=nn.Linear(n, len(SPOKEN) + 1)))
        with torch.no_grad():  # near numbers have near embeddings
            k, phase = torch.logspace(math.log10(.004), math.log10(.6), n), torch.rand(n) * 2 * math.pi
            self.embedding()[self.numbers] = .02 * math.sqrt(2) * torch.cos(torch.arange(HIGHEST + 1.)[:, None] * k + phase)
        # A token for each word of SPOKEN that texts have as one; -1: they have it in parts. Only those that were trained with can be told from others.
        one = [[i[0] for t in (" " + w, w.capitalize(), w) if len(i := tokenizer.encode(t).ids) == 1] for w in SPOKEN]
        self.spoken_tokens = torch.tensor([i[0] if i else -1 for i in one])
        self._plans = {}

    def spoken(self, x):
        """Scores of the words of SPOKEN in audio tokens, behind that of none. Such a token shall be like the one that the word is in a text, so that what is known of texts is known of it."""
        scores, known = self.heads["spoken"](x).float(), (self.spoken_tokens >= 0).nonzero()[:, 0]
        return scores.index_copy(-1, known + 1, 4 * F.linear(x, self.embedding()[self.spoken_tokens[known]].detach()).float())

    def embedding(self):
        return self.hf.model.language_model.embed_tokens.weight

    # ---- towers

    def patches(self, frames, shape):
        """uint8 [B, 2n, H, W, 3] -> float [B * n, patches, 1176]."""
        w, h = (s // 28 for s in FRAMES[shape])
        x = (frames.float() / 255 - MEAN.to(frames.device)) / STD.to(frames.device)
        b, n = frames.shape[0], frames.shape[1] // 2
        x = x.view(b, n, 2, h, 2, 14, w, 2, 14, 3).permute(0, 1, 3, 6, 4, 7, 9, 2, 5, 8)
        return x.reshape(b * n, h * w * 4, 1176)

    def _vision_plan(self, shape):
        if shape not in self._plans:
            v, (w, h) = self.config.vision_config, (s // 28 for s in FRAMES[shape])
            rows, columns = torch.meshgrid(torch.arange(h * 2), torch.arange(w * 2), indexing="ij")
            order = lambda t: t.reshape(h, 2, w, 2).permute(0, 2, 1, 3).flatten()
            half = v.hidden_size // v.num_heads // 2
            inverse = 1.0 / (10000.0 ** (torch.arange(0, half, 2).float() / half))
            angles = torch.cat([order(rows)[:, None] * inverse, order(columns)[:, None] * inverse], -1)
            angles = torch.cat([angles, angles], -1)
            k = v.window_size // 28
            window = (torch.arange(h)[:, None] // k * 100 + torch.arange(w)[None] // k).flatten().repeat_interleave(4)
            mask = torch.zeros(1, len(window), len(window)).masked_fill(window[:, None] != window[None], -1e4)
            self._plans[shape] = (angles.cos(), angles.sin(), mask)
        return self._plans[shape]

    def vision(self, patches, shape):
        """-> [frame pairs, cells, hidden]"""
        v, heads = self.hf.model.visual, self.config.vision_config.num_heads
        x = F.linear(patches, v.patch_embed.proj.weight.flatten(1))
        b, n, d = x.shape
        cos, sin, mask = (t.to(x.dtype) for t in self._vision_plan(shape))
        for i, block in enumerate(v.blocks):
            y, a = rms_norm(x, block.norm1.weight), block.attn
            q, k, u = (p(y).view(b, n, heads, -1).transpose(1, 2) for p in (a.q, a.k, a.v))
            o, _ = attention(rotate(q, cos, sin), rotate(k, cos, sin), u, None if i in v.fullatt_block_indexes else mask)
            x = x + a.proj(o.transpose(1, 2).reshape(b, n, d))
            y, m = rms_norm(x, block.norm2.weight), block.mlp
            x = x + m.down_proj(F.silu(m.gate_proj(y)) * m.up_proj(y))
        return v.merger.mlp(rms_norm(x, v.merger.ln_q.weight).reshape(b, n // 4, 4 * d))

    def audio(self, mel):
        """[units, 128, frames] -> [units, frames / 4, hidden]"""
        a, heads = self.hf.model.audio_tower, self.config.audio_config.encoder_attention_heads
        x = F.gelu(a.conv2(F.gelu(a.conv1(mel)))).transpose(1, 2)
        b, n, d = x.shape
        x = x + a.positional_embedding.positional_embedding[:n].to(x.dtype)
        for layer in a.layers:
            y, t = layer.self_attn_layer_norm(x), layer.self_attn
            q, k, v = (p(y).view(b, n, heads, -1).transpose(1, 2) for p in (t.q_proj, t.k_proj, t.v_proj))
            x = x + t.out_proj(attention(q, k, v)[0].transpose(1, 2).reshape(b, n, d))
            x = x + layer.fc2(F.gelu(layer.fc1(layer.final_layer_norm(x))))
        return a.proj(a.ln_post((x[:, 0::2] + x[:, 1::2]) / 2))

    # ---- text

    def prompt(self, mode, shape):
        """The media prefix of a mode: token ids, positions [3, n], where its video and audio tokens are."""
        key = mode, shape
        if key not in self._plans:
            pairs, sounds, announced = MODES[mode]
            w, h = (s // 28 for s in FRAMES[shape])
            pictures = pairs * w * h
            media = {"both": "<|vision_bos|><|audio_bos|>" + self._interleaved(pictures, sounds) + "<|audio_eos|><|vision_eos|>", "video": "<|vision_bos|>" + "<|VIDEO|>" * pictures + "<|vision_eos|>",
                     "audio": "<|audio_bos|>" + "<|AUDIO|>" * sounds + "<|audio_eos|>", "image": "<|vision_bos|>" + "<|IMAGE|>" * pictures + "<|vision_eos|>"}[announced]
            ids = torch.tensor([self.tokenizer.encode(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n" + media).ids])
            grid = torch.tensor([[pairs, h * 2, w * 2]])
            is_picture, is_sound = (ids[0] == self.config.video_token_id) | (ids[0] == self.config.image_token_id), ids[0] == self.config.audio_token_id
            positions, _ = self.hf.get_rope_index(ids, grid if announced == "image" else None, grid if announced in ("both", "video") else None, torch.ones_like(ids), announced == "both",
                                                  torch.tensor([sounds * 4]) if sounds else None, torch.tensor([1.0]) if announced in ("both", "video") else None)
            self._plans[key] = ids[0], positions[:, 0].long(), is_picture.nonzero()[:, 0], is_sound.nonzero()[:, 0]
        return self._plans[key]

    @staticmethod
    def _interleaved(pictures, sounds):
        """2 s of pictures, 2 s of sound, and so on."""
        chunks = max(1, sounds // 50)
        return ("<|VIDEO|>" * (pictures // chunks) + "<|AUDIO|>" * (sounds // chunks)) * chunks

    def embed(self, ids, pictures, sounds, mode, shape):
        _, _, at_pictures, at_sounds = self.prompt(mode, shape)
        x = F.embedding(ids, self.embedding())
        x = x.to(pictures.dtype if pictures is not None else sounds.dtype)
        if pictures is not None:
            x = x.index_copy(1, at_pictures, pictures.reshape(len(x), -1, x.shape[-1]))
        if sounds is not None:
            x = x.index_copy(1, at_sounds, sounds.reshape(len(x), -1, x.shape[-1]).to(x.dtype))
        return x

    def text(self, x, positions, mask):
        """x [B, N, hidden], positions [3, B or 1, N], additive mask [B or 1, N, M].
        Returns the last hidden state, the residual stream after layer TAP and the attention weights of LOOK_HEADS in layer LOOK."""
        c, layers = self.config.text_config, self.hf.model.language_model
        d, groups = c.hidden_size // c.num_attention_heads, c.num_attention_heads // c.num_key_value_heads
        inverse = 1.0 / (c.rope_parameters["rope_theta"] ** (torch.arange(0, d, 2).float() / d))
        angles = positions[..., None].float() * inverse
        angles = torch.cat([m[i % 3] for i, m in enumerate(angles.split(c.rope_parameters["mrope_section"], -1))], -1)
        angles = torch.cat([angles, angles], -1)[:, None]
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        b, n, _ = x.shape
        mask = mask[:, None].expand(b, c.num_attention_heads, n, -1).reshape(b * c.num_attention_heads, n, -1)
        tap = look = None
        for i, layer in enumerate(layers.layers):
            y, a = rms_norm(x, layer.input_layernorm.weight), layer.self_attn
            q, k, v = (p(y).view(b, n, -1, d).transpose(1, 2) for p in (a.q_proj, a.k_proj, a.v_proj))
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            o, p = attention(q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1), mask)
            x = x + a.o_proj(o.transpose(1, 2).reshape(b, n, -1))
            y, m = rms_norm(x, layer.post_attention_layernorm.weight), layer.mlp
            x = x + m.down_proj(F.silu(m.gate_proj(y)) * m.up_proj(y))
            if i == TAP:
                tap = x
            if i == LOOK:
                look = p[:, LOOK_HEADS]
        return rms_norm(x, layers.norm.weight), tap, look


def check():
    """Logits equal to transformers' in every mode and shape."""
    from tokenizer import JSON, train
    from vocabulary import QUESTIONS
    torch.manual_seed(0)
    t = train([q for qs in QUESTIONS.values() for q in qs] + ["user system assistant"], 800, "/tmp/check_tokenizer.json")
    torch.set_num_threads(1)
    net = Thinker(t).eval()
    worst = 0
    for mode, (pairs, sounds, announced) in MODES.items():
        for shape in FRAMES if mode != "audio" else ["wide"]:
            ids, positions, _, _ = net.prompt(mode, shape)
            ids = torch.cat([ids, torch.tensor(t.encode("Detect all objects.<|im_end|>\n<|im_start|>assistant\n[{").ids)])[None]
            w, h = FRAMES[shape]
            frames, mel = torch.randint(0, 255, (1, pairs * 2, h, w, 3), dtype=torch.uint8), torch.randn(max(1, sounds // 50), 128, min(200, sounds * 4))
            with torch.no_grad():
                patches = net.patches(frames, shape) if pairs else None
                pictures, heard = net.vision(patches, shape) if pairs else None, net.audio(mel) if sounds else None
                more = ids.shape[1] - positions.shape[1]
                all_positions = torch.cat([positions, (positions.max() + 1 + torch.arange(more)).expand(3, -1)], 1)[:, None]
                n = ids.shape[1]
                hidden, _, _ = net.text(net.embed(ids, pictures, heard, mode, shape), all_positions, torch.full((1, n, n), -1e4).triu(1))
                mine = hidden @ net.embedding().T
                grid, kw = torch.tensor([[pairs, h // 14, w // 14]]), {}
                if sounds:  # two units of 2 s are two windows of one sound
                    joined = mel.permute(1, 0, 2).reshape(1, 128, -1)
                    kw = dict(input_features=joined, feature_attention_mask=torch.ones(1, joined.shape[-1], dtype=torch.long))
                if announced == "image":
                    kw |= dict(pixel_values=patches.reshape(-1, 1176), image_grid_thw=grid)
                elif pairs:
                    kw |= dict(pixel_values_videos=patches.reshape(-1, 1176), video_grid_thw=grid, video_second_per_grid=torch.tensor([1.0]), use_audio_in_video=announced == "both")
                theirs = net.hf(input_ids=ids, attention_mask=torch.ones_like(ids), **kw).logits
            worst = max(worst, float((mine - theirs).abs().max()))
    print("largest difference of logits", worst)
    assert worst < 1e-5


if __name__ == "__main__":
    check()
