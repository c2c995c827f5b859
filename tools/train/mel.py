"""The mel spectrogram between DiT and vocoder: 80 bands, 100 frames a second, in units in which the vocoder's own range (−10.94 … 2.3) clips nothing."""
import numpy as np
import torch
from transformers.audio_utils import mel_filter_bank

RATE, N_FFT, HOP, BANDS = 24000, 1024, 240, 80
MEAN, SCALE = -5.0, 2.9
SILENCE = (np.log(1e-5) - MEAN) / SCALE
_filters = torch.from_numpy(mel_filter_bank(N_FFT // 2 + 1, BANDS, 0, 12000, RATE, norm="slaney", mel_scale="slaney").T.copy()).float()
_window = torch.hann_window(N_FFT)


def mel(x):
    """[…, n · HOP] samples → [BANDS, n]"""
    p = (N_FFT - HOP) // 2
    y = torch.nn.functional.pad(x.reshape(-1, 1, x.shape[-1]), (p, p), mode="reflect")[:, 0]
    s = torch.stft(y, N_FFT, HOP, N_FFT, _window, center=False, return_complex=True)
    a = torch.sqrt(s.real**2 + s.imag**2 + 1e-9)
    m = (torch.log(torch.clamp(_filters @ a, min=1e-5)) - MEAN) / SCALE
    return m.reshape(*x.shape[:-1], BANDS, m.shape[-1])
