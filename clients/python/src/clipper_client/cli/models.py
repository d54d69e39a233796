"""Commands about models: what there is, releases, replicas and logs."""

from __future__ import annotations

import argparse
from pathlib import Path
from time import sleep
from typing import Any, NoReturn

import msgspec

from clipper_client.answers import Release
from clipper_client.cli.command import Command, Options, add_waiting, seconds_to_wait
from clipper_client.cli.output import complain, print_json, print_line, print_table
from clipper_client.client import Client
from clipper_client.errors import ClipperError
from clipper_client.operations.management import listed, live_version, model_path
from clipper_client.operations.options import UNSET
from clipper_client.retries import RetryPolicy

FOLLOWED_S = 1.0


def parsed(text: str) -> Any:
    """Return what JSON says. Raises ValueError for what isn't any."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"expected JSON, got {text[:60]!r}: {error}.") from error


def json_value(text: str) -> Any:
    """Return an argument that is JSON. Raises what argparse turns into a complaint."""
    try:
        return parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _status(client: Client, options: Options) -> int:
    found = client.status()
    if options.json:
        print_json(found.as_dict())
        return 0
    print_table(
        ["application", "input type", "objective", "policy", "asks"],
        [
            [
                app["name"],
                app["input_type"],
                f"{app['slo']['latency_ms']:g} ms",
                app["policy"],
                ", ".join(map(_route, app["routes"])),
            ]
            for app in found.applications
        ],
    )
    if found.models:
        print_line("")
    print_table(
        ["model", "live", "versions", "replicas"],
        [
            [
                model["name"],
                model["live_version"],
                ", ".join(reversed(model["versions"])),
                _replicas(model["name"], found.replicas),
            ]
            for model in found.models
        ],
    )
    return 0


def _route(route: dict[str, Any]) -> str:
    version = route["version"] or route["live_version"]
    return f"{route['model']}:{version}" if version else str(route["model"])


def _replicas(model: str, replicas: list[Any]) -> str:
    states = [
        f"{replica.version} {replica.state}" for replica in replicas if replica.model == model
    ]
    counted = {state: states.count(state) for state in states}
    return ", ".join(f"{count} x {state}" for state, count in sorted(counted.items()))


def _add_deploy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the model; made where there is none")
    parser.add_argument("artifact", help="a file, a folder, or the URL of a remote model")
    parser.add_argument("--version", help="its name; the next number if left out")
    parser.add_argument("--runtime", help="what the artifact is; told by its ending if left out")
    parser.add_argument("--method", help="what of the model is asked, such as predict_proba")
    parser.add_argument(
        "--requirements", metavar="FILE", help="a requirements.txt with what the model needs"
    )
    parser.add_argument("--input-type", help="of a new model; told by the example if left out")
    parser.add_argument("--example", type=json_value, metavar="JSON", help="one input")
    parser.add_argument("--app", help="make this application too, where there is none")
    parser.add_argument("--slo-ms", type=float, metavar="MS", help="the application's objective")
    parser.add_argument(
        "--default-output", type=json_value, default=UNSET, metavar="JSON", help="the application's"
    )
    parser.add_argument("--replicas", type=int, default=1, metavar="N", help="how many (1)")
    parser.add_argument("--reason", default="", help="kept in the history")
    parser.add_argument(
        "--allow-signature-change",
        action="store_true",
        help="deploy it even if it takes other inputs than the live version",
    )
    parser.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another field of the upload; may be given several times",
    )
    add_waiting(parser)


def _deploy(client: Client, options: Options) -> int:
    requirements = options.requirements and Path(options.requirements).read_text("utf-8")
    release = client.deploy(
        options.name,
        options.artifact,
        version=options.version,
        example=options.example,
        app=options.app,
        slo_ms=options.slo_ms,
        default_output=options.default_output,
        runtime=options.runtime,
        method=options.method,
        requirements=requirements,
        replicas=options.replicas,
        reason=options.reason,
        allow_signature_change=options.allow_signature_change,
        wait=seconds_to_wait(options),
        input_type=options.input_type,
        fields=dict(_field(text) for text in options.field),
    )
    return _told(release, options)


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise ValueError(f"--field: expected NAME=VALUE, got {text!r}.")
    return name, value


def _told(release: Release, options: Options) -> int:
    if options.json:
        print_json(release.as_dict())
    else:
        print_line(str(release))
    return 0


def _add_rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the model")
    parser.add_argument("--to", metavar="VERSION", help="the one before if left out")
    parser.add_argument("--reason", default="", help="kept in the history")
    add_waiting(parser)


def _rollback(client: Client, options: Options) -> int:
    release = client.rollback(
        options.name, to=options.to, reason=options.reason, wait=seconds_to_wait(options)
    )
    return _told(release, options)


def _add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the model")
    parser.add_argument("replicas", type=int, help="how many")
    parser.add_argument("--version", help="the live one if left out")


def _scale(client: Client, options: Options) -> int:
    version = client.scale(options.name, options.replicas, version=options.version)
    if options.json:
        print_json(version)
    else:
        print_line(f"{version['model']}:{version['version']} has {version['replicas']} replicas")
    return 0


def _add_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the model")
    parser.add_argument("--version", help="the live one if left out")
    parser.add_argument("--lines", type=int, default=200, metavar="N", help="at most (200)")
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="go on with what the replicas on the console's host write, until Ctrl-C; with --json "
        "an object a line",
    )


def _logs(client: Client, options: Options) -> int:
    if options.follow:
        return _follow(client, options)
    log = client.logs(options.name, version=options.version, lines=options.lines)
    if options.json:
        print_json({"replica": log.replica, "lines": log.lines})
    else:
        for line in log.lines:
            print_line(line)
        if not log.lines:
            complain(f"replica {log.replica} of {options.name} has written nothing")
    return 0


def _follow(client: Client, options: Options) -> NoReturn:
    """Print what the replicas of a version write: of the live one, whichever that is by then."""
    if options.version:
        client.request("GET", model_path(options.name, "versions", options.version))
    ends: dict[str, int] = {}
    while True:
        wanted = options.version or client.run(live_version(options.name, policy=RetryPolicy()))
        for replica in client.run(listed("replicas", policy=RetryPolicy())):
            if (replica["model"], replica["version"]) == (options.name, wanted):
                _print_new(client, replica, ends=ends, options=options)
        if not ends:
            complain(f"no replica of {options.name}:{wanted} has a log on the console's host yet")
            ends[""] = 0
        sleep(FOLLOWED_S)


def _print_new(
    client: Client, replica: dict[str, Any], *, ends: dict[str, int], options: Options
) -> None:
    """Print the lines that came since `ends`, where the lines before end."""
    name = replica["id"]
    asked = {"after": str(ends.get(name, 0))} | (
        {} if name in ends else {"lines": str(options.lines)}
    )
    try:
        found = client.request("GET", f"replicas/{name}/log", params=asked)
    except ClipperError as error:
        if error.code != "not_found":
            raise
        return  # it is on another host, or has gone
    if name not in ends:
        place = f"{replica['model']}:{replica['version']} on {replica['host']}"
        complain(f"replica {name} of {place}:")
    ends[name] = found["end"]
    for line in found["lines"]:
        told = {"replica": name, "line": line}
        print_line(msgspec.json.encode(told).decode() if options.json else line)


COMMANDS = (
    Command(
        name="status",
        help="list applications, models and replicas",
        add_arguments=lambda parser: None,
        run=_status,
    ),
    Command(
        name="deploy",
        help="upload an artifact and make it a model's live version",
        more="Makes the model, its next version and the application where they are missing.",
        add_arguments=_add_deploy,
        run=_deploy,
    ),
    Command(
        name="rollback",
        help="make an earlier version live again",
        add_arguments=_add_rollback,
        run=_rollback,
    ),
    Command(
        name="scale",
        help="set how many replicas serve a version",
        add_arguments=_add_scale,
        run=_scale,
    ),
    Command(
        name="logs",
        help="print what a version's replica wrote",
        add_arguments=_add_logs,
        run=_logs,
    ),
)
