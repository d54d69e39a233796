"""The paths of an application, as far as more than one place has to know them."""

from __future__ import annotations

import re

from registry.names import OWN_URLS

APP = r"(?P<app>[^/]+)"
# Clipper's own paths begin with an application's name, so with none of ours.
OWN_PATH = rf"(?!(?:{'|'.join(sorted(OWN_URLS))})/){APP}"

_PREDICTIONS = [
    re.compile(rf"/{place}/predict/?").fullmatch
    for place in (rf"api/v1/applications/{APP}", OWN_PATH)
]


def application_to_predict(path: str) -> str | None:
    """Return the name of the application that a path asks for predictions, None for any other."""
    for match in _PREDICTIONS:
        found = match(path)
        if found is not None:
            return found["app"]
    return None
