"""Ages of what one process sees, without any host's wall clock."""


class Ages:
    """Ages in seconds of names that are asked for in each round; the others are forgotten.

    A process that takes over begins anew, so nothing looks older than it is. `now` is monotonic.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._asked: set[str] = set()

    def begin_round(self) -> None:
        """Forget what nobody asked for since the last call."""
        self._since = {name: at for name, at in self._since.items() if name in self._asked}
        self._asked.clear()

    def of(self, name: str, *, now: float) -> float:
        self._asked.add(name)
        return max(0.0, now - self._since.setdefault(name, now))


def in_steps(seconds: float) -> int:
    """Round down to five seconds, so that what is written each second is seldom news."""
    return int(seconds // 5) * 5
