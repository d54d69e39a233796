"""A form with a file that is read while it is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

# Nothing may happen for so long between two pieces of it.
SILENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A multipart form with one file or none; nothing at all without fields."""

    fields: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None

    @contextmanager
    def opened(self) -> Iterator[dict[str, Any]]:
        """Yield the arguments of httpx; the file is open meanwhile."""
        timeout = httpx.Timeout(SILENCE_S, connect=5.0)
        if not self.fields:
            yield {}
        elif self.file is None:
            # A form without a file would be sent in another encoding.
            parts = [(name, (None, value)) for name, value in self.fields.items()]
            yield {"files": parts, "timeout": timeout}
        else:
            with self.file.open("rb") as file:
                artifact = (self.file.name, file, "application/octet-stream")
                files = {"artifact": artifact}
                yield {"data": dict(self.fields), "files": files, "timeout": timeout}
