"""Frames and samples from real GStreamer pipelines, as numpy arrays."""
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image

from vocabulary import FPS, FRAMES, RATE


def _run(pipeline, caps):
    with tempfile.NamedTemporaryFile(suffix=".raw") as f:
        subprocess.run(f"gst-launch-1.0 -q {pipeline} ! {caps} ! filesink location={f.name}", shell=True, check=True, stderr=subprocess.DEVNULL)
        return open(f.name, "rb").read()


def frames(source, size, fps, n, pixel_format="I420", effects=""):
    """n frames of `source` sampled at FPS: uint8 [n, height, width, 3]."""
    w, h = size
    pipeline = (f"{source} num-buffers={int((n + 2) * fps / FPS)} ! video/x-raw,format={pixel_format},width={w},height={h},framerate={fps}/1 {effects} "
                f"! videorate drop-only=true ! video/x-raw,framerate={FPS}/1 ! videoconvert")
    data = np.frombuffer(_run(pipeline, "video/x-raw,format=RGB"), np.uint8)
    stride = (w * 3 + 3) // 4 * 4
    return data[: len(data) // (stride * h) * stride * h].reshape(-1, h, stride)[:n, :, : w * 3].reshape(-1, h, w, 3)


def samples(source, rate, seconds, codec="identity"):
    """float32 [seconds * RATE], without the half second in which an encoder begins."""
    pipeline = f"{source} num-buffers={int((seconds + 1) * rate / 1024)} ! audio/x-raw,rate={rate},channels=1,format=F32LE ! audioconvert ! {codec} ! audioconvert ! audioresample"
    return np.frombuffer(_run(pipeline, f"audio/x-raw,rate={RATE},format=F32LE,channels=1"), np.float32)[RATE // 2 :][: seconds * RATE].copy()


def speak(word, voice, speed, pitch, codec="identity"):
    """One espeak-ng word without its silences."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", f.name, word], check=True, stderr=subprocess.DEVNULL)
        x = np.frombuffer(_run(f"filesrc location={f.name} ! wavparse ! audioconvert ! audioresample ! audio/x-raw,rate=48000 ! {codec} ! audioconvert ! audioresample", f"audio/x-raw,rate={RATE},format=F32LE,channels=1"), np.float32)
    loud = np.flatnonzero(np.abs(x) > 0.01)
    return x[loud[0] : loud[-1] + 1].copy() if len(loud) else x.copy()


def resize(pictures, shape):
    w, h = FRAMES[shape]
    return np.stack([np.asarray(Image.fromarray(p).resize((w, h), Image.BICUBIC)) for p in pictures])
