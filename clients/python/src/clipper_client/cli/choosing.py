"""Commands about an application's routes and policy, what another would earn, and A/B tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from clipper_client.cli.printing import shown, table
from clipper_client.cli.subcommand import (
    Command,
    Options,
    Result,
    arg,
    flag,
    pair,
    parsed,
    repeated,
)
from clipper_client.clients import Client
from clipper_client.clipper_error import ClipperError
from clipper_client.declarations.state import route_of
from clipper_client.inputs import encoded
from clipper_client.options import application_path, given
from clipper_client.transport.remote_server import Server, json_of

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
    routes = _new_routes(named, [route_of(each) for each in json_of(response)], options=options)
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


def _new_routes(named: Sequence[Route], routes: list[Route], *, options: Options) -> list[Route]:
    if options.action == "set":
        return list(named)
    for route in named:
        kept = [each for each in routes if _arm(each) != _arm(route)]
        if options.action == "remove" and len(kept) == len(routes):
            there = ", ".join(map(_arm, routes)) or "none"
            raise ClipperError(
                f"{options.app} has no route to {_arm(route)}; it has {there}.", code="not_found"
            )
        routes = kept + ([route] if options.action == "add" else [])
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


def _what_if(client: Client, options: Options) -> Result:
    body = {"targets": [{"policy": name} for name in options.policy]} if options.policy else {}
    # A server that is short of cores may take two minutes.
    path = application_path(options.app, "what-if")
    found = client.request("POST", path, body, extra_time_s=120.0)
    earned = found["earned"]
    rows = [
        (
            each["name"],
            _interval(each["estimate"]),
            _interval(each["gain"], "+.3f"),
            each["explanation"],
        )
        for each in found["estimates"]
    ]
    head = ("instead", "reward, 95 % interval", "gain on what was earned", "evidence")
    text = f"{earned['rows']} answers with feedback earned {_interval(earned['value'])}\n"
    return Result(found, (text + table(head, rows)).rstrip("\n"))


def _plan(client: Client, options: Options) -> Result:
    found = client.plan(
        options.app,
        gain=options.gain,
        days=options.days,
        share=options.share,
        labels_per_day=options.labels_per_day,
        mean=options.mean,
        people=options.people,
        likeness=options.likeness,
    )
    rows = [
        (f"{each['days']:g}", "none" if each["gain"] is None else f"{each['gain']:.4f}")
        for each in found["smallest"]
    ]
    text = table(("days", "smallest gain that shows"), rows)
    return Result(found, f"{found['explanation']}\n{text}".rstrip("\n"))


def _interval(reward: Mapping[str, float] | None, form: str = ".3f") -> str:
    if reward is None:
        return "-"
    return f"{reward['value']:{form}} ({reward['low']:{form}} to {reward['high']:{form}})"


COMMANDS = [
    Command(
        name="route",
        help="list, add, set or remove the models that an application asks",
        more="Without a version a route follows the model's live one.",
        arguments=[
            arg("action", "what to do", choices=("list", "add", "set", "remove")),
            arg("app", "the application"),
            arg("models", "set: all there are", nargs="*", metavar="MODEL[:VERSION]"),
            arg("--weight", "of what add and set name (1)", type=float),
            flag("--allow-signature-change", "take a version with another signature"),
        ],
        run=_route,
    ),
    Command(
        name="policy",
        help="show or set how an application chooses among its models",
        arguments=[
            arg("app", "the application"),
            arg("policy", "the policy to set", nargs="?", metavar="POLICY"),
            repeated("--param", "a parameter to set; others of the same policy stay", "NAME=VALUE"),
        ],
        run=_policy,
    ),
    Command(
        name="what-if",
        help="estimate what each version alone, or another policy, would have earned",
        arguments=[
            arg("app", "the application"),
            repeated("--policy", "instead of the versions", "NAME"),
        ],
        run=_what_if,
    ),
    Command(
        name="plan",
        help="say how long an A/B test takes to show a gain",
        more="The rest is measured on the labels of the last seven days.",
        arguments=[
            arg("app", "the application"),
            arg("--gain", "the smallest gain of interest: 0.02 is 2 points", type=float),
            arg("--days", "how long it may take (7, 14 and 28)", type=float),
            arg("--share", "of a second arm (that of its route)", type=float),
            arg("--labels-per-day", "assumed", type=float),
            arg("--mean", "assumed mean reward", type=float),
            arg("--people", "assumed number of different people", type=float),
            arg("--likeness", "assumed correlation of two labels of one person", type=float),
        ],
        run=_plan,
    ),
]
