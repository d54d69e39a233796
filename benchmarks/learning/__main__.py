"""`make bench-learning`: what policies lose in worlds that change, delay, differ and mislead."""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from benchmarks.learning.play import Served, play
from benchmarks.learning.worlds import HELD_OUT, PUBLISHED, WORLDS, World
from clipper_site import ROOT
from selection.policies import POLICIES

PAGE = ROOT / "docs/results/learning.md"
FOUND = ROOT / "benchmarks/results/learning.json"
SEEDS = 8
POLICIES_PLAYED = ("auto", "ucb1", "thompson")

# Of each policy in each world: what it lost, seed by seed.
Regrets = dict[str, dict[str, list[float]]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    found: Regrets = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    for world in options.worlds:
        for name in options.policies:
            if (made := made_for(world, name)) is None:
                continue
            regrets = [play(made, WORLDS[world], seed=seed) for seed in range(options.seeds)]
            found.setdefault(world, {})[name] = regrets
            print(f"{world:28} {name:24} {mean(regrets):7.0f} ± {_error(regrets):.0f}", flush=True)
            FOUND.parent.mkdir(exist_ok=True)
            FOUND.write_text(json.dumps(found, indent=1))
    if options.publish:
        publish(found)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    option = parser.add_argument
    option("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS), metavar="WORLD")
    known = f"{', '.join(POLICIES)}, as in thompson:decay=0,floor=0.01"
    option("--policies", nargs="+", default=POLICIES_PLAYED, help=known)
    option("--seeds", type=int, default=SEEDS)
    option("--publish", action="store_true", help="write the page's tables")
    return parser.parse_args(arguments)


def made_for(world: str, name: str) -> Served | None:
    """Return the maker of a world's players; None if the policy can't play there."""
    policy, _, given = name.partition(":")
    params = {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", given)}
    return Served.of(policy, params, features=WORLDS[world].features)


def publish(found: Regrets) -> None:
    """Write the results to the page, between its marks."""
    text = PAGE.read_text()
    for mark, worlds in (("worlds", PUBLISHED), ("held-out", HELD_OUT)):
        begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + table_of(found, worlds) + end + rest.partition(end)[2]
    PAGE.write_text(text)


def table_of(found: Regrets, worlds: Mapping[str, World]) -> str:
    names = list(dict.fromkeys(name for world in worlds for name in found.get(world, {})))
    lines = ["| world | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for world in (world for world in worlds if world in found):
        row = found[world]
        cells = [f"{mean(row[n]):,.0f} ± {_error(row[n]):.0f}" if n in row else "-" for n in names]
        lines.append(f"| {world} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _error(regrets: Sequence[float]) -> float:
    """The standard error of their mean."""
    return stdev(regrets) / len(regrets) ** 0.5 if len(regrets) > 1 else 0.0


if __name__ == "__main__":
    sys.exit(main())
