"""A page of docs/tutorial, read and typed from top to bottom as its reader would.

What a page may say, and what becomes of it:

- a block of `sh` is typed, in one shell for the whole page, which ends where a command fails;
- a block of anything else right after a sentence with "as `NAME.EXT`" and a colon at its end is
  saved under that name, from where the shell is by then;
- a file so saved that is a pipeline of GitHub or GitLab is run, as on the main branch: each of its
  jobs in a folder with what the page has saved so far, and nothing else;
- `text` and `json` right after a block of `sh` are what that has to print. "…" stands for anything.
  What differs from run to run is compared as if it didn't (VOLATILE), and how JSON is broken into
  lines doesn't count. In a block of `output` no figure is compared, only its sign;
- `make run`, where pip finds wheels, and `pip install` of what is installed already, are what the
  tests did before.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from clipper_site import ROOT
from tests.integration.stack import Stack
from tests.integration.tutorials.pipelines import scripts_of

EVERY = sorted((ROOT / "docs/tutorial").glob("*.md"))
# The one that everybody begins with. `make test-frameworks` types the others: they are a minute of
# work, or bring hundreds of megabytes.
PAGES = [page for page in EVERY if page.stem == "own-model"]
HEAVY = [page for page in EVERY if page not in PAGES]
ADDRESS = "127.0.0.1:8000"
LONGEST_S = 200.0
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
# A repository of somebody else's has workflows of its own.
OWN = ".github"
SAVED = re.compile(r"\bas\s+`([^`\s]*\.[^`\s]+)`[^`:]*:\n\n\Z")
DONE_BEFORE = re.compile(
    r"^((?:\w+=\S+ )?make run|export PIP_FIND_LINKS=\S+|(?:\S*/)?pip install (.*))$", re.MULTILINE
)
PRINTED = ("text", "json")
# The same, where luck decides on the figures.
APPROXIMATE = "output"
# Versions are none.
FIGURE = re.compile(r"(?<!\w)(?<!\w:)\d[\d.,]*(?:e-?\d+)?")
# Each with what every one of its kind is taken for.
VOLATILE = (
    # What a terminal overwrites, such as a bar that grows.
    (re.compile(r"[^\n]*\r"), ""),
    (re.compile(r'("query_id": ?)"[^"]*"'), r'\1"…"'),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|seconds)\b"), "0 s"),
    (re.compile(r"\b[\d,]+/s\b"), "0/s"),
    (re.compile(r'("latency_ms": ?)[\d.]+'), r"\1 0"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)"), "today"),
    (re.compile(r"^Release \d+ ", re.MULTILINE), "Release 0 "),
    # How far a release is: whoever looks each second sees some of its states, or none.
    (re.compile(r"^  [\w-]+:[\w.-]+: .*\n", re.MULTILINE), ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to type, and what it has to print; None where the page doesn't show it."""

    script: str
    printed: str | None = None
    approximate: bool = False


def steps(page: str) -> list[Step]:
    """Return the steps of somebody who follows the page."""
    found: list[Step] = []
    saved: list[str] = []
    end = -1
    for block in BLOCK.finditer(page):
        language, code = block.groups()
        follows = page[end : block.start()].strip() == ""
        name = SAVED.search(page, max(end, 0), block.start())
        if language == "sh":
            found.append(Step(script=DONE_BEFORE.sub(_done, code)))
        elif name is not None:
            found.append(Step(script=_saving(name[1], code)))
            saved.append(name[1])
            found += [_run(job, saved) for job in scripts_of(name[1], code)]
        elif language in (*PRINTED, APPROXIMATE) and follows and found:
            about = language == APPROXIMATE
            found[-1] = Step(script=found[-1].script, printed=code, approximate=about)
        end = block.end()
    return found


def _done(command: re.Match[str]) -> str:
    """Nothing in place of the command, if what it would install is there."""
    for word in (command[2] or "").split():
        if not word.startswith("-"):
            distribution(
                re.split(r"[=<>\[]", word)[0].replace("./clients/python", "clipper-client")
            )
    return ":"


def _run(job: str, saved: list[str]) -> Step:
    """A job of a pipeline, which begins with what was committed."""
    checkout = f'there=$(mktemp -d "$PWD.XXXX")\ncp --parents {shlex.join(saved)} "$there"'
    return Step(script=f'{checkout}\n( cd "$there"\n{DONE_BEFORE.sub(_done, job)}\n)\n')


def _saving(name: str, code: str) -> str:
    top = name.partition("/")[0]
    linked = top != OWN and (ROOT / top).exists()
    assert not linked, f"{name} would be saved in the repository"
    path = shlex.quote(name)
    return f"mkdir -p \"$(dirname {path})\"\ncat >{path} <<'END OF FILE'\n{code}END OF FILE\n"


class Reader:
    """Somebody who types what a page says, in a copy of the repository's folder."""

    def __init__(self, *, folder: Path, stack: Stack) -> None:
        self._desk = folder / "repository"
        self._printed = folder / "printed"
        self._printed.mkdir()
        self._desk.mkdir()
        for path in ROOT.iterdir():
            if path.name != OWN:
                (self._desk / path.name).symlink_to(path)
        # Another folder and port than a page has that nobody told.
        (self._desk / "var").unlink(missing_ok=True)
        self._address = stack.url.removeprefix("http://")
        self._chosen = {"VAR": str(stack.var), "PORT": self._address.rpartition(":")[2]}

    def follows(self, page: str, *, within_s: float = LONGEST_S) -> None:
        """Type all that the page says, and compare what is printed. Raises at a difference."""
        todo = steps(page)
        script = "\n".join(["set -euo pipefail", *self._scripts(todo)])
        typed = subprocess.run(
            ["bash", "-c", script],
            cwd=self._desk,
            # A busy machine is warned of that a page has none of.
            env={
                **os.environ,
                **self._chosen,
                "PYTHONWARNINGS": "ignore",
                "PYTHONPATH": str(ROOT / "clients/python/src"),
            },
            stdin=subprocess.DEVNULL,
            timeout=within_s,
            check=False,
        )
        reached = [step for number, step in enumerate(todo) if self._output(number).exists()]
        for number, step in enumerate(reached):
            # As bytes, as reading text would make a new line of each carriage return.
            printed = self._output(number).read_bytes().decode().replace(self._address, ADDRESS)
            told = f"{step.script}\n--- has to print\n{step.printed}\n--- and printed\n{printed}"
            assert step.printed is None or prints_as_shown(
                printed, shown=step.printed, approximate=step.approximate
            ), told
        assert typed.returncode == 0, told
        assert reached == todo

    def _output(self, number: int) -> Path:
        return self._printed / str(number)

    def _scripts(self, todo: list[Step]) -> Iterator[str]:
        for number, step in enumerate(todo):
            yield f"exec >{shlex.quote(str(self._output(number)))} 2>&1\n{step.script}"


def prints_as_shown(printed: str, *, shown: str, approximate: bool = False) -> bool:
    """Return if the text is that of a page, but for what differs from run to run."""
    if approximate:
        printed, shown = (FIGURE.sub("0", text) for text in (printed, shown))
    expected = ".*?".join(map(re.escape, _plain(shown).split("…")))
    return re.fullmatch(expected, _plain(printed), re.DOTALL) is not None


def _plain(text: str) -> str:
    for pattern, same in VOLATILE:
        text = pattern.sub(same, text)
    return re.sub(r"\s", "", text)
