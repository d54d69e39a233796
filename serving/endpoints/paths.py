"""The paths of an application, as far as more than one place has to know them."""

import re

from core.names import OWN_URLS

APP = r"(?P<app>[^/]+)"
# Clipper's own paths begin with an application's name, so with none of ours.
OWN_PATH = rf"(?!(?:{'|'.join(sorted(OWN_URLS))})/){APP}"

# Asked of the processes that answer queries, relative to the root; these ask the console for all
# else.
PREDICT = rf"api/v1/applications/{APP}/predict/?"
OWN_PREDICT = rf"{OWN_PATH}/predict/?"
SCORE = rf"api/v1/applications/{APP}/score/?"
FEEDBACK = rf"api/v1/applications/{APP}/feedback/?"
OWN_UPDATE = rf"{OWN_PATH}/update/?"
# It is read here; the console resets what was learned.
SELECTION = rf"api/v1/applications/{APP}/selection/?"
LIVE = r"health/live/?"
READY = r"health/ready/?"
SERVING = r"health/serving/?"
# Over a websocket.
SOCKET = rf"ws/v1/applications/{APP}/?"

_PREDICTIONS = [re.compile(f"/{path}").fullmatch for path in (PREDICT, OWN_PREDICT)]


def application_to_predict(path: str) -> str | None:
    """Return the name of the application that a path asks for predictions, None for any other."""
    for match in _PREDICTIONS:
        found = match(path)
        if found is not None:
            return found["app"]
    return None
