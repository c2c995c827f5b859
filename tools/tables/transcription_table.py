#!/usr/bin/env python3
"""tools/tables/transcription_table.py --model models/whisper-base [--ct2 FOLDER] TEXTS.json…: word error rate, real-time factor and memory of gst-omni's policies, and of faster-whisper where it and
a CTranslate2 folder of the same checkpoint are there, over recordings (16-bit WAV beside each TEXTS.json: {"name.wav": {"text": …}}). One thread each.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import wave

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "tools/check"))
from word_delays import NUMBERS  # noqa: E402
from word_errors import word_errors  # noqa: E402


def words(text):
    return " ".join(NUMBERS.get(w, w) for w in re.sub(r"[^\w' ]", " ", text.lower().replace("-", " ")).split()).split()


def ours(model, policy, files):
    out = subprocess.run([ROOT / "build/tests/bench_transcribe", model, "--policy", policy, "--threads", "1", "--language", "en", *files], check=True, capture_output=True, text=True).stdout
    texts = re.findall(r"^== .*\n(.*)\n", out, re.M)
    memory = max(float(x) for x in re.findall(r"peak ([\d.]+) MB", out))
    times = [(float(e) + float(d)) for e, d in re.findall(r"encoder ([\d.]+) s, decoder ([\d.]+) s", out)]
    return texts, sum(times), memory


PEER = """
import sys, time, resource
from faster_whisper import WhisperModel
m = WhisperModel(sys.argv[1], device="cpu", compute_type=sys.argv[2], cpu_threads=1)
spent = 0
for f in sys.argv[3:]:
    t = time.time()
    segments, _ = m.transcribe(f, beam_size=1, language="en")
    text = " ".join(s.text.strip() for s in segments)
    spent += time.time() - t
    print("==", text)
print("--", spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peer(folder, kind, files):
    out = subprocess.run([sys.executable, "-c", PEER, folder, kind, *files], check=True, capture_output=True, text=True, env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}).stdout
    spent, memory = re.search(r"^-- ([\d.]+) ([\d.]+)", out, re.M).groups()
    return re.findall(r"^== (.*)$", out, re.M), float(spent), float(memory)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--model", required=True)
    a.add_argument("--ct2")
    a.add_argument("texts", nargs="+", type=pathlib.Path)
    a = a.parse_args()
    files, true = [], []
    for t in a.texts:
        for name, x in json.loads(t.read_text()).items():
            if x.get("text"):
                files.append(str(t.parent / name)), true.append(words(x["text"]))
    seconds = sum((lambda w: w.getnframes() / w.getframerate())(wave.open(f)) for f in files)
    sides = [(f"gst-omni {p}", lambda p=p: ours(a.model, p, files)) for p in ("whole", "align-att", "local-agreement")]
    if a.ct2:
        sides += [(f"faster-whisper {k}", lambda k=k: peer(a.ct2, k, files)) for k in ("int8", "float32")]
    print(f"{len(files)} recordings, {seconds:.0f} s, {sum(map(len, true))} words")
    for name, run in sides:
        texts, spent, memory = run()
        errors = [word_errors(t, words(s)) for t, s in zip(true, texts)]
        print(f"{name:26s} WER {100 * sum(errors) / sum(map(len, true)):5.1f} %   real-time factor {spent / seconds:.3f}   peak {memory:.0f} MB   errors by recording {errors}")


if __name__ == "__main__":
    main()
