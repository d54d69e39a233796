"""Has what was changed through this process hold for what is asked of it next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class OwnChanges:
    """Feedback teaches what its sender has set up just before: it waits for that, and rarely."""

    def __init__(self, catch_up: Callable[[], Awaitable[None]]) -> None:
        self._catch_up = catch_up
        self._made = self._followed = 0

    def made(self) -> None:
        """Note that the registry was changed through this process."""
        self._made += 1

    async def followed(self) -> None:
        """Wait until this process has read what was changed through it before this call.

        Where it can't read the registry this waits for a moment, once for each change.
        """
        made = self._made
        if self._followed < made:
            await self._catch_up()
            self._followed = max(self._followed, made)
