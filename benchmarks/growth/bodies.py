"""The questions: files with a body a line, as benchmarks/wrk.lua reads them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

from benchmarks.wrk import COUNTER

NUMBERS, NUMBER = 8, "0.12345"
# A client whose inputs are of many lengths sends a head for each of them.
LENGTHS = range(NUMBERS, NUMBERS + 16)
CONTEXT_DIGITS = 7
# More draws than a load asks: hardly any is repeated.
DRAWS = 30_000


def body(*, numbers: int = NUMBERS, context: str | None = None) -> str:
    """Return the JSON of a question that the load generator's counter makes a new one."""
    given = ",".join([COUNTER, *[NUMBER] * (numbers - 1)])
    of = "" if context is None else f',"context":"{context}"'
    return f'{{"input":[{given}]{of}}}'


def spread(paths: Sequence[str], *, lengths: Sequence[int] = (NUMBERS,)) -> list[str]:
    """Return a line for each path and length, in random order."""
    lines = [f"{path} {body(numbers=count)}" for path, count in product(paths, lengths)]
    random.Random(1).shuffle(lines)
    return lines


def context_name(number: int) -> str:
    """All are as long: what is asked of one context and of a million differs in nothing else."""
    return f"c{number:0{CONTEXT_DIGITS}d}"


def of_contexts(count: int, *, seed: int) -> list[str]:
    """Return questions of contexts that are drawn at random from so many."""
    draw = random.Random(seed)
    return [body(context=context_name(draw.randrange(count))) for _ in range(DRAWS)]


def text(size: int) -> str:
    """Return a question of exactly so many bytes whose input is one string."""
    head, tail = f'{{"input":"{COUNTER}', '"}'
    return f"{head}{'x' * (size - len(head) - len(tail))}{tail}"


def array(size: int) -> str:
    """Return a question of about so many bytes whose input is numbers."""
    around = len(body(numbers=1))
    return body(numbers=1 + max(0, size - around) // (len(NUMBER) + 1))


def written(file: Path, lines: Iterable[str]) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines))
    return file
