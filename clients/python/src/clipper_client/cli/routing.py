"""Commands about whom an application asks: its routes, and its policy."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from clipper_client.cli.command import Command, Options
from clipper_client.cli.models import parsed
from clipper_client.cli.output import print_json, print_line, print_table, shown
from clipper_client.client import Client
from clipper_client.declarations.state import route_of
from clipper_client.errors import ClipperError
from clipper_client.inputs import encoded
from clipper_client.operations.options import given
from clipper_client.operations.predictions import application_path
from clipper_client.retries import RetryPolicy, ask
from clipper_client.steps import Operation, Request

Route = dict[str, Any]

# --- Routes -------------------------------------------------------------------------------------


def _add_route(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "add", "set", "remove"), help="what to do")
    parser.add_argument("app", help="the application")
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL[:VERSION]",
        help="a model, or one version of it; set: these are all there are from then on",
    )
    parser.add_argument("--weight", type=float, help="of what add and set name (1)")
    parser.add_argument(
        "--allow-signature-change",
        action="store_true",
        help="take a version that takes or gives something else than the others",
    )


def _route(client: Client, options: Options) -> int:
    if (options.action == "list") == bool(options.models):
        expected = "no model" if options.models else "a model, as MODEL or MODEL:VERSION"
        raise ValueError(f"{options.action}: expected {expected} after the application.")
    client.run(_changed(options)) if options.models else None
    found = client.request("GET", application_path(options.app, "routes"))
    if options.json:
        print_json(found)
        return 0
    if not found:
        print_line(f"{options.app} asks no model")
    print_table(
        ("model", "version", "weight"),
        [(each["model"], _version_of(each), each["weight"]) for each in found],
    )
    return 0


def _version_of(route: Mapping[str, Any]) -> str:
    return route["version"] or f"the live one, {route['live_version'] or 'none yet'}"


def _changed(options: Options) -> Operation[None]:
    """Replace the routes, unless somebody else changes them meanwhile."""
    path = application_path(options.app, "routes")
    response = yield from ask(Request(method="GET", path=path), policy=RetryPolicy())
    named = [_named(text, options) for text in options.models]
    routes = _with(named, [route_of(each) for each in response.json()], options=options)
    yield from ask(
        Request(
            method="PUT",
            path=path,
            body=encoded(routes),
            headers={"if-match": response.headers.get("etag", "*")},
            params={"allow_signature_change": "true"} if options.allow_signature_change else {},
        ),
        policy=RetryPolicy(),
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


# --- The policy ---------------------------------------------------------------------------------


def _add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help="the application")
    parser.add_argument("policy", nargs="?", metavar="POLICY", help="the policy to set")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter to set; may be given several times. The others stay, but for those of "
        "another policy than the one that is set",
    )


def _policy(client: Client, options: Options) -> int:
    path = application_path(options.app)
    found = client.request("GET", path)
    if options.policy or options.param:
        kept = found["policy_params"] if options.policy in (None, found["policy"]) else {}
        body = {"policy_params": kept | dict(map(_param, options.param))}
        body |= {"policy": options.policy} if options.policy else {}
        found = client.request("PATCH", path, body)
    said = {name: found[name] for name in ("policy", "policy_params")}
    if options.json:
        print_json(said)
        return 0
    told = ", ".join(f"{name} {shown(value)}" for name, value in said["policy_params"].items())
    print_line(f"{said['policy']}: {told or 'its parameters are the defaults'}")
    return 0


def _param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--param: expected NAME=VALUE, got {text!r}.")
    return name, parsed(value)


COMMANDS = (
    Command(
        name="route",
        help="list, add, set or remove the models that an application asks",
        more="Without a version a route follows the model's live one.",
        add_arguments=_add_route,
        run=_route,
    ),
    Command(
        name="policy",
        help="show or set how an application chooses among its models",
        add_arguments=_add_policy,
        run=_policy,
    ),
)
