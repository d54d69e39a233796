"""A process that loads an artifact with a few bytes of it changed, again and again.

A library that writes where it may not would kill its own process, at once or much later, and so it
must not be the process of the tests.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from serving.container.errors import ContainerError
from tests.serving.container.artifacts import load_as

TIMES = 150


def main(runtime: str, path: str, row: str) -> set[str]:
    """How each of them ended: by its kind of error, or `read`."""
    content = Path(path).read_bytes()
    chance = random.Random(0)
    ends = set()
    for _ in range(TIMES):
        odd = bytearray(content)
        for _ in range(chance.choice([1, 2, 4])):
            odd[chance.randrange(len(odd))] ^= 1 << chance.randrange(8)
        try:
            load_as(runtime, bytes(odd), at=Path(f"{path}.odd")).answer_batch([row.encode()])
        except ContainerError as error:
            ends.add(error.kind)
        else:
            ends.add("read")
    return ends


if __name__ == "__main__":
    print(json.dumps(sorted(main(*sys.argv[1:]))))
