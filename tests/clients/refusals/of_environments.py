"""Faults of the packages that a version requires, and of their index.

Whether a stack runs or not they are found alike, so that no stack has an index that is down:
`tests/serving/cluster/control/checks/test_refused_environments.py` tries these out.
"""

from functools import partial

from tests.clients.refusals.artifacts import python
from tests.clients.refusals.cases import at_check

# No model of the stack's.
ENVIRONMENTS = ""
# The limit for one that is too large.
LARGEST = 4_000_000

of_environment = partial(at_check, artifact=python, model=ENVIRONMENTS)

OF_ENVIRONMENTS = (
    of_environment("a package that the index doesn't have", requirements="nobody-has-this==1.0"),
    of_environment("packages that can't go together", requirements="toaster==1.0\nbread==1.0"),
    of_environment("a package for other platforms alone", requirements="windows-only==1.0"),
    of_environment("an index that is down", requirements="away==1.0"),
    of_environment("an environment that gets too large", requirements="huge==1.0"),
)
