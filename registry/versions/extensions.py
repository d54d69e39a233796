"""What the registry asks of the layers above: they register here, it never imports them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import BadRequest
from registry.versions.requirements import InvalidRequiresPython, PythonUnavailable, python_for

# Takes a policy's name and its parameters; raises BadRequest saying what was expected.
PolicyCheck = Callable[[str, Mapping[str, Any]], object]
# Takes the configuration of a remote version, its input type and its secret; returns the bytes that
# stand for it as its artifact, or raises BadRequest saying what was expected.
RemoteArtifact = Callable[[Mapping[str, Any], str, str], bytes]
# Takes a loss and its formula; raises BadRequest saying what was expected.
LossCheck = Callable[[str, str], object]
Names = Callable[[], Collection[str]]


class InputCheck(Protocol):
    """Returns the signature as it is kept; raises ValueError saying what was expected."""

    def __call__(self, input_type: str, /, *, signature: str, example: str) -> str: ...


@dataclass(slots=True)
class _Registered:
    policy_check: PolicyCheck | None = None
    policy_names: Names | None = None
    loss_check: LossCheck | None = None
    combine_names: Names | None = None
    runtime_names: Names | None = None
    own_runtimes: Collection[str] = ()
    data_runtimes: Collection[str] = ()
    methods_of: Callable[[str], Collection[str]] | None = None
    self_contained: Collection[str] = ()
    input_check: InputCheck | None = None
    remote_artifact: RemoteArtifact | None = None
    pythons: Names = tuple


_registered = _Registered()


def register_policies(check: PolicyCheck, *, names: Names) -> None:
    """Called once, by the app that has the policies."""
    _registered.policy_check = check
    _registered.policy_names = names


def register_losses(check: LossCheck) -> None:
    """Called once, by the app that has the losses."""
    _registered.loss_check = check


def register_combines(names: Names) -> None:
    """Called once, by the app that has the ways to combine."""
    _registered.combine_names = names


def register_runtimes(
    names: Names,
    *,
    own: Collection[str],
    data_only: Collection[str],
    methods_of: Callable[[str], Collection[str]],
    self_contained: Collection[str] = (),
) -> None:
    """Called once, by the app that has the runtimes; `data_only` run nothing that they read.

    Of `names`, `own` are those that no installed package adds. `methods_of` a runtime are those
    that its versions may name; versions of those that are `self_contained` bring all that they
    need.
    """
    _registered.self_contained = self_contained
    _registered.methods_of = methods_of
    _registered.runtime_names = names
    _registered.own_runtimes = own
    _registered.data_runtimes = data_only


def register_inputs(check: InputCheck) -> None:
    """Called once, by the app that parses inputs."""
    _registered.input_check = check


def register_remote(artifact_of: RemoteArtifact) -> None:
    """Called once, by the app that can ask remote models."""
    _registered.remote_artifact = artifact_of


def register_pythons(names: Names) -> None:
    """Called once, by the app that builds environments; `names` are full, such as 3.13.1."""
    _registered.pythons = names


def remote_artifact(configuration: Mapping[str, Any], *, input_type: str, secret: str) -> bytes:
    """The artifact of a remote version. Raises BadRequest where its configuration is wrong."""
    if _registered.remote_artifact is None:
        raise BadRequest("runtime: Expected another one, nothing here asks remote models.")
    return _registered.remote_artifact(configuration, input_type, secret)


def policy_names() -> Collection[str]:
    """The policies that an application may name; none while nobody has registered any."""
    return _registered.policy_names() if _registered.policy_names is not None else ()


def check_policy(name: str, *, params: Mapping[str, Any]) -> None:
    """Raise BadRequest where there is no such policy, or it doesn't take these parameters."""
    if not isinstance(params, Mapping):
        raise BadRequest(f"policy_params: Expected an object, got {params!r}.")
    if _registered.policy_check is not None:
        _registered.policy_check(name, params)


def check_loss(loss: str, *, expression: str) -> None:
    """Raise BadRequest where there is no such loss, or where its formula is none."""
    if _registered.loss_check is not None:
        _registered.loss_check(loss, expression)


def combine_names() -> Collection[str]:
    """The ways to combine that an application may name; none while nobody has registered any."""
    return _registered.combine_names() if _registered.combine_names is not None else ()


def check_combine(name: str) -> None:
    """Raise BadRequest where nothing combines under this name."""
    names = combine_names()
    if names and name not in names:
        raise BadRequest(f"combine: Expected one of {', '.join(names)}, got {name!r}.")


def runtime_names() -> Collection[str]:
    """The runtimes that a version may name; none while nobody has registered any."""
    return _registered.runtime_names() if _registered.runtime_names is not None else ()


def check_runtime(name: str) -> None:
    """Raise BadRequest where no runtime has this name."""
    if name in _registered.own_runtimes:
        return  # and nobody looks through all installed packages
    names = runtime_names()
    if names and name not in names:
        raise BadRequest(f"runtime: Expected one of {', '.join(names)}, got {name!r}.")


def check_method(method: str, *, runtime: str) -> None:
    """Raise BadRequest where a model of this runtime isn't asked so; "" is always right."""
    if not method or _registered.methods_of is None:
        return
    methods = _registered.methods_of(runtime)
    if method not in methods:
        expected = f"one of {', '.join(methods)}" if methods else "none"
        raise BadRequest(f"method: Expected {expected} with the runtime {runtime}, got {method!r}.")


def check_inputs(input_type: str, *, signature: str, example: str) -> str:
    """Return the signature as it is kept; both are JSON, "" where not said.

    Raises BadRequest where they don't fit each other or the input type.
    """
    if _registered.input_check is None:
        return signature
    try:
        return _registered.input_check(input_type, signature=signature, example=example)
    except ValueError as error:
        field = "example" if example else "signature"
        said = str(error)
        raise BadRequest(f"{field}: {said[:1].upper()}{said[1:]}.", fields=[field]) from error


def code_runtimes() -> list[str]:
    """The runtimes whose versions run code that their artifact brings."""
    return [name for name in runtime_names() if runs_code(name)]


def runs_code(runtime: str) -> bool:
    """Whether a version of this runtime runs code that its artifact brings.

    One that nobody has declared harmless does, those that installed packages add among them.
    """
    return runtime not in _registered.data_runtimes


def check_python_for(required: str, *, asked: str) -> str:
    """Return the Python of a version whose project requires so, the one `asked` for if that fits.

    Raises BadRequest where it doesn't, or where no Python is here that does.
    """
    try:
        return python_for(required, asked=asked, there=_registered.pythons)
    except InvalidRequiresPython as error:
        raise BadRequest(f"requires_python: {error}.", fields=["requires_python"]) from error
    except PythonUnavailable as error:
        field = "python" if asked else "requires_python"
        raise BadRequest(f"{field}: {error}.", fields=[field]) from error


def check_needs(requirements: str, *, python: str, requires_python: str, runtime: str) -> None:
    """Raise BadRequest where a version of this runtime can't be given what it says it needs."""
    said = {"requirements": requirements, "python": python, "requires_python": requires_python}
    for name, value in said.items():
        if value and runtime in _registered.self_contained:
            raise BadRequest(
                f"{name}: Expected none with the runtime {runtime}, whose artifacts bring all that "
                f"they need, got {value[:80]!r}."
            )
