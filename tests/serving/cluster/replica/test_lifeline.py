"""A child learns of its parent's end, however that comes about."""

import os

from serving.cluster.parent import Lifeline


def test_a_cut_lifeline_is_seen_by_every_child() -> None:
    lifeline = Lifeline()
    first, second = (_fork_until_cut(lifeline) for _ in range(2))
    assert not lifeline.is_cut()

    lifeline.cut()

    assert [os.waitpid(pid, 0)[1] for pid in (first, second)] == [0, 0]
    # One that is forked only now sees it, too.
    assert os.waitpid(_fork_until_cut(lifeline), 0)[1] == 0


def _fork_until_cut(lifeline: Lifeline) -> int:
    """Fork a child that ends with 0 when the lifeline is cut, with 1 should it wait in vain."""
    pid = os.fork()
    if pid == 0:
        import select

        lifeline.cut()
        readable, _, _ = select.select([lifeline.descriptor], [], [], 10)
        os._exit(0 if readable and lifeline.is_cut() else 1)
    return pid
