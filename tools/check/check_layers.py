#!/usr/bin/env python3
"""Prints which folder includes which, and fails on an include against the arrows of docs/architecture.md or on two folders that include each other.

The build already keeps a target from including what it does not list (cmake/OmniLayer.cmake); this shows the whole picture and checks the outside
libraries too: GLib only in elements and plugins, JSON only in runtime/io, oneDNN only in runtime/ops/cpu.
"""
import collections, pathlib, re, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# What several families stand on; no family includes another one.
LINES = ["qwen"]
FAMILIES = sorted(p.name for p in (ROOT / "runtime/models").iterdir() if p.is_dir() and p.name not in ("interface", *LINES))
BELOW_FAMILIES = {"interface", "layers", "video", "audio", "text", "ops", "io", "core", "omni"}
# Folder → what its files may include, by the first word of the path. Order = the order of the arrows.
MAY = {
    "cuda/emu": {"emu"},
    "cuda/kernels": {"kernels", "emu"},
    "runtime/include/omni": {"omni"},
    "runtime/core": {"core", "omni"},
    "runtime/ops/cpu": {"cpu", "core", "omni", "ops"},
    "runtime/ops/cuda": {"ops", "core", "omni", "kernels"},
    "runtime/ops": {"ops", "core", "omni"},
    "runtime/io": {"io", "core", "omni"},
    "runtime/io/quantized": {"io", "core", "omni"},
    "runtime/layers": {"layers", "ops", "io", "core", "omni"},
    "runtime/tokenizers/video": {"video", "ops", "io", "core", "omni"},
    "runtime/tokenizers/audio": {"audio", "ops", "io", "core", "omni"},
    "runtime/tokenizers/text": {"text", "ops", "io", "core", "omni"},
    "runtime/models/interface": BELOW_FAMILIES,
    **{f"runtime/models/{line}": {line, *BELOW_FAMILIES} for line in LINES},
    **{f"runtime/models/{f}": {f, *LINES, *BELOW_FAMILIES} for f in FAMILIES},
    "runtime/models": {"models", *FAMILIES, "interface", "io", "core", "omni"},
    "runtime/spatial": {"io", "core", "omni"},
    "runtime/captions": {"captions", "text", "omni"},
    "runtime/grammar": {"grammar", "io", "core", "omni"},
    "runtime/vad": {"vad", "whisper", "audio", "layers", "ops", "io", "core", "omni"},
    "runtime/decoding": {"decoding", "interface", "grammar", "layers", "text", "ops", "io", "core", "omni"},
    "runtime/session": {"session", "vad", "decoding", "interface", "grammar", "layers", "video", "audio", "text", "ops", "io", "core", "omni"},
    "runtime/transcription": {"transcription", "vad", "decoding", "interface", "layers", "audio", "text", "ops", "io", "core", "omni"},
    "runtime/engine": {"engine", "session", "transcription", "vad", "decoding", "models", "interface", "layers", "ops", "io", "core", "omni"},
    "runtime/info": {"omni"},
    "elements/common": {"common", "omni"},
    "elements/streams": {"streams", "common", "omni"},
    "elements/tokens": {"tokens", "common", "omni"},
    "elements/tokenizers": {"tokenizers", "streams", "tokens", "common", "omni"},
    "elements/model": {"model", "streams", "tokens", "common", "omni"},
    "elements/transcriber": {"transcriber", "streams", "common", "omni"},
    "elements/captions": {"captions", "streams", "common", "omni"},
    "elements/overlay": {"overlay", "streams", "common", "omni"},
    "elements/bins": {"bins", "common", "omni"},
    "plugins": {"common", "streams", "tokens", "tokenizers", "model", "transcriber", "captions", "overlay", "bins", "omni"},
}
OUTSIDE = [("cuda", ("cuda", "runtime/ops/cuda")), ("cairo", ("elements/overlay",)), ("pango", ("elements/overlay",)), ("gst/", ("elements", "plugins", "examples")), ("glib", ("elements", "plugins", "examples")), ("nlohmann", ("runtime/io",)), ("dnnl", ("runtime/ops/cpu",)),
           ("pcre2", ("runtime/tokenizers/text", "runtime/io/quantized")), ("unicode/", ("runtime/tokenizers/text", "runtime/captions")), ("utf8proc", ("runtime/tokenizers/text", "runtime/captions"))]


def folder_of(path):
    relative = path.relative_to(ROOT).parent.as_posix()
    return next((f for f in sorted(MAY, key=len, reverse=True) if relative == f), None)


matrix, wrong = collections.defaultdict(collections.Counter), []
for top in ("cuda", "runtime", "elements", "plugins"):
    for path in sorted((ROOT / top).rglob("*")):
        if path.suffix not in (".h", ".cc", ".cu", ".inl"):
            continue
        folder = folder_of(path)
        if folder is None:
            wrong.append(f"{path.relative_to(ROOT)}: its folder is not in tools/check/check_layers.py")
            continue
        for kind, name in re.findall(r'#include\s+(["<])([^">]+)[">]', path.read_text()):
            if kind == '"':
                target = name.split("/")[0]
                matrix[folder][target] += 1
                if target not in MAY[folder]:
                    wrong.append(f"{path.relative_to(ROOT)}: may not include {name}")
            for prefix, where in OUTSIDE:
                if kind == "<" and name.startswith(prefix) and not folder.startswith(where):
                    wrong.append(f"{path.relative_to(ROOT)}: <{name}> belongs to {', '.join(where)}")


def target_of(folder, name):
    """The folder that an include of "name/…" in `folder` means: of the same tree before another."""
    found = [f for f in MAY if f.split("/")[-1] == name]
    return next((f for f in found if f.split("/")[0] == folder.split("/")[0]), found[0] if found else None)


arrows = {(f, target_of(f, t)) for f in matrix for t in matrix[f]}
wrong += [f"{a} and {b} include each other" for a, b in sorted(arrows, key=str) if b and a < b and (b, a) in arrows]
for folder in MAY:
    print(f"{folder:30s} → " + ", ".join(f"{t} {n}" for t, n in sorted(matrix[folder].items())))
for line in wrong:
    print(line)
sys.exit(bool(wrong))
