"""What is wrong with the packages that a version requires, and with where they come from.

Whether a stack runs or not they are told alike, so that no stack has an index that is down:
`tests/serving/cluster/test_refused_environments.py` tries these out.
"""

from __future__ import annotations

from functools import partial

from tests.clients.refusals.artifacts import python
from tests.clients.refusals.cases import at_check

# No model of the stack's.
ENVIRONMENTS = ""
# What one that is too large takes at most.
LARGEST = 4_000_000

NOT_BUILT = "its environment could not be built: "
UNSOLVED = "No solution found when resolving dependencies cause:"

of_environment = partial(at_check, artifact=python, model=ENVIRONMENTS)

OF_ENVIRONMENTS = (
    of_environment(
        "a package that the index doesn't have",
        requirements="nobody-has-this==1.0",
        says=f"{NOT_BUILT}{UNSOLVED} Because nobody-has-this "
        "was not found in the package registry and you require nobody-has-this==1.0, we can "
        "conclude that your requirements are unsatisfiable.",
    ),
    of_environment(
        "packages that can't go together",
        requirements="toaster==1.0\nbread==1.0",
        says=f"{NOT_BUILT}{UNSOLVED} Because all versions of "
        "toaster depend on bread==2.0 and you require bread==1.0, we can conclude that your "
        "requirements and all versions of toaster are incompatible. And because you require "
        "toaster==1.0, we can conclude that your requirements are unsatisfiable.",
    ),
    of_environment(
        "a package for other platforms alone",
        requirements="windows-only==1.0",
        says=f"{NOT_BUILT}{UNSOLVED} Because "
        "windows-only==1.0 has no wheels with a matching Python ABI tag (e.g., …) and you require "
        "windows-only==1.0, we can conclude that your requirements are unsatisfiable. hint: You "
        "require CPython …, but we only found wheels for `windows-only` (v1.0) with the following "
        "Python ABI tag: `cp39`",
    ),
    of_environment(
        "an index that is down",
        requirements="away==1.0",
        says=f"{NOT_BUILT}Request failed after 3 retries in …s cause: Failed to fetch: …: "
        "Connection refused (os error 111)",
    ),
    of_environment(
        "an environment that gets too large",
        requirements="huge==1.0",
        says=f"{NOT_BUILT}it takes more than {LARGEST} bytes: … so far",
    ),
)
