"""What nobody can beat: the model on full batches in one process, without any server around it.

Prints a line of JSON: rows a second, and rows a second where each is parsed from its JSON as
Clipper's replica does. PEER_MODEL names the model; the argument is a file of arrays, one a line.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.command import Failed
from benchmarks.peers.peer import MAX_BATCH, Questions
from benchmarks.peers.servers import linear
from benchmarks.servers import ONE_THREAD, clean_environment
from scripts.stack.layout import ROOT
from serving.container.parsing import parse_batch, row_parser
from serving.container.signature import Signature

SECONDS = 1.0
LONGEST_SECONDS = 60.0


class Alone(msgspec.Struct, frozen=True, kw_only=True):
    """Rows a second of the model by itself, and with the parsing of its inputs."""

    predicting: float
    parsing_too: float


def measure_alone(questions: Questions) -> Alone:
    """Measure it in a process of its own, with one thread for linear algebra."""
    arrays = questions.folder / "arrays.txt"
    arrays.write_text("\n".join(questions.arrays[:MAX_BATCH]))
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.alone", str(arrays)],
        cwd=ROOT,
        env={**clean_environment(os.environ), **ONE_THREAD, "PEER_MODEL": str(questions.model)},
        capture_output=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if finished.returncode != 0:
        raise Failed(f"The model alone: {finished.stderr.decode()[-500:]}")
    return msgspec.json.decode(finished.stdout, type=Alone)


def main() -> None:
    raws = [line.encode() for line in Path(sys.argv[1]).read_text().splitlines()]
    model, parser = linear.load(), row_parser(Signature.of("doubles", length=784))
    rows = parse_batch(parser, raws).rows
    alone = Alone(
        predicting=_rows_a_second(lambda: model.predict(rows), size=len(raws)),
        parsing_too=_rows_a_second(
            lambda: model.predict(parse_batch(parser, raws).rows), size=len(raws)
        ),
    )
    sys.stdout.buffer.write(msgspec.json.encode(alone))


def _rows_a_second(batch: Callable[[], object], *, size: int) -> float:
    batch()
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < SECONDS:
        batch()
        count += size
    return count / elapsed


if __name__ == "__main__":
    main()
