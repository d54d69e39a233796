"""``python -m serving.container check`` tries a version out; ``serve`` serves one by itself.

``answer`` runs in the process of a replica's model (`child`)."""

import argparse
import faulthandler
import gc
import io
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec

from serving.container.check_report import (
    CheckReport,
    agreement,
    answered,
    inputs_for,
    read_rows,
    timed,
)
from serving.container.failures.container_errors import ContainerError, WarmUpFailed, explain
from serving.container.failures.output import stream_to
from serving.container.failures.recent_failures import failure_of, with_last_traceback
from serving.container.inputs.signature import Signature, output_shape, signature_of, storable
from serving.container.loading import load_predictor
from serving.container.predictor import Predictor
from serving.container.runtimes import find_runtime
from serving.container.sandbox.limits import held_to, process_bytes
from serving.container.spec import LoadSpec, add_options
from serving.rpc.buffers import keep_freed_memory
from serving.rpc.errors import InvalidAddress

Say = Callable[[dict[str, Any]], None]


def main(argv: list[str] | None = None) -> int:
    """Run one command; standard output gets one JSON line for each thing worth telling."""
    arguments = _argument_parser().parse_args(argv)
    faulthandler.enable(all_threads=False)  # `failures.tracebacks` reads what it writes
    with _model_speaks_on_stderr() as say:
        try:
            arguments.run(arguments, say=say)
        except ContainerError as error:
            failure = failure_of(error)
            why = {"error": failure.error, "traceback": failure.traceback}
            say({"ok": False, "kind": error.kind} | why)
            return 1
        except (InvalidAddress, OSError) as error:
            say({"ok": False, "error": str(error), "kind": "address"})
            return 1
        except BaseException as error:
            say({"ok": False, "error": explain(error), "kind": "unexpected"})
            return 1
    return 0


def check(arguments: argparse.Namespace, *, say: Say) -> None:
    """Load a version and have it answer, in this process, which is thrown away."""
    started = time.perf_counter()
    if arguments.tell_base:
        find_runtime(arguments.runtime)
        say({"base_bytes": process_bytes()})
    with _limits(arguments):
        predictor = _load(arguments)
        loaded = time.perf_counter()
        predictor.warm_up()
        warmed = time.perf_counter()
        results = _rehearsed(predictor, arguments=arguments)
    predictor.close()
    load_ms, warm_ms = (round(s * 1000, 3) for s in (loaded - started, warmed - loaded))
    say({"ok": True, "load_ms": load_ms, "warm_ms": warm_ms} | results)


def serve(arguments: argparse.Namespace, *, say: Say) -> None:
    """Serve a version until SIGTERM or SIGINT, then drain."""
    # A check doesn't need it: a fifth of what its process imports.
    from serving.container.server.serve import serve as serve_at

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    predictor = _load_for_good(arguments)
    try:
        serve_at(predictor, arguments=arguments, say=say)
    finally:
        predictor.close()


def answer(arguments: argparse.Namespace, *, say: Say) -> None:
    """Answer the streams that come through an inherited socket, until its peer closes it."""
    from serving.container.server.serve import answer as answer_streams

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    with socket.socket(fileno=arguments.descriptor) as channel:
        find_runtime(arguments.runtime)  # its libraries are no part of the model
        say({"base_bytes": process_bytes()})
        predictor = _load_for_good(arguments)
        keep_freed_memory()
        signature = signature_of(predictor, input_type=predictor.input_type)
        say({"ok": True} | _described(predictor, signature))
        answer_streams(predictor, channel=channel, say=say)
        predictor.close()


def _described(predictor: Predictor, signature: Signature) -> dict[str, Any]:
    known = msgspec.to_builtins(storable(signature))
    return {"n_features": predictor.n_features, "signature": known}


