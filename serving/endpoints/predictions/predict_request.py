"""The bodies of prediction requests; an input stays the raw JSON text that the client sent."""

from collections.abc import Sequence

import msgspec

from core.decoding import Bounds, decoded
from core.errors import BadRequest, InvalidInput, NotFound
from core.specs import ApplicationSpec, Snapshot, VersionSpec
from selection.context_names import fault_of
from serving.query.budget import SMALL_BATCH

MAX_BATCH = 10_000

# The first character of a JSON text tells its type; the replica looks at the rest.
_OPENS_WITH = {
    "doubles": (b"[", "an array of numbers"),
    "floats": (b"[", "an array of numbers"),
    "integers": (b"[", "an array of whole numbers"),
    "strings": (b'"', "a string"),
    "bytes": (b'"', "a string of base64"),
    "columns": (b"{", "an object with a member for each column"),
}


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True):
    input: msgspec.Raw = msgspec.Raw()
    input_batch: Sequence[msgspec.Raw] | None = None
    context: str = ""
    key: str = ""
    # In the order that the policy knows, or by name.
    features: tuple[float, ...] | dict[str, float | str] = ()
    version: str | None = None
    timeout_ms: float | None = None
    explain: bool = False
    # Whether the answer says what each model said; their outputs may be large.
    models: bool = True

    @property
    def is_large(self) -> bool:
        """Return whether it is a batch too large for the objective of a single input."""
        return self.input_batch is not None and len(self.input_batch) > SMALL_BATCH

    def inputs(self) -> Sequence[bytes | msgspec.Raw]:
        """Return the inputs as raw JSON; raise BadRequest unless exactly one field is there.

        Copy those of a batch one by one: together they may have 16 MB.
        """
        single = bytes(self.input)
        if bool(single) == (self.input_batch is not None):
            raise BadRequest("Expected either input or input_batch.")
        if self.input_batch is None:
            return (single,)
        if not 1 <= len(self.input_batch) <= MAX_BATCH:
            raise BadRequest(
                f"input_batch: expected 1 to {MAX_BATCH} inputs, got {len(self.input_batch)}."
            )
        return self.input_batch


decoder = msgspec.json.Decoder(PredictRequest)
# Holds for whatever brings inputs.
BOUNDS = Bounds(
    items={"input_batch": MAX_BATCH},
    small=("id", "type", "context", "key", "features", "version", "timeout_ms"),
)


# Whose inputs are arrays of numbers.
NUMBERS = frozenset(name for name, (opening, _) in _OPENS_WITH.items() if opening == b"[")


def parse_predict(body: bytes) -> PredictRequest:
    BOUNDS.check(body)
    return checked(decoded(decoder, body))


def checked(request: PredictRequest) -> PredictRequest:
    if request.timeout_ms is not None and not request.timeout_ms > 0:
        raise BadRequest(f"timeout_ms: expected a number above 0, got {request.timeout_ms:g}.")
    check_context(request.context)
    check_context(request.key, name="key")
    return request


def check_context(context: str, *, name: str = "context") -> None:
    if context and (fault := fault_of(context, name=name)) is not None:
        raise BadRequest(f"{fault}.")


def check_type(raw: bytes, *, input_type: str) -> None:
    """Refuse at once what cannot be of the application's type."""
    expected = _OPENS_WITH.get(input_type)
    if expected is not None and not raw.startswith(expected[0]):
        shown = raw[:40].decode(errors="replace")
        raise InvalidInput(f"input: expected {expected[1]}, got {shown}.")


def requested_version(
    name: str, snapshot: Snapshot, *, application: ApplicationSpec
) -> VersionSpec:
    """Return the version named `model:version`, or `version` alone where one model is routed."""
    models = {route.model for route in application.routes}
    model, colon, version = name.rpartition(":")
    if not colon and len(models) == 1:
        model = next(iter(models))
    if model not in models:
        raise NotFound(
            f"version: expected model:version with a model of {application.name} "
            f"({', '.join(sorted(models)) or 'it has none'}), got {name!r}.",
            version=name,
        )
    spec = snapshot.versions_by_arm.get(f"{model}:{version}") or _by_word(model, version, snapshot)
    if spec is None:
        raise NotFound(f"{model} has no version {version!r}.", model=model, version=version)
    return spec


def _by_word(model: str, word: str, snapshot: Snapshot) -> VersionSpec | None:
    """Return the version that is live, canary or previous now; None for another word."""
    found = next((spec for spec in snapshot.models.values() if spec.name == model), None)
    if found is None:
        return None
    version_id = {
        "live": found.live_version_id,
        "canary": found.canary_version_id,
        "previous": found.previous_version_id,
    }.get(word)
    return None if version_id is None else snapshot.versions.get(version_id)
