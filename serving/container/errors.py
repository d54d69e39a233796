"""Why a model cannot be served from its artifact.

ContainerError              container_error
├── UnknownRuntime          unknown_runtime
├── UnknownInputType        unknown_input_type
├── ArtifactUnreadable      artifact_unreadable   the file is not there, or not ours to read
├── ArtifactCorrupt         artifact_corrupt      its bytes are not those registered
├── ArtifactInvalid         artifact_invalid      not something that the runtime loads
│   ├── UntrustedTypes      untrusted_types       skops refuses these types
│   └── UnsafeArchive       unsafe_archive        a zip that would write where it must not
├── PickleRefused           pickle_refused        a pickle without the permission to load it
├── MemoryLimitExceeded     memory_limit_exceeded it takes more memory than its version may
├── LoadFailed              load_failed           the model's own code raised while loading
└── WarmUpFailed            warm_up_failed        it loaded, and cannot answer
"""

from __future__ import annotations

from typing import ClassVar


class ContainerError(Exception):
    """Base of the reasons for which a version cannot be served; kind is a stable slug."""

    kind: ClassVar[str] = "container_error"


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


class UntrustedTypes(ArtifactInvalid):
    kind = "untrusted_types"


class UnsafeArchive(ArtifactInvalid):
    kind = "unsafe_archive"


class PickleRefused(ContainerError):
    kind = "pickle_refused"


class MemoryLimitExceeded(ContainerError):
    kind = "memory_limit_exceeded"


class LoadFailed(ContainerError):
    kind = "load_failed"


class WarmUpFailed(ContainerError):
    kind = "warm_up_failed"


def explain(error: BaseException) -> str:
    """Render an exception of a model's own code in one line: ``TypeName: message``."""
    name = type(error).__name__
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # a model may raise an exception that cannot even be shown
        return name
    return f"{name}: {message}" if message else name
