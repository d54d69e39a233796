"""The file: YAML, of which the client checks the shape, and the server the values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import yaml
from msgspec import UNSET, UnsetType

from clipper_client.clipper_error import ClipperError
from clipper_client.operations.releases import digest_of

T = TypeVar("T")
# A version that lives behind HTTP: what says where it is takes the artifact's place.
REMOTE = "remote"
# YAML takes the version 1 for a number, and a date for a date; here all of them are text.
TEXTS = ("version", "live", "expires_at", "name")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    models: list[dict[str, Any]] | UnsetType | None = UNSET
    applications: list[dict[str, Any]] | UnsetType | None = UNSET
    keys: list[dict[str, Any]] | UnsetType | None = UNSET


class _Entry(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1)]


class _Model(_Entry, forbid_unknown_fields=True, kw_only=True):
    input_type: Any = None
    description: Any = None
    versions: list[dict[str, Any]] | None = None
    live: str | None = None
    rollout: str | None = None


class _Route(msgspec.Struct):
    model: str


class _Application(_Entry, kw_only=True):
    """The server knows best what else may stand in an application, and in a route."""

    routes: list[_Route] | None = None


class _Key(_Entry, forbid_unknown_fields=True, kw_only=True):
    scopes: Any = None
    applications: Any = None
    expires_at: Any = None
    run_code: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredVersion:
    """One version: an artifact to upload, the digest of one that is there, or a remote one."""

    version: str
    fields: Mapping[str, Any]
    artifact: Path | None = None
    digest: str | None = None
    secret_from: str | None = None

    @property
    def is_remote(self) -> bool:
        return self.fields.get("runtime") == REMOTE

    def sha256(self) -> str | None:
        """The digest of the artifact. Raises ClipperError where its file isn't there."""
        if self.artifact is None:
            return self.digest
        try:
            return digest_of(self.artifact)
        except OSError as error:
            raise _wrong(f"version {self.version}: can't read {self.artifact}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredModel:
    """A model; `versions` None where the file doesn't say which there are."""

    name: str
    fields: Mapping[str, Any]
    versions: tuple[DeclaredVersion, ...] | None = None
    live: str | None = None
    # The plan by which another live version is rolled out.
    rollout: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole file; a section is None where the file doesn't have it, and then isn't pruned."""

    models: tuple[DeclaredModel, ...] | None = None
    applications: Mapping[str, Mapping[str, Any]] | None = None
    keys: Mapping[str, Mapping[str, Any]] | None = None


def read(path: str | Path) -> Document:
    """Return what a file declares. Raises ClipperError saying what is wrong with it."""
    file = Path(path)
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _wrong(f"can't read {file}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _wrong(f"{file} isn't YAML: {' '.join(str(error).split())}") from error
    return document_of(found, path=file)


def document_of(found: Any, *, path: Path) -> Document:
    """Return the document of parsed YAML; paths in it are relative to the file's folder."""
    file = _shaped(_File, {} if found is None else found, where=str(path))
    models = _named(file.models, "models", shape=_Model)
    return Document(
        models=None if models is None else tuple(_model(m, path=path) for m in models.values()),
        applications=_named(file.applications, "applications", shape=_Application),
        keys=_named(file.keys, "keys", shape=_Key),
    )


def _shaped(shape: type[T], found: Any, *, where: str) -> T:
    try:
        return msgspec.convert(found, shape)
    except msgspec.ValidationError as error:
        raise _wrong(f"{where}: {error}") from error


def _model(entry: Mapping[str, Any], *, path: Path) -> DeclaredModel:
    where = f"models.{entry['name']}"
    listed = entry.get("versions")
    versions = None
    if listed is not None:
        versions = tuple(_version(each, where=where, path=path) for each in listed)
    live = entry.get("live")
    if live is not None and versions is not None and live not in {v.version for v in versions}:
        raise _wrong(f"{where}.live: expected one of its versions, got {live!r}")
    kept = {name: entry[name] for name in ("input_type", "description") if name in entry}
    return DeclaredModel(
        name=entry["name"],
        fields=kept,
        versions=versions,
        live=live,
        rollout=entry.get("rollout"),
    )


def _version(entry: Any, *, where: str, path: Path) -> DeclaredVersion:
    fields = _texts(entry)
    if "version" not in fields:
        raise _wrong(f"{where}.versions: expected version in each, got {sorted(fields)}")
    version = fields.pop("version")
    artifact, digest = fields.pop("artifact", None), fields.pop("digest", None)
    given = [artifact, digest] if fields.get("runtime") != REMOTE else [artifact, digest, REMOTE]
    if sum(each is not None for each in given) != 1:
        raise _wrong(
            f"{where}.versions.{version}: expected either artifact or digest, "
            f"and none of them with the runtime {REMOTE}"
        )
    file = None if artifact is None else path.parent / Path(artifact).expanduser()
    return DeclaredVersion(
        version=version,
        secret_from=fields.pop("secret_from", None),
        fields=fields,
        artifact=file,
        digest=digest,
    )


def _named(
    listed: list[dict[str, Any]] | UnsetType | None, section: str, *, shape: type
) -> dict[str, dict[str, Any]] | None:
    """Return a section's entries by their names; None if there is no such section."""
    if listed is UNSET:
        return None
    entries: dict[str, dict[str, Any]] = {}
    for each in listed or ():
        entry = _texts(each)
        name = _shaped(_Entry, entry, where=section).name
        _shaped(shape, entry, where=f"{section}.{name}")
        _check_finite(entry, where=f"{section}.{name}")
        if name in entries:
            raise _wrong(f"{section}: {name} stands there twice")
        entries[name] = entry
    return entries


def _check_finite(value: Any, *, where: str) -> None:
    """Raise for infinity and not-a-number: JSON has neither, and they would be sent as null."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(f"{where}: expected a finite number, got {value}")
    if isinstance(value, Mapping | list):
        for name, each in value.items() if isinstance(value, Mapping) else enumerate(value):
            _check_finite(each, where=f"{where}.{name}")


def _texts(entry: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: entry[name] for name in TEXTS if entry.get(name) is not None}
    return {**entry, **{name: str(value) for name, value in texts.items()}}


def _wrong(text: str) -> ClipperError:
    return ClipperError(f"{text}.", code="invalid_declaration")