def _rehearsed(predictor: Predictor, *, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return answers to sample inputs and times of batches; raises WarmUpFailed."""
    signature = signature_of(predictor, input_type=predictor.input_type)
    inputs = inputs_for(signature, example=arguments.example)
    outputs, samples = answered(predictor, inputs)
    if arguments.example and not outputs:
        error = WarmUpFailed(f"the model failed to answer its example: {samples[0].error}")
        raise with_last_traceback(error, noted=predictor.failures)
    output = signature.output or output_shape(map(msgspec.json.decode, outputs))
    # Others may be paid for each of its answers.
    timing = bool(outputs) and arguments.runtime != "remote"
    report = CheckReport(
        samples=tuple(samples),
        latency=timed(predictor, inputs[0], largest=arguments.largest) if timing else (),
        kept=agreement(predictor, read_rows(arguments.kept)) if arguments.kept else None,
    )
    signature = msgspec.structs.replace(signature, output=output)
    return _described(predictor, signature) | {"report": msgspec.to_builtins(report)}


def _load_for_good(arguments: argparse.Namespace) -> Predictor:
    """Load and warm up a version that lives as long as this process."""
    with _limits(arguments):
        predictor = _load(arguments)
        predictor.warm_up()
    # Looking through the model would only delay a batch.
    gc.collect()
    gc.freeze()
    return predictor


def _load(arguments: argparse.Namespace) -> Predictor:
    secret = sys.stdin.read() if arguments.secret_on_stdin else ""
    return load_predictor(LoadSpec.from_options(arguments, secret=secret))


def _limits(arguments: argparse.Namespace) -> AbstractContextManager[None]:
    # The runtime's own libraries are no part of the model.
    find_runtime(arguments.runtime)
    return held_to(arguments.memory_limit_mb, threads=arguments.threads)


@contextmanager
def _model_speaks_on_stderr() -> Iterator[Say]:
    """Keep standard output for our lines: all that a model prints goes to stderr."""
    sys.stdout.flush()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout, sys.stderr = stream_to(1), stream_to(2)
    ours = os.dup(1)
    os.dup2(2, 1)

    def say(line: dict[str, Any]) -> None:
        os.write(ours, json.dumps(line).encode() + b"\n")

    try:
        yield say
    finally:
        sys.stdout.flush()
        os.dup2(ours, 1)
        os.close(ours)


def _argument_parser() -> argparse.ArgumentParser:
    artifact = argparse.ArgumentParser(add_help=False)
    add_options(artifact)
    artifact.add_argument(
        "--secret-on-stdin", action="store_true", help="the secret of a remote model comes there"
    )

    parser = argparse.ArgumentParser(prog="python -m serving.container", description=__doc__)
    commands = parser.add_subparsers(required=True)
    checking = commands.add_parser("check", parents=[artifact], help=check.__doc__)
    checking.set_defaults(run=check)
    checking.add_argument("--largest", type=int, default=64, help="batch whose time is taken")
    checking.add_argument("--kept", type=int, help="descriptor of inputs and another's outputs")
    checking.add_argument(
        "--tell-base", action="store_true", help="first, what is held before there is a model"
    )
    answering = commands.add_parser("answer", parents=[artifact], help=answer.__doc__)
    answering.set_defaults(run=answer)
    answering.add_argument("--descriptor", type=int, required=True, help="of the socket")
    serving = commands.add_parser("serve", parents=[artifact], help=serve.__doc__)
    serving.set_defaults(run=serve)
    serving.add_argument("--address", required=True, help="unix:/path")
    serving.add_argument("--name", required=True)
    serving.add_argument("--version", required=True)
    serving.add_argument("--version-id", type=int, default=0)
    serving.add_argument("--generation", type=int, default=0)
    serving.add_argument("--drain-timeout", type=float, default=30.0, help="seconds")
    return parser


if __name__ == "__main__":
    code = main()
    # Python would look for garbage in all that was imported once more before it ends: a sixth of
    # what a check of a small model takes.
    gc.freeze()
    sys.exit(code)
