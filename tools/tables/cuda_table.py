#!/usr/bin/env python3
"""What nvcc made of the CUDA kernels, from its own output; nothing of it runs. Writes the table of docs/cuda-kernels.md, or with --check compares: exit 1 where a kernel spills registers or
uses double precision where it should not, or where, with the nvcc that the table was made with, it differs from the table; exit 77 (skip) without nvcc."""
import argparse
import collections
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/cuda-kernels.md"
BEGIN, END = "<!-- tools/tables/cuda_table.py writes from here -->", "<!-- to here -->"
# Of an SM, by NVIDIA's programming guide: warps, blocks, KiB of shared memory. Registers: 65,536 everywhere.
IN_DOUBLES = {"log_mel", "rotary_table"}  # says why
SM = {80: (64, 32, 164), 89: (48, 24, 100), 90: (64, 32, 228), 100: (64, 32, 228), 120: (48, 24, 100)}


def occupancy(arch, threads, registers, shared):
    warps, blocks, kib = SM[arch]
    per_block = -(-threads // 32)
    by_registers = 65536 // (-(-registers * 32 // 256) * 256) // per_block
    by_shared = kib * 1024 // (shared + 1024)
    return min(blocks, warps // per_block, by_registers, by_shared) * per_block / warps


def name_of(mangled):
    text = subprocess.run(["c++filt", mangled], capture_output=True, text=True).stdout
    found = re.search(r"(\w+)_kernel(?:<((?:[^<>()]|\([^()]*\))*)>)?\(", text)
    arguments = re.sub(r"\((?:int|omni::cuda::\w+)\)", "", found.group(2) or "")
    for there, here in (("__nv_bfloat16", "bf16"), ("__half", "half"), ("(bool)0", "scalar"), ("(bool)1", "vector"), ("false", "scalar"), ("true", "vector")):
        arguments = arguments.replace(there, here)
    return found.group(1) + (f"<{arguments}>" if arguments else "")


def compiled(nvcc, source):
    """kernel → arch → what ptxas says; kernel → what the PTX holds."""
    common = [nvcc, "-std=c++17", "-O3", f"-I{ROOT / 'cuda'}"]
    with tempfile.TemporaryDirectory() as folder:
        codes = [a for arch in SM for a in ("-gencode", f"arch=compute_{arch},code=sm_{arch}")]
        said = subprocess.run(common + codes + ["-c", "-Xptxas", "-v", "-o", f"{folder}/o", str(source)], capture_output=True, text=True)
        if said.returncode:
            sys.exit(said.stderr)
        ptx = pathlib.Path(folder, "ptx")
        subprocess.run(common + ["-ptx", "-arch=compute_80", "-o", str(ptx), str(source)], check=True, capture_output=True)
        text = ptx.read_text()
    numbers = collections.defaultdict(dict)
    for mangled, arch, rest in re.findall(r"Compiling entry function '(\w+)' for 'sm_(\d+)a?'(.*?)(?=Compiling entry|\Z)", said.stderr, re.S):
        stack, store, load = map(int, re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", rest).groups())
        shared = re.search(r"(\d+) bytes smem", rest)
        numbers[name_of(mangled)][int(arch)] = (int(re.search(r"Used (\d+) registers", rest).group(1)), stack, store + load, int(shared.group(1)) if shared else 0)
    parts = {name_of(m): body for m, body in re.findall(r"\.entry (\w+)\((.*?)^\}", text, re.S | re.M)}
    return numbers, parts


def rows(nvcc):
    sources = sorted((ROOT / "cuda/kernels").glob("*.cu"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda s: compiled(nvcc, s), sources))
    out, wrong = [], []
    for source, (numbers, parts) in zip(sources, results):
        for name, by_arch in sorted(numbers.items()):
            body = parts[name]
            threads = int(re.search(r"\.maxntid (\d+)", body).group(1))
            widest = max([4] + [int(v) * int(bits) // 8 for v, bits in re.findall(r"ld\.global(?:\.nc)?\.v(\d)\.[ufb](\d+)", body)])
            tensor = len(re.findall(r"mma\.sync", body))
            if any(b[2] for b in by_arch.values()):
                wrong.append(f"{source.name}: {name} spills registers")
            if re.search(r"\.f64", body) and source.stem not in IN_DOUBLES:
                wrong.append(f"{source.name}: {name} computes in double precision")
            registers, stack, shared = (max(b[i] for b in by_arch.values()) for i in (0, 1, 3))
            fill = [occupancy(arch, threads, by_arch[arch][0], by_arch[arch][3]) for arch in SM]
            out.append(f"| `{name}` | {threads} | {registers} | {sum(b[2] for b in by_arch.values())} | {stack} | {shared} | {widest} | {tensor or '–'} | " + " ".join(f"{f:.0%}" for f in fill) + " |")
    return out, wrong


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--check", action="store_true")
    a = a.parse_args()
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if not nvcc:
        print("no nvcc here: the kernels' registers and spills were not looked at")
        sys.exit(77)
    version = re.search(r"V(\d+\.\d+\.\d+)", subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout).group(1)
    table, wrong = rows(nvcc)
    made = "\n".join([BEGIN, f"nvcc {version}, sm_80, 89, 90, 100 and 120; registers, stack and shared memory (bytes): the largest of the five; spills: their sum; load: bytes of the widest global load;",
                      "tensor: `mma.sync` instructions; occupancy: theoretical, on the five in that order.", "",
                      "| kernel | threads | registers | spills | stack | shared | load | tensor | occupancy |", "| --- | --: | --: | --: | --: | --: | --: | --: | --- |", *table, END])
    page = PAGE.read_text()
    then = page[page.index(BEGIN) : page.index(END) + len(END)]
    if not a.check:
        PAGE.write_text(page.replace(then, made))
    elif f"nvcc {version}," in then and then != made:
        wrong += ["docs/cuda-kernels.md is not what nvcc says now: run tools/tables/cuda_table.py"] + [line for line in made.splitlines() if line not in then.splitlines()]
    print("\n".join(wrong) or f"{len(table)} kernels, no spills, no double precision but in " + ", ".join(IN_DOUBLES))
    sys.exit(bool(wrong))


main()
