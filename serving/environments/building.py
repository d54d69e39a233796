"""Builds of environments by uv in a folder aside, bounded in time and on the disk.

uv runs confined as models do (`sandbox.confined`). What it may have written is neither followed nor
written to from here, where nothing confines.
"""

import os
import re
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from serving.container.child.kill import end_group, set_parent_death_signal
from serving.container.failures.container_errors import EnvironmentFailed
from serving.container.failures.output import required_pipe
from serving.container.sandbox.confined import Confinement, confined_command, scrubbed_environment
from serving.environments.interpreters import find, uv_binary
from serving.environments.rules import Rules, wants_cpu_build, without_credentials
from serving.environments.spec import CONTAINER_NEEDS, CONTAINER_WISHES, EnvironmentSpec
from serving.rpc.text import safe_text

LOG_BYTES = 256 * 1024
LOOK_S = 1.0
# What an operator's network needs, beside what a model may know of the environment.
NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
QUIET = {
    "UV_NO_CONFIG": "1",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_SYSTEM_CERTS": "1",
    "UV_KEYRING_PROVIDER": "disabled",
    # By hard links, as uv would, what damages one environment would damage the cache and all.
    "UV_LINK_MODE": "copy",
    "NO_COLOR": "1",
}
PYTORCH_INDEX = "https://download.pytorch.org/whl/cpu"


