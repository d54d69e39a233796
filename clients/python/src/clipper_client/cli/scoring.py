"""The command that scores a file: a line of output for each row, written as it comes."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import msgspec

from clipper_client.cli.command import Command, Options, arg, flag, print_line
from clipper_client.cli.predictions import ASKING, takes_columns
from clipper_client.cli.tables import FORMATS, STDIN, format_of, rows_in
from clipper_client.client import Client
from clipper_client.errors import ROWS_FAILED, ClipperError


def _score(client: Client, options: Options) -> int:
    _check_output(options)
    with ExitStack() as held:
        done = held.enter_context(_resumed(Path(options.output))) if options.resume else 0
        # Requests under way end before the client does, also if a row failed.
        outputs = held.enter_context(closing(_outputs(client, options, skip=done)))
        _Output(options, done=done).write(outputs)
    return 0


def _outputs(client: Client, options: Options, *, skip: int) -> Generator[Any]:
    """Return the outputs of the rows after the first `skip`."""
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


def _check_output(options: Options) -> None:
    if options.resume and (options.output is None or options.json):
        raise ValueError("--resume: expected --output FILE, without --json.")
    there = options.output is not None and Path(options.output).is_file()
    if there and options.file != STDIN and Path(options.file).samefile(options.output):
        raise ValueError(f"--output: expected another file than {options.file}, which is read.")


@contextmanager
def _resumed(output: Path) -> Iterator[int]:
    """Yield how many outputs a run before has written; a line that it didn't end is removed."""
    with output.open("a+b") as written:
        _lock(written)
        lines = end = 0
        written.seek(0)
        for line in written:
            if line.endswith(b"\n"):
                lines += 1
                end += len(line)
        written.truncate(end)
        yield lines


def _lock(file: IO[Any]) -> None:
    """Raise where another run writes to the file. Where files have no locks, nobody can tell."""
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"--output: another run writes to {file.name}.") from None


class _Output:
    """The target of the outputs, and their number."""

    def __init__(self, options: Options, *, done: int) -> None:
        self._options = options
        self._done = done
        self._failed = 0

    def write(self, outputs: Iterable[Any]) -> None:
        """Write the outputs as they come. Raises at a row that failed, unless it is kept."""
        checked = map(self._checked, outputs)
        first = list(islice(checked, 1))  # who is refused at once loses no file
        with self._opened() as target:
            if self._options.json:
                target.write(msgspec.json.encode([*first, *checked]).decode())
            else:
                for output in chain(first, checked):
                    target.write(f"{msgspec.json.encode(output).decode()}\n")
        if self._options.output is not None and not self._options.json:
            failed = f", {self._failed:,} of them errors" if self._failed else ""
            print_line(f"{self._options.output} has {self._done:,} outputs{failed}")

    def _checked(self, output: Any) -> Any:
        """Return the output as JSON has it."""
        if isinstance(output, ClipperError):
            if not self._options.keep_errors:
                raise self._ended_by(output)
            self._failed += 1
            output = {"error": output.message, "code": output.code}
        self._done += 1
        return output

    def _ended_by(self, error: ClipperError) -> ClipperError:
        said = f"row {self._done + 1} failed: {error.message.removesuffix('.')}. "
        if self._options.output is None or self._options.json or not self._done:
            said += "--keep-errors goes on past it."
        else:
            said += (
                f"{self._options.output} has the {self._done:,} outputs before it; "
                "once the row is mended, --resume goes on there, --keep-errors past it."
            )
        details = {"row": self._done, "first": {"code": error.code}}
        return ClipperError(said, code=ROWS_FAILED, details=details)

    @contextmanager
    def _opened(self) -> Iterator[IO[str]]:
        if self._options.output is None:
            yield sys.stdout
        else:
            output = Path(self._options.output)
            with output.open("a", encoding="utf-8") as target:
                if output.is_file() and not self._options.resume:
                    _lock(target)
                    target.truncate(0)
                yield target


COMMANDS = [
    Command(
        name="score",
        help="print a model's output for each row of a file",
        more="Not bound to the objective; one line of JSON for each row, in order, as it comes.",
        arguments=[
            arg("app", "the application to ask"),
            arg("file", "CSV with a head, JSON lines or .npy; - for standard input"),
            arg("-o --output", "standard output if left out", metavar="FILE"),
            arg("--format", "by the file's ending if left out", choices=FORMATS),
            flag(
                "--keep-errors", 'a row that failed becomes {"error", "code"} rather than the end'
            ),
            flag("--resume", "go on after the rows whose outputs --output has already"),
            *ASKING,
        ],
        run=_score,
    ),
]
