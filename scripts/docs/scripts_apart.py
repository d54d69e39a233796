"""Scripts that a theme writes into its pages, moved into files of their own.

The site's Content-Security-Policy runs files alone: what is written into a page never runs.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

# With an attribute it is a file already, or no script at all but data.
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def scripts_apart(page: str, *, site: Path, base: str) -> str:
    """Return the page with its scripts as files below `site`, which `base` leads to from it."""

    def apart(script: re.Match[str]) -> str:
        name = f"assets/inline/{sha256(script[1].encode()).hexdigest()[:16]}.js"
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(script[1])
        return f'<script src="{base}/{name}"></script>'

    return INLINE.sub(apart, page)