class BuildLog:
    """Output of uv, in a file of bounded size, with its last lines in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # uv says why in its last lines.
        self._lines: deque[str] = deque(maxlen=12)
        self._room = LOG_BYTES
        path.write_text("")

    @property
    def last(self) -> str:
        """The last line that says something, "" for none."""
        lines = self._lines.copy()  # at once: a thread adds to them meanwhile
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def add(self, line: str) -> None:
        line = safe_text(without_credentials(line.rstrip()), most=2000)
        self._lines.append(line)
        self._room -= len(line) + 1
        if self._room > 0:
            with suppress(OSError), self._path.open("a") as file:  # the disk may be full
                file.write(f"{line}\n")

    def begin(self) -> None:
        """Forget the lines so far: they are no reason for later failures."""
        self._lines.clear()

    def words(self) -> str:
        """The reason that uv gives, on one line."""
        drawn = " \u00d7\u2570\u2500\u25b6\u2502\u251c"  # around words
        lines = [line.strip(drawn) for line in self._lines.copy()]
        begin = next((i for i, line in enumerate(lines) if line.startswith("error:")), 0)
        said = " ".join(line for line in lines[begin:] if line)
        return safe_text(said.removeprefix("error:").strip() or "it said nothing", most=1500)


class Build:
    """One environment being made in `folder`, which is its own and goes with it.

    `meanwhile` is called with the progress; an error that it raises ends the build.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        *,
        rules: Rules,
        folder: Path,
        progress: BuildLog,
        meanwhile: Callable[[str], object],
    ) -> None:
        self._spec = spec
        self._rules = rules
        self._folder = folder
        # All of it that uv, and what it runs, may write to.
        self._work = folder / "work"
        self._home = self._work / "home"
        self._progress = progress
        self._meanwhile = meanwhile
        self._stage = f"looking for Python {spec.python}"
        self._deadline = time.monotonic() + rules.build_s
        self._looks = 0
        self.made = self._work / "environment"
        self._python = self.made / "bin" / "python"

    def resolve(self) -> tuple[str, ...]:
        """Return every package that comes of the requirements, pinned, in order.

        Raises EnvironmentFailed with uv's words, and whatever `meanwhile` does.
        """
        self._meanwhile(self._stage)
        self._interpreter = find(self._spec.python)
        self._home.mkdir(parents=True)
        self._stage = "resolving"
        try:
            return self._resolve((*CONTAINER_NEEDS, *CONTAINER_WISHES))
        except EnvironmentFailed:
            if not any(name in self._progress.words() for name in CONTAINER_WISHES):
                raise
            self._progress.add(f"once more without {', '.join(CONTAINER_WISHES)}")
            return self._resolve(CONTAINER_NEEDS)

    def install(self, packages: Sequence[str]) -> Path:
        """Install what `resolve` returned; returns where its Python lies. Raises as that does."""
        self._stage = f"downloading {len(packages)} packages"
        options = ["--relocatable", "--no-project", "--python", str(self._interpreter.path)]
        self._have_run(["venv", *options, str(self.made)])
        options = ["--no-deps", *self._rules.options, "--requirement", self._written(packages)]
        self._have_run(["pip", "install", "--python", str(self._python), *options])
        self._compile()
        if self.made.is_symlink() or not self.made.is_dir():
            raise EnvironmentFailed("what was built is no folder")
        return self._interpreter.prefix

    def _resolve(self, ours: Sequence[str]) -> tuple[str, ...]:
        options = ["--no-header", "--no-annotate", "--python", str(self._interpreter.path)]
        options += [*self._rules.options, self._written((*self._spec.requirements, *ours))]
        # Opened here, as a path that what uv runs could write to might lead anywhere.
        with (self._folder / "packages.txt").open("w+b") as said:
            self._have_run(["pip", "compile", *options], output=said)
            said.seek(0)
            text = said.read(LOG_BYTES).decode(errors="replace")
        lines = (line.strip() for line in text.splitlines())
        return tuple(sorted(line for line in lines if line and line[0] not in "#-"))

    def _written(self, requirements: Sequence[str]) -> str:
        path = self._folder / "requirements.txt"
        path.write_text("\n".join((*requirements, "")))
        return str(path)

    def _compile(self) -> None:
        """Compile all of it, as nobody writes to it later.

        Not by uv, which may write to its cache; with `-S`, as packages may have code run at start.
        """
        self._stage = "compiling"
        self._progress.add("Compiling")
        library = str(self.made / "lib")
        # Packages' own tests are more than half of the work for scikit-learn and its needs.
        tests = f"{re.escape(library)}/.*/tests/"
        command = ["-I", "-S", "-m", "compileall", "-qq", "-j", "0", "-x", tests, library]
        confined = confined_command(
            [str(self._python), *command],
            Confinement(write=[self._work], read=[self._interpreter.prefix], keeps_user=True),
        )
        # What doesn't compile, such as a file for another Python, is no reason not to run.
        self._wait_for(self._start(confined, more={}))

    def _have_run(self, command: Sequence[str], *, output: IO[bytes] | None = None) -> None:
        """Have uv do this; what it says to its standard output goes to `output`, if given."""
        self._progress.begin()
        # The wheels that uv has fetched for all stacks of this user.
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = self._rules.cache or Path(caches, "uv")
        cache.mkdir(parents=True, exist_ok=True)
        wheelhouse = [Path(self._rules.wheelhouse)] if self._rules.wheelhouse else []
        named = map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR"))
        certificates = [Path(path) for path in named if path]
        confined = confined_command(
            [uv_binary(), *command],
            Confinement(
                write=[self._work, cache],
                modes=True,  # programs that it installs can be run
                read=[self._folder, self._interpreter.prefix, *wheelhouse, *certificates],
                keeps_user=True,  # whose the cache is
            ),
        )
        known = QUIET | dict(self._rules.variables_for(self._spec.requirements))
        known |= {"UV_CACHE_DIR": str(cache)}
        known |= {name: os.environ[name] for name in NETWORK if name in os.environ}
        if self._wait_for(self._start(confined, more=known, output=output)):
            words = self._progress.words()
            raise EnvironmentFailed(words + self._explain(words))

    def _explain(self, words: str) -> str:
        """Return an explanation that uv can't give; "" for none."""
        names = [re.split("[<>=]", needed)[0] for needed in CONTAINER_NEEDS]
        if "No solution" in words and any(name in words for name in names):
            return f" (a container itself needs {' and '.join(CONTAINER_NEEDS)})"
        if wants_cpu_build(self._spec.requirements) and ("+cpu" in words or PYTORCH_INDEX in words):
            return (
                f" (PyPI has no builds for CPUs of PyTorch: put them, from {PYTORCH_INDEX}, "
                "into the operator's index or CLIPPER_PIP_WHEELHOUSE)"
            )
        return ""

    def _wait_for(self, process: subprocess.Popen[bytes]) -> int:
        """Return how it ended, in time and within its room."""
        reader = threading.Thread(target=self._read, args=(process,), name="uv", daemon=True)
        reader.start()
        try:
            while (code := process.poll()) is None:
                self._look()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_S)
        finally:
            end_group(process)
            reader.join(LOOK_S)
        self._check_room()
        return code

    def _look(self) -> None:
        """Raise where it takes too long or too much of the disk."""
        self._meanwhile(self._text)
        if time.monotonic() > self._deadline:
            raise EnvironmentFailed(f"it took longer than {self._rules.build_s:g} s")
        self._looks += 1
        if self._looks % 2:  # it goes through all files
            self._check_room()

    @property
    def _text(self) -> str:
        """Return what is done at this moment, with the package that uv names."""
        action, _, package = self._progress.last.partition(" ")
        if action in ("Prepared", "Installed", "+"):  # once all packages are fetched
            return self._stage.replace("downloading", "installing")
        takes_long = action in ("Downloading", "Building")
        return f"{self._stage}: {package}" if takes_long else self._stage

    def _check_room(self) -> None:
        taken = size_of(self._folder)
        if taken > self._rules.largest_bytes:
            raise EnvironmentFailed(
                f"it takes more than {self._rules.largest_bytes} bytes: {taken} so far"
            )
        free = shutil.disk_usage(self._folder).free
        if free < self._rules.min_free_bytes:
            raise EnvironmentFailed(
                f"the disk has {free} bytes free, of which {self._rules.min_free_bytes} stay free"
            )

    def _start(
        self, command: list[str], *, more: Mapping[str, str], output: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["nice", "-n", "10", *command],  # whoever is serving on this machine goes first
            cwd=self._folder,
            env=scrubbed_environment(os.environ, home=self._home) | dict(more),
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.PIPE if output else subprocess.STDOUT,
            umask=0o022,  # a model may run as a user of its own
            process_group=0,  # in a session of its own its niceness might count for nothing
            preexec_fn=set_parent_death_signal,  # one call to the kernel, no more
        )

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        with required_pipe(process.stdout or process.stderr) as pipe:
            while line := pipe.readline(LOG_BYTES):
                self._progress.add(line.decode(errors="replace"))


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it is being moved at this moment
                size += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118  # thousands
    return size
