"""Rollouts and replays of a model: begun or read, acted on, and waited for."""

from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from clipper_client.answers import Rollout, parsed
from clipper_client.clipper_error import ClipperError
from clipper_client.inputs import encoded
from clipper_client.operations.exporting import text_of
from clipper_client.operations.releases import listed
from clipper_client.options import model_path
from clipper_client.transport.remote_server import Server, settled

# A rollout that is held for less goes on by itself, most often.
HELD_FOR_S = 30.0
PAUSE_S = 1.0


async def rollout_of(server: Server, model: str, number: int | None = None) -> Rollout:
    """Return a rollout of a model, its newest one without a number. Raises ClipperError."""
    if number is None:
        rows = await listed(server, f"models/{model}/rollouts")
        if not rows:
            raise ClipperError(f"{model} has no rollout.", code="not_found", status=404)
        found: Any = rows[0]
    else:
        path = model_path(model, "rollouts", str(number))
        found = await server.json("GET", path, patient=True)
    rollout: Rollout = parsed(Rollout, found)
    return rollout


async def open_ones(server: Server, models: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return the rollouts of these models that have begun and not ended, as the server has them."""
    begun = {model["name"]: model["rollout"] for model in models if model.get("rollout")}
    paths = [model_path(name, "rollouts", str(number)) for name, number in begun.items()]
    return [await server.json("GET", path, patient=True) for path in paths]


async def act_on(
    server: Server, model: str, action: str, *, number: int | None = None, reason: str = ""
) -> Rollout:
    """Pause, resume, promote or abort a rollout; return it as it is then."""
    number = number or (await rollout_of(server, model)).id
    body = encoded({"action": action, "reason": reason})
    path = model_path(model, "rollouts", str(number))
    found = await server.json("POST", path, body=body, repeatable=False)
    rollout: Rollout = parsed(Rollout, found)
    return rollout


async def waited_for(
    server: Server, model: str, *, number: int | None = None, within_s: float | None = None
) -> Rollout:
    """Wait until a rollout has ended, stays held, or so many seconds have passed."""
    rollout = await rollout_of(server, model, number)
    began = held_since = monotonic()
    while rollout.is_open:
        now = monotonic()
        held_since = held_since if rollout.state == "held" else now
        stays_held = rollout.state == "held" and (rollout.paused or now - held_since >= HELD_FOR_S)
        if stays_held or (within_s is not None and now - began >= within_s):
            break
        await settled(server.sleep(PAUSE_S))
        rollout = await rollout_of(server, model, rollout.id)
    return rollout


async def replayed(
    server: Server, model: str, version: str, *, rows: Mapping[str, Any], wait: bool
) -> dict[str, Any]:
    """Begin a replay; return it, if asked to once it has ended."""
    path = model_path(model, "versions", version, "replays")
    body = encoded({name: text_of(value) for name, value in rows.items()})
    replay: dict[str, Any] = await server.json("POST", path, body=body, repeatable=False)
    while wait and replay["state"] in ("queued", "running"):
        await settled(server.sleep(PAUSE_S))
        replay = await server.json("GET", f"{path}/{replay['id']}", patient=True)
    return replay
