"""Starting again where a stack has stopped, and not where another one runs."""

from tests.integration.conftest import learn_once, times_learned
from tests.integration.stack import Stack


def test_a_stopped_stack_starts_again_and_has_kept_its_data(stack: Stack, first: Stack) -> None:
    """The first one lay in a folder with a long path; this one goes on from a copy of it."""
    assert stack.demo == first.demo | {"url": stack.url}
    assert "Trained" in first.text
    assert "Trained" not in stack.text
    assert times_learned(stack) == [1] * 5
    learn_once(stack)
    assert times_learned(stack) == [2] * 5
