"""Room for replicas by the slots of the last round; unknown slots refuse nothing."""

from collections.abc import Mapping

import redis
from django.conf import settings
from django.utils import timezone

from core.errors import BadRequest, Conflict
from registry.models import Model, ModelVersion, Release
from registry.models.release import wanted
from registry.releases.control import REMEDIES, Slots, read_control

CPU, GPU = ModelVersion.Device.CPU, ModelVersion.Device.GPU
# A version that is scaled up leaves so many slots to the next version that somebody deploys. GPUs
# are too few for that.
RESERVED: Mapping[str, int] = {CPU: 1, GPU: 0}


def known_slots(device: str) -> Slots | None:
    """Return the slots for a device without replicas that need none any more, None if unknown."""
    try:
        control = read_control()
    except redis.RedisError:
        return None
    if control.problem or control.last is None:
        return None
    slots = control.last.slots.get(device)
    if slots is None or not slots.replicas:
        return slots
    lasting = wanted(ModelVersion.objects.filter(device=device), now=timezone.now(), warm=False)
    starting = set(Release.objects.open().values_list("version_id", flat=True))
    most = {str(version): max(version.replicas, version.pk in starting) for version in lasting}
    needed = {arm: min(count, most.get(arm, 0)) for arm, count in slots.replicas.items()}
    return Slots(total=slots.total, replicas={arm: n for arm, n in needed.items() if n})


def check_device(device: str) -> None:
    """Raise BadRequest for a GPU if no worker has one."""
    if device != GPU or settings.CLIPPER_GPU_SLOTS:
        return
    slots = known_slots(device)
    if slots is not None and not slots.total:
        raise BadRequest(
            "device: Expected cpu, as no worker here has a GPU, got gpu. Start the stack with "
            "CLIPPER_GPU_SLOTS=1 (one a GPU), or a GPU worker on another host.",
            fields=["device"],
        )


def check_room(version: ModelVersion, *, model: Model, replicas: int) -> None:
    """Raise Conflict if a version to release finds too few slots; others give up spare replicas."""
    check_device(version.device)
    slots = known_slots(version.device)
    arm = str(version)
    if slots is None or not slots.total or arm in slots.replicas:
        return
    live = model.live_version
    # What else of the model has a replica is on its way out, and gives way.
    staying = {str(live)} & slots.replicas.keys() if live else set()
    others = {one for one in slots.replicas if one.partition(":")[0] != model.name} | staying
    awaited = Release.objects.open().filter(version__device=version.device).exclude(model=model)
    others |= {str(release.version) for release in awaited.with_versions()}
    if len(others) >= slots.total:
        raise Conflict(
            f"No room for {arm}: all {slots.total} slots for {version.device} are needed by "
            f"{slots.holders}. {REMEDIES[version.device]}",
            slots=slots.total,
            replicas=slots.replicas,
        )
    # As many as the live version has it may have in any case: it takes their place.
    elsewhere = sum(n for one, n in slots.replicas.items() if one.partition(":")[0] != model.name)
    fitting = slots.total - elsewhere - RESERVED[version.device]
    most = max(1, fitting, live.replicas if live else 0)
    _check_most(version, replicas, most=most, slots=slots)


def most_replicas(version: ModelVersion, *, slots: Slots) -> int:
    """Return how many replicas the version may have, at least one."""
    own = slots.replicas.get(str(version), 0)
    others = sum(slots.replicas.values()) - own
    return max(1, slots.total - others - RESERVED[version.device])


def check_scale(version: ModelVersion, *, replicas: int, before: int) -> None:
    """Raise Conflict if a running version would get more replicas than fit."""
    slots = known_slots(version.device) if replicas > before else None
    if slots is not None and slots.total and str(version) in slots.replicas:
        _check_most(version, replicas, most=most_replicas(version, slots=slots), slots=slots)


def _check_most(version: ModelVersion, replicas: int, *, most: int, slots: Slots) -> None:
    if replicas > most:
        kept = " One slot stays free for the next deploy." if RESERVED[version.device] else ""
        raise Conflict(
            f"replicas: Expected at most {most} of {version}, got {replicas}: {slots.total} slots "
            f"for {version.device}, {slots.free} free, needed by {slots.holders}.{kept} "
            f"{REMEDIES[version.device]}",
            most=most,
            slots=slots.total,
            replicas=slots.replicas,
        )
