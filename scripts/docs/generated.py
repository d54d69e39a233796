"""Generated parts of the pages, between `<!-- generated: NAME -->` and `<!-- /generated -->`.

The pages are committed with it, so that they are whole in the checkout too;
`python -m scripts.docs.generated` brings them up to date.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable
from functools import partial

from scripts.docs.root_pages import ROOT

PLACEHOLDER = re.compile(
    r"(^<!-- generated: ([\w -]+?) -->\n).*?(^<!-- /generated -->$)", re.MULTILINE | re.DOTALL
)


def main() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            page.write_text(after, encoding="utf-8")
            print(f"docs: brought {page.relative_to(ROOT)} up to date")


def filled(text: str) -> str:
    """Return a page with what is generated now in its places."""
    if not PLACEHOLDER.search(text):
        return text
    made = generators()
    return PLACEHOLDER.sub(
        lambda place: f"{place[1]}\n{made[place[2]]().strip()}\n\n{place[3]}", text
    )


def generators() -> dict[str, Callable[[], str]]:
    """Return what can be generated, by name; Django is set up first, for no stack at all."""
    _set_up_django()
    _find_client()
    from scripts.docs import from_code, from_commands, from_schema, from_settings

    return {
        "errors": from_code.errors,
        "policies": from_code.policies,
        "policy parameters": from_code.parameters,
        "runtimes": from_code.runtimes,
        "commands": from_commands.commands,
        "client commands": from_commands.client_commands,
        "make": from_commands.targets,
        "settings launcher": from_settings.launcher,
        **{
            f"metrics {about}": partial(from_code.metrics, about)
            for about in ("application", "arm", "version", "process")
        },
        **{
            f"settings {section}": partial(from_settings.variables, section)
            for section in from_settings.SECTIONS
        },
        **{f"endpoints {tag}": partial(from_schema.endpoints, tag) for tag in from_schema.tags()},
    }


def _find_client() -> None:
    """Have the client imported from where it lies: whoever reads the documentation has no other."""
    source = str(ROOT / "clients/python/src")
    if source not in sys.path:
        sys.path.append(source)


def _set_up_django() -> None:
    import django
    from django.apps import apps

    if not apps.ready:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipper_site.settings")
        # A stack's folder that is never written to; its secret key isn't needed either.
        os.environ.setdefault("CLIPPER_VAR", tempfile.gettempdir())
        django.setup()


if __name__ == "__main__":
    main()
