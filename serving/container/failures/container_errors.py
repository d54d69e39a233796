"""Why a model cannot be served from its artifact."""

import re
import signal
from collections.abc import Iterator, Mapping
from typing import ClassVar

from serving.rpc.text import safe_text

# Advice in the words of REST, of the Python client and of the command line.
ALLOW_PICKLE = (
    'upload it with allow_pickle=true (client.deploy(..., fields={"allow_pickle": True}), '
    "clipper deploy --field allow_pickle=true), which takes the permission to run code"
)


class ContainerError(Exception):
    """A version cannot be served; `kind` is a stable slug, the class's name in small letters."""

    kind: ClassVar[str] = "container_error"
    # True if the model's own code raised its cause, false if something refused the model.
    of_model: ClassVar[bool] = False
    # The traceback that another process reported with it, "" for none.
    reported_traceback: str | None = None

    def __init_subclass__(cls) -> None:
        if "kind" not in vars(cls):
            cls.kind = re.sub(r"(?<=.)(?=[A-Z])", "_", cls.__name__).lower()


class UnknownRuntime(ContainerError):
    """No such runtime, or its framework isn't installed."""


class UnknownInputType(ContainerError):
    """No such input type."""


class ArtifactUnreadable(ContainerError):
    """The file is not there, or not ours to read."""


class ArtifactCorrupt(ContainerError):
    """Its bytes are not those registered."""


class ArtifactInvalid(ContainerError):
    """Not something that the runtime loads."""


class SignatureRefused(ArtifactInvalid):
    """Not what its signature or example says."""


class UntrustedTypes(ArtifactInvalid):
    """skops refuses these types."""


class UnsafeArchive(ArtifactInvalid):
    """A zip that would write where it must not."""


class StaleLibraries(ContainerError):
    """Trained with another release than is here."""


class PickleRefused(ContainerError):
    """A pickle without the permission to load it."""


class EnvironmentFailed(ContainerError):
    """Its requirements can't be installed on this host."""

    # True if a build failed some time ago, and none was tried now.
    remembered = False


class MemoryLimitExceeded(ContainerError):
    """It takes more memory than its version may."""

    of_model = True


class LoadFailed(ContainerError):
    """The model's own code raised while loading."""

    of_model = True


class WarmUpFailed(ContainerError):
    """It loaded, and cannot answer."""

    of_model = True


def error_of(report: Mapping[str, object]) -> ContainerError:
    """Return the error that another process reported by its kind and its words."""
    kinds = {kind.kind: kind for kind in _kinds(ContainerError)}
    kind = kinds.get(str(report.get("kind")), LoadFailed)
    error = kind(str(report.get("error", "it said nothing of why")))
    error.reported_traceback = str(report.get("traceback", ""))
    return error


def _kinds(of: type[ContainerError]) -> Iterator[type[ContainerError]]:
    yield of
    for kind in of.__subclasses__():
        yield from _kinds(kind)


def explain(error: BaseException) -> str:
    """Render an exception as printable, bounded ``TypeName: message``; never raises."""
    name = safe_text(type.__dict__["__name__"].__get__(type(error)), most=200)
    message = _message(error)
    return f"{name}: {message}" if message else name


def words_of(error: BaseException) -> str:
    """Return an exception's message for a caller, without its class; never raises."""
    return _message(error) or "the model does not take this input"


def _message(error: BaseException) -> str:
    try:
        return safe_text(str(error))
    except BaseException as odd:
        let_interrupts_through(odd)
        return ""


def let_interrupts_through(error: BaseException) -> None:
    """Raise what may be a real Ctrl-C again; a model may raise everything else."""
    interrupted = isinstance(error, KeyboardInterrupt)
    if interrupted and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        raise error
