"""python -m serving.master NAME --listen http=127.0.0.1:8000 --workers 2 -- COMMAND...

Runs the command so many times, each with the sockets (`serving.master.inherited`), until SIGTERM.
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from core.loop.short_turns import take_short_turns
from serving.master.listening import listen
from serving.master.master import DRAIN_S, LAME_DUCK_S, Master, MasterSpec
from serving.master.orders import take_orders

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

logger = logging.getLogger(__name__)


def main() -> int:
    options = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    if options.short_turns:
        give_cores_back_soon()
    sockets = {}
    for name, _, address in (text.partition("=") for text in options.listen):
        try:
            sockets[name] = listen(address)
        except (OSError, ValueError) as error:
            print(f"{options.name}: can't listen on {address}: {error}", file=sys.stderr)
            return 1
    spec = MasterSpec(
        name=options.name,
        command=options.command,
        workers=options.workers,
        sockets=sockets,
        ready_s=options.ready_s,
        drain_s=options.drain_s,
        retire_s=options.retire_s,
    )
    try:
        asyncio.run(run(spec, orders=options.orders))
    finally:
        if options.orders is not None:
            options.orders.unlink(missing_ok=True)
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.master", description=__doc__)
    parser.add_argument("name", help="of the kind of processes, for logs")
    parser.add_argument("--listen", action="append", default=[], metavar="NAME=ADDRESS")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--orders", type=Path, help="the Unix socket to take orders on")
    # To import everything, read the registry, and connect.
    parser.add_argument("--ready-s", type=float, default=60.0)
    parser.add_argument("--drain-s", type=float, default=DRAIN_S + lame_duck_s())
    # Long enough for most uploads to end.
    parser.add_argument("--retire-s", type=float, default=65.0)
    parser.add_argument(
        "--short-turns",
        action="store_true",
        help="whoever wants the core of one of its processes has it a tenth of a millisecond later",
    )
    parser.add_argument("command", nargs="+")
    return parser


def lame_duck_s() -> float:
    """Return how long its processes go on after SIGTERM, as their settings read it."""
    text = os.environ.get("CLIPPER_LAME_DUCK_S", "").strip()
    return float(text) if text.isdecimal() else LAME_DUCK_S


def give_cores_back_soon() -> None:
    try:
        take_short_turns()
    except OSError as error:  # a sandbox may not let it
        logger.warning("others wait longer for a core: it can't be had in short turns: %s", error)


async def run(spec: MasterSpec, *, orders: Path | None) -> None:
    master = Master(spec)
    server = None if orders is None else await take_orders(master, path=orders)
    try:
        await master.run()
    finally:
        if server is not None:
            server.close()


if __name__ == "__main__":
    sys.exit(main())
