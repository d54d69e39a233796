"""The environments of a host: each in a folder under the digest of its packages.

Requirements that resolve to the same packages share one: a file under the digest of the
requirements (`.packages`) holds that of the packages.

Beside the folders lie locks, which the kernel takes from processes that died. Whoever uses an
environment shares its lock of use, so that nobody removes it; whoever builds one holds its lock of
building. A folder comes under its name as a whole, once it is done.
"""

import logging
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.file_lock import FileLock, LockTimeout, one_of, only_one, taken
from serving.container.child.model_process import ModelEnvironment
from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.building import Build, BuildLog, size_of
from serving.environments.rules import Rules
from serving.environments.spec import EnvironmentSpec

MADE_OF = "environment.json"
STAGING = "building-"
# A build that failed, such as for an index that is away, isn't tried again for so long.
PAUSE_S = 60.0
PREFIX = "its environment could not be built: "

logger = logging.getLogger(__name__)

Meanwhile = Callable[[str], object]


class MadeOf(msgspec.Struct, frozen=True, kw_only=True):
    """Ingredients and size of an environment."""

    python: str
    requirements: tuple[str, ...]
    # Where the Python lies that it is made of.
    prefix: str = ""
    packages: tuple[str, ...] = ()
    bytes: int = 0


class KeptEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """One environment as it lies on a host, for the requirements with the digests `specs`.

    With `error` its last build failed at `used_at` (unix seconds), for this reason.
    """

    digest: str
    specs: tuple[str, ...] = ()
    made_of: MadeOf
    used_at: float = 0.0
    in_use: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldEnvironment:
    """One that is there and stays until it is released; `built` just now, or before."""

    of_model: ModelEnvironment
    built: bool
    use: FileLock

    @property
    def folder(self) -> Path:
        return self.of_model.folder

    def release(self) -> None:
        self.use.release()


