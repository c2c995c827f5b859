"""The speaking half of nano: transformers' own Talker, DiT and BigVGAN at toy sizes, and the codec whose codes the Talker learns to say (training only)."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from transformers import Qwen2_5OmniTalkerConfig, Qwen2_5OmniTalkerForConditionalGeneration, Qwen2_5OmniToken2WavConfig, Qwen2_5OmniToken2WavModel

from mel import BANDS, SILENCE

LEVELS = (8, 5, 5, 5)           # of the codec's finite scalar quantizer
CODES = math.prod(LEVELS) + 1   # id 0 is nobody's: the DiT's guidance embeds it as "no code"
REPEATS = 4                     # mel frames a code
PAD, START, END, MASK = CODES, CODES + 1, CODES + 2, CODES + 3
WIDTH = 256                     # of the Thinker


class Residual(nn.Module):
    def __init__(self, width, dilation=1):
        super().__init__()
        self.norm, self.mix, self.out = nn.GroupNorm(1, width), nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation), nn.Conv1d(width, width, 1)

    def forward(self, x):
        return x + self.out(F.gelu(self.mix(self.norm(x))))


class Codec(nn.Module):
    """mel [B, 80, 4n] → codes [B, n] of 1 … 1000 → mel. (Finite scalar quantization, arXiv 2309.15505)"""

    def __init__(self, width=160):
        super().__init__()
        down = lambda: [nn.Conv1d(width, width, 4, 2, 1), Residual(width), Residual(width, 2)]
        up = lambda: [nn.ConvTranspose1d(width, width, 4, 2, 1), Residual(width), Residual(width, 3)]
        self.encoder = nn.Sequential(nn.Conv1d(BANDS, width, 5, padding=2), Residual(width), Residual(width, 3), *down(), *down(), nn.GroupNorm(1, width), nn.Conv1d(width, len(LEVELS), 1))
        self.decoder = nn.Sequential(nn.Conv1d(len(LEVELS), width, 3, padding=1), Residual(width), Residual(width, 2), *up(), *up(), nn.GELU(), nn.Conv1d(width, BANDS, 3, padding=1))
        levels = torch.tensor(LEVELS)
        self.register_buffer("levels", levels[None, :, None], persistent=False)
        self.register_buffer("basis", torch.cumprod(torch.tensor((1,) + LEVELS[:-1]), 0)[None, :, None], persistent=False)

    def _bounded(self, z):
        half = (self.levels - 1) * .999 / 2
        offset = torch.where(self.levels % 2 == 1, 0., .5)
        return torch.tanh(z + torch.tan(offset / half)) * half - offset

    def forward(self, m):
        z = self._bounded(self.encoder(m))
        return self.decoder((z + (z.round() - z).detach()) / (self.levels // 2))

    def codes(self, m):
        return ((self._bounded(self.encoder(m)).round().long() + self.levels // 2) * self.basis).sum(1) + 1

    def decode(self, codes):
        digits = (codes - 1)[:, None] // self.basis % self.levels
        return self.decoder((digits - self.levels // 2).float() / (self.levels // 2))


def talker_config(bos, text_end, text_pad):
    return Qwen2_5OmniTalkerConfig(
        vocab_size=CODES + 7, tts_codec_pad_token_id=PAD, tts_codec_start_token_id=START, tts_codec_end_token_id=END, tts_codec_mask_token_id=MASK, embedding_size=WIDTH, hidden_size=256,
        intermediate_size=640, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=2, head_dim=32, rope_parameters={"rope_type": "default", "rope_theta": 1000.0, "mrope_section": [4, 6, 6]},
        max_position_embeddings=4096, tts_text_start_token_id=bos, tts_text_end_token_id=text_end, tts_text_pad_token_id=text_pad)


def token2wav_config():
    dit = dict(hidden_size=192, num_hidden_layers=5, num_attention_heads=3, head_dim=64, ff_mult=2, emb_dim=64, block_size=24, look_ahead_layers=[2], look_backward_layers=[0, 3], repeats=REPEATS,
               num_embeds=CODES, mel_dim=BANDS, dropout=0.0, enc_emb_dim=16, enc_dim=32, enc_channels=[48, 48, 48, 48, 144], enc_kernel_sizes=[5, 3, 3, 3, 1], enc_dilations=[1, 2, 3, 4, 1],
               enc_attention_channels=16, enc_res2net_scale=2, enc_se_channels=16, max_position_embeddings=8192)
    bigvgan = dict(mel_dim=BANDS, upsample_initial_channel=256, resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3, 5]], upsample_rates=[5, 3, 2, 2, 2, 2], upsample_kernel_sizes=[11, 7, 4, 4, 4, 4])
    return Qwen2_5OmniToken2WavConfig(dit_config=dit, bigvgan_config=bigvgan)


def new_dit():
    m = Qwen2_5OmniToken2WavModel._from_config(token2wav_config()).code2wav_dit_model
    for b in m.transformer_blocks:  # each block begins as nearly nothing
        nn.init.zeros_(b.attn_norm.linear.weight)
        nn.init.zeros_(b.attn_norm.linear.bias)
        for gate in (2, 5):
            b.attn_norm.linear.bias.data[gate * 192 : (gate + 1) * 192] = .3
    nn.init.zeros_(m.proj_out.weight)
    return m


def new_vocoder():
    m = Qwen2_5OmniToken2WavModel._from_config(token2wav_config()).code2wav_bigvgan_model
    for x in m.modules():  # the published initialisation is for a far wider network
        if isinstance(x, nn.Conv1d):
            nn.init.kaiming_normal_(x.weight, nonlinearity="linear")
            if x.bias is not None:
                nn.init.zeros_(x.bias)
        elif isinstance(x, nn.ConvTranspose1d):
            nn.init.normal_(x.weight, std=math.sqrt(x.stride[0] / (x.in_channels * x.kernel_size[0])))
            nn.init.zeros_(x.bias)
    for block in m.resblocks:
        for conv in block.convs2:
            conv.weight.data *= .3
    m.conv_pre.weight.data *= 5
    m.conv_pre.bias.data = -.652 * m.conv_pre.weight.data.sum((1, 2))
    m.conv_post.weight.data *= .1
    return m


def new_talker(config):
    m = Qwen2_5OmniTalkerForConditionalGeneration._from_config(config)
    nn.init.normal_(m.model.embed_tokens.weight, std=.7)
    nn.init.normal_(m.thinker_to_talker_proj.weight, std=.5 / WIDTH**.5)
    return m


def velocity(dit, x, speaker, cond, codes, time):
    """The DiT's forward for a batch without its guidance; speaker [B, enc_dim] is the speaker encoder's result."""
    n = x.shape[1]
    wide = lambda v: v[:, None].expand(-1, n, -1)
    h = dit.input_embed.proj(torch.cat((x, wide(speaker), dit.text_embed(codes), wide(cond)), -1))
    t, places = dit.time_embed(time), dit.rotary_embed(h, torch.arange(n)[None].repeat(len(h), 1))
    block = torch.arange(n) // dit.block_size
    apart = (block[None] - block[:, None])[None, None]
    for b in dit.transformer_blocks:
        h = b(h, t, position_embeddings=places, block_diff=apart)
    return dit.proj_out(dit.norm_out(h, t))


class _Snake(torch.autograd.Function):
    """x + b sin²(ax), remembering one cosine."""

    @staticmethod
    def forward(cx, y, a, b):
        t = y * (2 * a)
        c = torch.cos(t)
        cx.save_for_backward(t, c, a, b, y)
        return torch.addcmul(y, b * .5, 1 - c)

    @staticmethod
    def backward(cx, g):
        t, c, a, b, y = cx.saved_tensors
        gs, over = g * torch.sin(t), tuple(i for i in range(y.ndim) if a.shape[i] == 1)
        return torch.addcmul(g, gs, b * a), (gs * y).sum(over, keepdim=True) * b, (g * (1 - c)).sum(over, keepdim=True) * .5


def _filtered(x, taps):
    """conv1d, one multiply-add of whole rows a tap: with so few channels many times faster than a convolution."""
    outputs, _, size = len(taps), len(taps[0]), len(taps[0][0])
    n = x.shape[2] - size + 1
    y = x.new_zeros(x.shape[0], outputs, n)
    for o, row in enumerate(taps):
        for i, weights in enumerate(row):
            for k, w in enumerate(weights):
                if w:
                    y[:, o].add_(x[:, i, k : k + n], alpha=w)
    return y


class _Filter(torch.autograd.Function):
    """conv1d with weights that are not learned, [out][in][taps]; its backward is one, too."""

    @staticmethod
    def forward(cx, x, taps):
        cx.taps = taps
        return _filtered(x, taps)

    @staticmethod
    def backward(cx, g):
        size = len(cx.taps[0][0])
        turned = [[o[i][::-1] for o in cx.taps] for i in range(len(cx.taps[0]))]
        return _filtered(F.pad(g, (size - 1,) * 2), turned), None


def activate(act, x):
    """The anti-aliased SnakeBeta of BigVGAN: both filters with the two phases as channels. Equal to act(x), several times faster."""
    f, g = act.upsample.filter.view(-1), act.downsample.filter.view(-1)
    b, c, n = x.shape
    zero = f.new_zeros(1)
    padded = F.pad(x, (3, 3), mode="replicate").reshape(b * c, 1, n + 6)
    up = 2 * torch.stack([torch.cat([f[1::2].flip(0), zero]), torch.cat([zero, f[0::2].flip(0)])])[:, None]
    y = _Filter.apply(padded, up.tolist()).view(b, c, 2, n)
    y = _Snake.apply(y, torch.exp(act.act.alpha)[None, :, None, None], 1 / (torch.exp(act.act.beta)[None, :, None, None] + 1e-9))
    first, last = y[:, :, 0, :1], y[:, :, 1, -1:]
    y = torch.cat([first[:, :, None].expand(-1, -1, 2, 3), y, last[:, :, None].expand(-1, -1, 2, 3)], -1).reshape(b * c, 2, n + 6)
    down = torch.stack([torch.cat([zero, g[1::2]]), torch.cat([g[0::2], zero])])[None]
    return _Filter.apply(y, down.tolist()).view(b, c, n)


def vocode(m, mel):
    """BigVGAN's forward, unclamped: [B, 80, n] → [B, 240 n]"""
    h, n = m.conv_pre(m.process_mel_spectrogram(mel)), m.num_residual_blocks
    for i in range(m.num_upsample_layers):
        h = m.ups[i][0](h)
        total = 0
        for block in m.resblocks[i * n : (i + 1) * n]:
            r = h
            for k, (first, second) in enumerate(zip(block.convs1, block.convs2)):
                r = r + second(activate(block.activations[2 * k + 1], first(activate(block.activations[2 * k], r))))
            total = total + r
        h = total / n
    return m.conv_post(activate(m.activation_post, h))[:, 0]


if __name__ == "__main__":
    torch.manual_seed(0)
    v = new_vocoder()
    x = torch.randn(2, 80, 20)
    with torch.no_grad():
        print("vocoder", float((vocode(v, x).clamp(-1, 1) - v(x).reshape(2, -1)).abs().max()))
        d = new_dit().eval()
        nn.init.normal_(d.proj_out.weight)
        h, ref, cond, codes = torch.randn(1, 48, 80), torch.randn(1, 120, 80), torch.randn(1, 16), torch.randint(1, CODES, (1, 12))
        theirs = d(hidden_states=h, condition_vector=ref, speaker_embedding=cond[:, None].repeat(1, 48, 1), quantized_code=codes, time_step=torch.tensor(.3), apply_cfg=False)
        print("dit", float((velocity(d, h, d.input_embed.spk_encoder(ref), cond, codes, torch.tensor([.3])) - theirs).abs().max()))
        print({k: sum(p.numel() for p in m.parameters()) / 1e6 for k, m in dict(vocoder=v, dit=d, talker=new_talker(talker_config(1, 2, 3)), codec=Codec()).items()})
