"""The picture of the page: what each policy loses in each world, beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.experiment import STYLE


def draw(found: Mapping[str, Mapping[str, Sequence[float]]], *, to: Path) -> None:
    """Draw bars, worlds from the top, and save them."""
    names = list(dict.fromkeys(name for row in found.values() for name in row))
    with plt.style.context(STYLE):
        figure, axes = plt.subplots(figsize=(8.0, 0.7 * len(found) + 1.0))
        for place, name in enumerate(names):
            at = [row for row, world in enumerate(found) if name in found[world]]
            lost = [mean(regrets[name]) for regrets in found.values() if name in regrets]
            height = 0.8 / len(names)
            offsets = np.array(at) - 0.4 + (place + 0.5) * height
            axes.barh(offsets, lost, 0.9 * height, label=name)
        axes.set_yticks(range(len(found)), list(found))
        axes.invert_yaxis()
        axes.set(xscale="log", xlabel="regret after 10,000 queries (logarithmic)")
        axes.legend()
        to.parent.mkdir(exist_ok=True)
        figure.savefig(to, bbox_inches="tight", metadata={"Software": None})
        plt.close(figure)