class Environments:
    """Those of one stack on this host."""

    def __init__(self, root: Path, *, rules: Rules) -> None:
        self.root = root
        self.rules = rules

    def prepare(
        self,
        spec: EnvironmentSpec,
        *,
        keep: Callable[[], Collection[str]] = tuple,
        afresh: bool = False,
        meanwhile: Meanwhile = lambda progress: None,
    ) -> HeldEnvironment:
        """Return the environment, built where it isn't there as a whole; held until released.

        Raises EnvironmentFailed, and whatever `meanwhile` does.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        built = False
        for _ in range(3):  # another process may remove it between its build and its use
            if (found := self._use(spec.digest, built=built)) is not None:
                return found
            if self._build_once(spec, keep=keep, afresh=afresh, meanwhile=meanwhile):
                built = True
        raise EnvironmentFailed(f"{PREFIX}another process removes it again and again")

    def is_built(self, spec: EnvironmentSpec) -> bool:
        """Return whether there is an environment for these requirements; it may be damaged."""
        digest = self._digest_for(spec.digest)
        return bool(digest) and (self.root / digest / MADE_OF).exists()

    def log_of(self, digest: str) -> str:
        """Return the output of an environment's last build, or of a failed one; "" if unknown."""
        with suppress(OSError):
            return self._path(digest, "log").read_text(errors="replace")
        return ""

    def kept(self) -> Iterator[KeptEnvironment]:
        """Yield the environments, the one used last first, then those whose build failed."""
        found = []
        specs = defaultdict(list)
        for path in self.root.glob("*.packages"):
            specs[self._digest_for(path.stem)].append(path.stem)
        for path in self.root.glob(f"*/{MADE_OF}"):
            digest = path.parent.name
            with suppress(OSError, msgspec.MsgspecError):
                environment = KeptEnvironment(
                    digest=digest,
                    specs=tuple(sorted(specs[digest])),
                    made_of=msgspec.json.decode(path.read_bytes(), type=MadeOf),
                    used_at=path.stat().st_mtime,
                    in_use=self._is_locked(digest, "use.lock"),
                )
                found.append(environment)
        yield from sorted(found, key=lambda kept: -kept.used_at)
        failed = map(self._read_failed, (path.stem for path in self.root.glob("*.failed")))
        yield from filter(None, failed)

    def remove(self, digest: str) -> bool:
        """Remove one that nobody uses or builds; whether it is gone."""
        building, use = self._path(digest, "build.lock"), self._path(digest, "use.lock")
        with taken(building) as not_built, taken(use) as unused:
            if not (not_built and unused):
                return False
            folder = self.root / digest
            if folder.exists():
                # At once under another name: nobody finds it half removed.
                aside = folder.rename(self._staging(digest) / "removed")
                shutil.rmtree(aside.parent, ignore_errors=True)
            for path in self.root.glob("*.packages"):
                if self._digest_for(path.stem) == digest:
                    path.unlink(missing_ok=True)
            self._path(digest, "log").unlink(missing_ok=True)
        logger.info("removed environment=%s", digest[:12])
        return True

    def _make_room(self, own: str, *, keep: Callable[[], Collection[str]], size: int) -> None:
        """Remove those used least recently until `own` of so many bytes fits.

        Raises EnvironmentFailed where too many are in use or to be kept.
        """
        there = [kept for kept in self.kept() if not kept.error and kept.digest != own]
        count = 1 + len(there)
        size += sum(kept.made_of.bytes for kept in there)
        if count <= self.rules.most and size <= self.rules.most_bytes:
            return
        needed = {self._digest_for(spec) for spec in keep()}
        for kept in reversed(there):
            if count <= self.rules.most and size <= self.rules.most_bytes:
                return
            free = kept.digest not in needed and not kept.in_use
            if free and self.remove(kept.digest):
                count, size = count - 1, size - kept.made_of.bytes
        if count > self.rules.most or size > self.rules.most_bytes:
            raise EnvironmentFailed(
                f"this host keeps at most {self.rules.most} environments of together "
                f"{self.rules.most_bytes} bytes, and those there are needed"
            )

    def _digest_for(self, spec: str) -> str:
        """Return the digest of the packages that requirements came to here; "" if none did yet."""
        with suppress(OSError):
            return self._path(spec, "packages").read_text()
        return ""

    def _use(self, spec: str, *, built: bool) -> HeldEnvironment | None:
        """Hold the one for these requirements if it is there as a whole; a damaged one is not."""
        if not (digest := self._digest_for(spec)):
            return None
        folder = self.root / digest
        use = FileLock.take(self._path(digest, "use.lock"), shared=True)
        if use is None:
            return None
        if (made_of := _whole(folder)) is not None:
            with suppress(OSError):
                (folder / MADE_OF).touch()
            environment = ModelEnvironment(folder=folder, prefix=Path(made_of.prefix))
            return HeldEnvironment(of_model=environment, use=use, built=built)
        use.release()
        return None

    def _build_once(
        self,
        spec: EnvironmentSpec,
        *,
        keep: Callable[[], Collection[str]],
        afresh: bool,
        meanwhile: Meanwhile,
    ) -> bool:
        """Build it unless another process here has just tried; return whether it was new."""

        def waiting() -> None:
            meanwhile("waiting for another build on this host")

        slots = [self.root / f"slot-{number}.lock" for number in range(self.rules.at_once)]
        asked_at, until = time.time(), time.monotonic() + self.rules.build_s
        try:
            with (
                only_one(self._path(spec.digest, "build.lock"), until=until, meanwhile=waiting),
                one_of(slots, until=until, meanwhile=waiting),
            ):
                digest = self._digest_for(spec.digest)
                if digest and _whole(self.root / digest) is not None:
                    return False
                failed = self._read_failed(spec.digest)
                since = asked_at if afresh else asked_at - PAUSE_S
                if failed is not None and failed.used_at > since:
                    error = EnvironmentFailed(failed.error)
                    error.remembered = True
                    raise error
                self._clear_staging(spec.digest)
                return self._build(spec, keep=keep, meanwhile=meanwhile, waiting=waiting)
        except LockTimeout:
            raise EnvironmentFailed(
                f"{PREFIX}others were being built on this host for {self.rules.build_s:g} s"
            ) from None

    def _build(
        self,
        spec: EnvironmentSpec,
        *,
        keep: Callable[[], Collection[str]],
        meanwhile: Meanwhile,
        waiting: Callable[[], object],
    ) -> bool:
        started = time.monotonic()
        logger.info("building environment=%s python=%s", spec.digest[:12], spec.python)
        try:
            folder = self._staging(spec.digest)
            try:
                log = self._path(spec.digest, "log")
                progress = BuildLog(log)
                build = Build(
                    spec, rules=self.rules, folder=folder, progress=progress, meanwhile=meanwhile
                )
                packages = build.resolve()
                digest = spec.digest_of(packages)
                # Others may be at the same packages, or about to remove them.
                until = time.monotonic() + self.rules.build_s
                with only_one(self._path(digest, "build.lock"), until=until, meanwhile=waiting):
                    is_new = _whole(self.root / digest) is None
                    if is_new:
                        self._make_room(digest, keep=keep, size=0)
                        made = self._made(spec, build=build, packages=packages, started=started)
                        self._make_room(digest, keep=keep, size=made.bytes)
                        target = self.root / digest
                        if target.exists():  # and is damaged
                            target.rename(folder / "damaged")
                        build.made.rename(target)
                        log.rename(self._path(digest, "log"))
                    self._path(spec.digest, "packages").write_text(digest)
                log.unlink(missing_ok=True)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        except (EnvironmentFailed, OSError) as error:
            raise self._failed(spec, error=error) from error
        self._path(spec.digest, "failed").unlink(missing_ok=True)
        return is_new

    def _made(
        self,
        spec: EnvironmentSpec,
        *,
        build: Build,
        packages: Sequence[str],
        started: float,
    ) -> MadeOf:
        prefix = build.install(packages)
        installed = build.made.glob("lib/python*/site-packages/*.dist-info")
        names = [path.name.removesuffix(".dist-info").rpartition("-") for path in installed]
        (build.made / MADE_OF).unlink(missing_ok=True)  # a package's own of this name
        size = size_of(build.made)
        made_of = MadeOf(
            python=spec.python,
            requirements=spec.requirements,
            prefix=str(prefix),
            packages=tuple(sorted(f"{name}=={version}" for name, _, version in names)),
            bytes=size,
        )
        with (build.made / MADE_OF).open("xb") as file:
            file.write(msgspec.json.encode(made_of))
        took = time.monotonic() - started
        logger.info("built environment=%s bytes=%d s=%.1f", spec.digest[:12], size, took)
        return made_of

    def _failed(self, spec: EnvironmentSpec, *, error: Exception) -> EnvironmentFailed:
        """Note the failure."""
        reason = PREFIX + str(error).removeprefix(PREFIX)
        logger.warning("not built environment=%s: %s", spec.digest[:12], error)
        failed = KeptEnvironment(
            digest=spec.digest,
            specs=(spec.digest,),
            made_of=MadeOf(python=spec.python, requirements=spec.requirements),
            used_at=time.time(),
            error=reason,
        )
        with suppress(OSError):  # the disk may be full, which was the reason
            self._path(spec.digest, "failed").write_bytes(msgspec.json.encode(failed))
        return EnvironmentFailed(reason)

    def _read_failed(self, digest: str) -> KeptEnvironment | None:
        """Return the failed build of these requirements; None if there is none."""
        with suppress(OSError, msgspec.MsgspecError):
            text = self._path(digest, "failed").read_bytes()
            return msgspec.json.decode(text, type=KeptEnvironment)
        return None

    def _staging(self, digest: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{STAGING}{digest}-", dir=self.root))

    def _clear_staging(self, own: str) -> None:
        """Remove what builds left behind whose processes were killed; `own` isn't begun yet."""
        for folder in self.root.glob(f"{STAGING}*"):
            digest = folder.name.removeprefix(STAGING).partition("-")[0]
            if digest == own or not self._is_locked(digest, "build.lock"):
                shutil.rmtree(folder, ignore_errors=True)

    def _is_locked(self, digest: str, what: str) -> bool:
        with taken(self._path(digest, what)) as free:
            return not free

    def _path(self, digest: str, what: str) -> Path:
        return self.root / f"{digest}.{what}"


def _whole(folder: Path) -> MadeOf | None:
    """Return an environment's ingredients if all of it is there and its Python too; else None."""
    with suppress(OSError, msgspec.MsgspecError):
        text = (folder / MADE_OF).read_bytes()
        made_of = msgspec.json.decode(text, type=MadeOf)
        if (folder / "bin" / "python").exists() and size_of(folder) == made_of.bytes + len(text):
            return made_of
    return None
