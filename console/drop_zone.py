"""A place to drop a model's file on, whose runtime is recognised by its bytes."""

import json
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminFileFieldWidget

from registry.versions.artifact_kinds import (
    BEGINNINGS,
    ENDINGS,
    HEAD,
    MEMBERS,
    TAIL,
    fits,
    runtime_of,
)


def artifact_kinds() -> str:
    """Return the kinds of artifacts, for the script that looks at one before it is sent."""
    kinds = {"begins": BEGINNINGS, "members": MEMBERS}
    texts = {
        kind: {name: [each.decode("latin-1") for each in marks] for name, marks in by.items()}
        for kind, by in kinds.items()
    }
    return json.dumps({**texts, "ends": dict(ENDINGS)})


class DropZone(UnfoldAdminFileFieldWidget):  # type: ignore[misc]  # the theme has no types
    """A place to drop a file on, with a button that chooses one."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Draw it by the project's own templates, which Django's renderer of forms doesn't know."""
        return render_to_string("console/drop_zone.html", self.get_context(name, value, attrs))


def recognised(file: Any, *, runtime: str) -> tuple[str, dict[str, str]]:
    """Return the runtime, found if none was chosen, and what is wrong, by field."""
    head = file.read(HEAD)
    file.seek(max(file.size - TAIL, 0))
    ends = {"head": head, "tail": file.read(TAIL)}
    file.seek(0)
    found = runtime_of(file.name or "", **ends)
    if not runtime and not found:
        return "", {"runtime": f"{file.name} doesn't say its runtime: choose one."}
    if runtime and not fits(runtime, **ends):
        but = f"it looks like one of {found}" if found else "nothing is known that it may be"
        return runtime, {"artifact": f"{file.name} is no artifact of {runtime}: {but}."}
    return runtime or found, {}
