"""Names to describe in the documentation, read from the code itself."""

import ast
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver

from clipper_site import urls as site_urls
from clipper_site.stack.environment import LISTENING
from clipper_site.stack.processes import MARK
from clipper_site.stack.supervision import CONFIG
from registry.api.error_shape import unknown_url
from serving.endpoints import paths
from tests.architecture.source import LAYERS
from tests.docs.documents import ROOT, url_shape

# Shown to people, or leading there; the console's own pages are its business.
NOT_DESCRIBED = {"/"}


def settings_read() -> set[str]:
    """Names that the settings have read from the environment."""
    return set(settings.ENV.known)


def redis_keys() -> set[str]:
    """The first words of keys: `clipper:replica` of `clipper:replica:{id}`; a channel is none."""
    found = {
        found
        for folder in LAYERS
        for file in (ROOT / folder).rglob("*.py")
        for found in re.findall(r'"(clipper:[a-z-]+)(?=[":{])', file.read_text())
    }
    return found - {"clipper:changes", "clipper:followed", "clipper:replicated"}


def settings_of_supervisord() -> set[str]:
    """Names that supervisord.conf and its programs take from the launcher, and the mark of each."""
    return {MARK, LISTENING, *re.findall(r"%\(ENV_(\w+)\)s", CONFIG.read_text())}


def urls() -> set[str]:
    """The shapes of all URLs: of Django's views and of the raw ASGI endpoints."""
    django = map(url_shape, _django_urls(list(site_urls.urlpatterns)))
    return {*map(_shape_of_pattern, _asgi_patterns()), *django} - NOT_DESCRIBED


def _asgi_patterns() -> Iterator[str]:
    """The regular expressions that raw endpoints are routed by, with {} for each parameter."""
    for kind in ("predict", "console"):
        source = (ROOT / f"clipper_site/{kind}_asgi.py").read_text()
        for call in ast.walk(ast.parse(source)):
            if not isinstance(call, ast.Call) or ast.unparse(call.func) != "route":
                continue
            if ast.unparse(call.args[0]) != "ANYTHING":
                yield _literal(call.args[0])


def _literal(node: ast.expr) -> str:
    """Return the pattern that an expression names, or spells with {} for what it takes in."""
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "paths":
        return str(getattr(paths, node.attr))
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts)


def _django_urls(patterns: list[Any], *, before: str = "/") -> Iterator[str]:
    for pattern in patterns:
        text = before + _text(pattern)
        if isinstance(pattern, URLPattern):
            if pattern.callback is not unknown_url:
                yield text
        elif pattern.app_name == admin.site.name:
            yield text
        else:
            yield from _django_urls(pattern.url_patterns, before=text)


def _text(pattern: URLPattern | URLResolver) -> str:
    """A pattern with {} for each of its parameters."""
    text = str(pattern.pattern)
    return _shape_of_pattern(text).lstrip("/") if text.startswith("^") else _unnamed(text)


def _unnamed(route: str) -> str:
    return re.sub(r"<[^>]+>", "{}", route)


def _shape_of_pattern(pattern: str) -> str:
    """A regular expression of ours as the URL that it stands for."""
    text = re.sub(r"\(\?!(\(\?:.*?\))?.*?\)", "", pattern).removeprefix("^").removesuffix("$")
    text = re.sub(r"\(\?P<\w+>[^)]*\)", "{}", text).replace("/?", "")
    return url_shape("/" + text.lstrip("/"))
