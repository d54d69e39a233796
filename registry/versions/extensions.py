"""Values that the apps above give to the registry, which never imports them."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from core.errors import BadRequest

Names = Callable[[], Collection[str]]


class InputCheck(Protocol):
    """Returns the signature as it is kept; raises ValueError saying what was expected."""

    def __call__(self, input_type: str, /, *, signature: str, example: str) -> str: ...


class Extensions:
    """Set by `selection` and `serving` when Django is ready."""

    # Takes a policy's name and its parameters; raises BadRequest saying what was expected.
    policy_check: Callable[[str, Mapping[str, Any]], object]
    policy_names: Names
    # Takes a loss and its formula; raises BadRequest saying what was expected.
    loss_check: Callable[[str, str], object]
    combine_names: Names
    runtime_names: Names
    # Runtimes that run nothing that they read, and those whose versions bring all that they need.
    data_runtimes: Collection[str]
    self_contained: Collection[str]
    # The methods that versions of a runtime may name.
    methods_of: Callable[[str], Collection[str]]
    input_check: InputCheck
    # Takes the configuration of a remote version, its input type and its secret; returns the bytes
    # that stand for it as its artifact, or raises BadRequest.
    remote_artifact: Callable[[Mapping[str, Any], str, str], bytes]
    # The Pythons that are here, in full such as 3.13.1.
    pythons: Names


extensions = Extensions()


def check_policy(name: str, *, params: Mapping[str, Any]) -> None:
    """Raise BadRequest for an unknown policy or wrong parameters."""
    if not isinstance(params, Mapping):
        raise BadRequest(f"policy_params: Expected an object, got {params!r}.")
    extensions.policy_check(name, params)


def check_combine(name: str) -> None:
    """Raise BadRequest where nothing combines under this name."""
    if name not in (names := extensions.combine_names()):
        raise BadRequest(f"combine: Expected one of {', '.join(names)}, got {name!r}.")


def check_runtime(name: str) -> None:
    """Raise BadRequest where no runtime has this name."""
    if name not in (names := extensions.runtime_names()):
        raise BadRequest(f"runtime: Expected one of {', '.join(names)}, got {name!r}.")


def check_method(method: str, *, runtime: str) -> None:
    """Raise BadRequest for a method that the runtime's models lack."""
    methods = extensions.methods_of(runtime) if method else ()
    if method and method not in methods:
        expected = f"one of {', '.join(methods)}" if methods else "none"
        raise BadRequest(f"method: Expected {expected} with the runtime {runtime}, got {method!r}.")


def check_inputs(input_type: str, *, signature: str, example: str) -> str:
    """Return the signature as it is kept. Raises BadRequest if it doesn't fit the example."""
    try:
        return extensions.input_check(input_type, signature=signature, example=example)
    except ValueError as error:
        field = "example" if example else "signature"
        said = str(error)
        raise BadRequest(f"{field}: {said[:1].upper()}{said[1:]}.", fields=[field]) from error


def code_runtimes() -> list[str]:
    return [name for name in extensions.runtime_names() if runs_code(name)]


def runs_code(runtime: str) -> bool:
    """Say whether a runtime's artifacts bring code, as any unknown one's may."""
    return runtime not in extensions.data_runtimes


def check_needs(requirements: str, *, python: str, requires_python: str, runtime: str) -> None:
    """Raise BadRequest for needs of a runtime whose artifacts bring everything."""
    said = {"requirements": requirements, "python": python, "requires_python": requires_python}
    for name, value in said.items():
        if value and runtime in extensions.self_contained:
            raise BadRequest(
                f"{name}: Expected none with the runtime {runtime}, whose artifacts bring all that "
                f"they need, got {value[:80]!r}."
            )
