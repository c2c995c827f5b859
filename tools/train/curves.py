"""What train.py wrote while it trained, as a picture: `python curves.py DIR OUT.png`

Left how well the towers' tokens know labels and boxes of what was composited, right the text model's error where it says a coordinate and the share of other tokens it gets right and looks at; running means over clips with
augmentation, not the evaluation."""
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def read(path):
    """{name: [(step, value)]}"""
    curves = {}
    for line in path.read_text().splitlines():
        step = int(line.split("/")[0])
        for name, value in re.findall(r"_([a-z ]+):([0-9.]+)", line):
            curves.setdefault(name, []).append((step, float(value)))
    return curves


def main(folder, out):
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6))
    towers = read(folder / "towers.log")
    for name, text in (("label", "label right"), ("iou", "mean IoU of the box"), ("word", "spoken word right"), ("sound", "sound class right")):
        axes[0].plot(*zip(*towers[name]), label=text)
    axes[0].set(title="towers", xlabel="step (16 clips)", ylim=(0, 1))
    before = 0
    for stage in ("boxes", "text"):
        if not (folder / f"{stage}.log").exists():
            continue
        curves = read(folder / f"{stage}.log")
        for name, axis in (("pixels", axes[1]), ("right", axes[2])):
            axis.plot([before + step for step, _ in curves[name]], [v for _, v in curves[name]], label=f"stage {stage}")
        if "looks at time" in curves:
            axes[2].plot([before + step for step, _ in curves["looks at time"]], [v for _, v in curves["looks at time"]], label="attention where the sound is lost")
        before += curves["pixels"][-1][0]
    axes[1].set(title="coordinates: mean error, pixels of 252×140", xlabel="step", ylim=(0, None))
    axes[2].set(title="other tokens: share right", xlabel="step")
    for axis in axes:
        axis.legend(fontsize=8)
        axis.grid(alpha=.3)
    axes[0].locator_params(axis="x", nbins=5)
    figure.tight_layout()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
