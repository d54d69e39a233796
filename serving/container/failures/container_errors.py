"""Why a model cannot be served from its artifact.

ContainerError              container_error
├── UnknownRuntime          unknown_runtime
├── UnknownInputType        unknown_input_type
├── ArtifactUnreadable      artifact_unreadable   the file is not there, or not ours to read
├── ArtifactCorrupt         artifact_corrupt      its bytes are not those registered
├── ArtifactInvalid         artifact_invalid      not something that the runtime loads
│   ├── SignatureRefused    signature_refused     not what its signature or example says
│   ├── UntrustedTypes      untrusted_types       skops refuses these types
│   └── UnsafeArchive       unsafe_archive        a zip that would write where it must not
├── StaleLibraries          stale_libraries       trained with another release than is here
├── PickleRefused           pickle_refused        a pickle without the permission to load it
├── EnvironmentFailed       environment_failed    what it requires can't be installed on this host
├── MemoryLimitExceeded     memory_limit_exceeded it takes more memory than its version may
├── LoadFailed              load_failed           the model's own code raised while loading
└── WarmUpFailed            warm_up_failed        it loaded, and cannot answer
"""

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
    """Base of the reasons for which a version cannot be served; kind is a stable slug."""

    kind: ClassVar[str] = "container_error"
    # True if the model's own code raised its cause, false if something refused the model.
    of_model: ClassVar[bool] = False
    # The traceback that another process reported with it, "" for none.
    reported_traceback: str | None = None


class UnknownRuntime(ContainerError):
    kind = "unknown_runtime"


class UnknownInputType(ContainerError):
    kind = "unknown_input_type"


class ArtifactUnreadable(ContainerError):
    kind = "artifact_unreadable"


class ArtifactCorrupt(ContainerError):
    kind = "artifact_corrupt"


class ArtifactInvalid(ContainerError):
    kind = "artifact_invalid"


class SignatureRefused(ArtifactInvalid):
    kind = "signature_refused"


class UntrustedTypes(ArtifactInvalid):
    kind = "untrusted_types"


class UnsafeArchive(ArtifactInvalid):
    kind = "unsafe_archive"


class StaleLibraries(ContainerError):
    kind = "stale_libraries"


class PickleRefused(ContainerError):
    kind = "pickle_refused"


class EnvironmentFailed(ContainerError):
    kind = "environment_failed"
    # True if a build failed some time ago, and none was tried now.
    remembered = False


class MemoryLimitExceeded(ContainerError):
    kind = "memory_limit_exceeded"
    of_model = True


class LoadFailed(ContainerError):
    kind = "load_failed"
    of_model = True


class WarmUpFailed(ContainerError):
    kind = "warm_up_failed"
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
