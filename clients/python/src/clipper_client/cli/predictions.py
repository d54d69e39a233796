"""Commands that ask an application: about one input, some, or a file of them."""

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import msgspec

from clipper_client.answers import Answer
from clipper_client.cli.printing import shown
from clipper_client.cli.subcommand import Command, Options, Result, arg, flag, json_arg, parsed
from clipper_client.cli.tables import FORMATS, STDIN, format_of, rows_in, takes_columns
from clipper_client.clients import Client
from clipper_client.clipper_error import ClipperError


def _predict(client: Client, options: Options) -> Result:
    given = parsed(sys.stdin.read() if options.input == STDIN else options.input)
    names = ("context", "features", "version", "timeout_ms")
    said: Any = {"key": options.kept, **{name: getattr(options, name) for name in names}}
    if not options.batch:
        answer = client.predict(options.app, given, **said)
        return Result(answer.as_dict(), _text_of(answer))
    answers = client.predict_batch(options.app, given, **said)
    return Result(
        [answer.as_dict() for answer in answers],
        "\n".join(map(_text_of, answers)),
        int(any(answer.error for answer in answers)),
    )


def _text_of(answer: Answer) -> str:
    if answer.error is not None:
        return f"failed: {answer.error}"
    if answer.default:
        return f"{shown(answer.output)}  (the default: {answer.default_explanation})"
    return shown(answer.output)


def _score(client: Client, options: Options) -> int:
    output = None if options.output is None else Path(options.output)
    if options.resume and (output is None or options.json):
        raise ValueError("--resume: expected --output FILE, without --json.")
    if output and output.is_file() and options.file != STDIN and output.samefile(options.file):
        raise ValueError(f"--output: expected another file than {options.file}, which is read.")
    with ExitStack() as held:
        done = _outputs_in(output) if options.resume and output else 0
        # Requests under way end before the client does, also if a row failed.
        outputs = held.enter_context(closing(_outputs(client, options, skip=done)))
        checked = _checked(outputs, done=done, keep_errors=options.keep_errors)
        first = list(islice(checked, 1))  # a refused caller loses no file
        target = held.enter_context(_opened(output, mode="a" if options.resume else "w"))
        _write(chain(first, checked), target, as_json=options.json)
    return 0


def _outputs(client: Client, options: Options, *, skip: int) -> Generator[Any]:
    format = format_of(options.file, said=options.format)
    columns = format == "csv" and takes_columns(client, options.app)
    return client.score_each(
        options.app,
        rows_in(options.file, format=format, columns=columns, skip=skip),
        progress=sys.stderr.isatty(),
        context=options.context,
        version=options.version,
        errors="keep",
    )


def _outputs_in(output: Path) -> int:
    """Return how many outputs an earlier run wrote; an unfinished line is removed."""
    with output.open("a+b") as written:
        lines = end = 0
        written.seek(0)
        for line in written:
            if line.endswith(b"\n"):
                lines += 1
                end += len(line)
        written.truncate(end)
    return lines


def _checked(outputs: Iterable[Any], *, done: int, keep_errors: bool) -> Iterator[Any]:
    """Yield outputs as JSON has them. Raises ClipperError at a row that failed, unless kept."""
    for row, output in enumerate(outputs, start=done):
        if not isinstance(output, ClipperError):
            yield output
        elif keep_errors:
            yield {"error": output.message, "code": output.code}
        else:
            raise ClipperError(
                f"row {row + 1} failed: {output.message.removesuffix('.')}. "
                "--keep-errors goes on past it.",
                code="rows_failed",
                details={"row": row, "first": {"code": output.code}},
            )


def _write(outputs: Iterable[Any], target: IO[str], *, as_json: bool) -> None:
    if as_json:
        target.write(msgspec.json.encode(list(outputs)).decode())
        return
    for output in outputs:
        target.write(f"{msgspec.json.encode(output).decode()}\n")


@contextmanager
def _opened(output: Path | None, *, mode: str) -> Iterator[IO[str]]:
    if output is None:
        yield sys.stdout
    else:
        with output.open(mode, encoding="utf-8") as target:
            yield target


ASKING = (
    arg("--context", "whose selection state to use"),
    arg("--version", "ask just this one", metavar="MODEL:VERSION"),
)
COMMANDS = [
    Command(
        name="predict",
        help="ask an application about an input",
        arguments=[
            arg("app", "the application to ask"),
            arg("input", "one input as JSON; standard input if left out", nargs="?", default=STDIN),
            flag("--batch", "it is an array of inputs, answered in order"),
            arg("--timeout-ms", "less than the objective gives", type=float, metavar="MS"),
            arg("--for", "whom to keep with one version", dest="kept", metavar="KEY"),
            json_arg("--features", "what the policy chooses by"),
            *ASKING,
        ],
        run=_predict,
    ),
    Command(
        name="score",
        help="print a model's output for each row of a file",
        more="Not bound to the objective; one line of JSON for each row, in order, as it comes.",
        arguments=[
            arg("app", "the application to ask"),
            arg("file", "CSV with a head, JSON lines or .npy; - for standard input"),
            arg("-o --output", "standard output if left out", metavar="FILE"),
            arg("--format", "by the file's ending if left out", choices=FORMATS),
            flag("--keep-errors", "a row that failed is an error in its place"),
            flag("--resume", "go on after the rows whose outputs --output has already"),
            *ASKING,
        ],
        run=_score,
    ),
]
