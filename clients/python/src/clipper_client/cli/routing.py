"""Commands about the models that an application asks: its routes, and its policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clipper_client.cli.command import (
    Command,
    Options,
    Result,
    arg,
    flag,
    pair,
    parsed,
    shown,
    table,
)
from clipper_client.client import Client
from clipper_client.declarations.state import route_of
from clipper_client.errors import ClipperError
from clipper_client.inputs import encoded
from clipper_client.options import application_path, given
from clipper_client.transport.server import Server, json_of

Route = dict[str, Any]


def _route(client: Client, options: Options) -> Result:
    if (options.action == "list") == bool(options.models):
        expected = "no model" if options.models else "a model, as MODEL or MODEL:VERSION"
        raise ValueError(f"{options.action}: expected {expected} after the application.")
    if options.models:
        client.run(_change, options)
    found = client.request("GET", application_path(options.app, "routes"))
    rows = [(each["model"], _version_of(each), each["weight"]) for each in found]
    text = table(("model", "version", "weight"), rows) or f"{options.app} asks no model"
    return Result(found, text)


def _version_of(route: Mapping[str, Any]) -> str:
    return route["version"] or f"the live one, {route['live_version'] or 'none yet'}"


async def _change(server: Server, options: Options) -> None:
    """Replace the routes, unless somebody else changes them meanwhile."""
    path = application_path(options.app, "routes")
    response = await server.ask("GET", path)
    named = [_named(text, options) for text in options.models]
    routes = _with(named, [route_of(each) for each in json_of(response)], options=options)
    await server.ask(
        "PUT",
        path,
        body=encoded(routes),
        headers={"if-match": response.headers.get("etag", "*")},
        params={"allow_signature_change": "true"} if options.allow_signature_change else {},
    )


def _named(text: str, options: Options) -> Route:
    model, _, version = text.partition(":")
    said = {"version": version or None, "weight": options.weight}
    return route_of({"model": model, **given(said)})


def _with(named: Sequence[Route], routes: list[Route], *, options: Options) -> list[Route]:
    """Return the routes as they are to be."""
    if options.action == "set":
        return list(named)
    for route in named:
        same = [each for each in routes if _arm(each) == _arm(route)]
        if options.action == "remove":
            if not same and route["version"] is None:
                same = [each for each in routes if each["model"] == route["model"]]
            if not same:
                there = ", ".join(map(_arm, routes)) or "none"
                raise ClipperError(
                    f"{options.app} has no route to {_arm(route)}; it has {there}.",
                    code="not_found",
                )
        routes = [each for each in routes if each not in same]
        routes += [route] if options.action == "add" else []
    return routes


def _arm(route: Mapping[str, Any]) -> str:
    return f"{route['model']}:{route['version']}" if route["version"] else str(route["model"])


def _policy(client: Client, options: Options) -> Result:
    path = application_path(options.app)
    found = client.request("GET", path)
    if options.policy or options.param:
        kept = found["policy_params"] if options.policy in (None, found["policy"]) else {}
        params = {name: parsed(text) for name, text in (pair("--param", p) for p in options.param)}
        body = given({"policy": options.policy, "policy_params": kept | params})
        found = client.request("PATCH", path, body)
    params = {name: shown(value) for name, value in found["policy_params"].items()}
    text = ", ".join(f"{name} {value}" for name, value in params.items())
    return Result(
        {name: found[name] for name in ("policy", "policy_params")},
        f"{found['policy']}: {text or 'its parameters are the defaults'}",
    )


COMMANDS = [
    Command(
        name="route",
        help="list, add, set or remove the models that an application asks",
        more="Without a version a route follows the model's live one.",
        arguments=[
            arg("action", "what to do", choices=("list", "add", "set", "remove")),
            arg("app", "the application"),
            arg(
                "models",
                "a model, or one version of it; set: these are all there are from then on",
                nargs="*",
                metavar="MODEL[:VERSION]",
            ),
            arg("--weight", "of what add and set name (1)", type=float),
            flag(
                "--allow-signature-change",
                "take a version that takes or gives something else than the others",
            ),
        ],
        run=_route,
    ),
    Command(
        name="policy",
        help="show or set how an application chooses among its models",
        arguments=[
            arg("app", "the application"),
            arg("policy", "the policy to set", nargs="?", metavar="POLICY"),
            arg(
                "--param",
                "a parameter to set; may be given several times. The others stay, but for "
                "those of another policy than the one that is set",
                action="append",
                default=[],
                metavar="NAME=VALUE",
            ),
        ],
        run=_policy,
    ),
]
