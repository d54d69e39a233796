"""`python -m tests.frameworks [NAME ...]`: the tests of heavy frameworks, by default of all.

Of those that it names it runs the tests of the runtime, in the framework's environment, and has
models deployed from there. `tutorials` are the pages that are too much for `make test`, `servers`
has a bandit ask models behind MLServer, Triton and MLflow, `long` are the tests in the folders of
`make test` that it leaves out, and `compiled` has those of the path of a query once more, compiled.
"""

import sys
from collections.abc import Iterator, Sequence

from serving.container.failures.container_errors import EnvironmentFailed
from tests.frameworks.environments import too_large
from tests.frameworks.heavy_rows import HEAVY
from tests.frameworks.running import APART, Tested, run_apart, run_deployed, run_tests


def main(names: Sequence[str]) -> int:
    within_bounds = list(_within_bounds(names or [*HEAVY, *APART]))
    wanted = [name for name in within_bounds if name not in APART]
    failed = [name for name in wanted if not _passed(name)]
    if wanted and not _told("models deployed", run_deployed(wanted)):
        failed.append("models deployed")
    apart = [name for name in within_bounds if name in APART]
    failed += [name for name in apart if not _told(name, run_apart(name))]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


def _within_bounds(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if reason := too_large(name):
            print(f"{name}: left out: {reason}")
        else:
            yield name


def _passed(name: str) -> bool:
    try:
        return _told(name, run_tests(name))
    except EnvironmentFailed as error:
        print(f"{name}: {error}")
        return False


def _told(what: str, tested: Tested) -> bool:
    print(f"{what}:\n{tested.output}", flush=True)
    return tested.passed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
