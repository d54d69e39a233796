"""The file: YAML, of which the client checks the shape, and the server the values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clipper_client.errors import INVALID_DECLARATION, ClipperError

SECTIONS = ("models", "applications", "keys")
MODEL_FIELDS = ("name", "input_type", "description", "versions", "live")
KEY_FIELDS = ("name", "scopes", "applications", "expires_at", "run_code")
# A version that lives behind HTTP: what says where it is takes the artifact's place.
REMOTE = "remote"
# YAML takes the version 1 for a number, and a date for a date; here all of them are text.
TEXTS = ("version", "live", "expires_at", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredVersion:
    """One version: an artifact to upload, the digest of one that has to be there, or neither of a
    remote one. `secret_from` is the environment variable with what a remote model is asked with.
    """

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
            with self.artifact.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _wrong(f"version {self.version}: can't read {self.artifact}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredModel:
    """A model; `versions` None where the file doesn't say which there are."""

    name: str
    fields: Mapping[str, Any]
    versions: tuple[DeclaredVersion, ...] | None = None
    live: str | None = None


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
        reason = " ".join(str(error).replace(' in "<unicode string>",', " at").split())
        raise _wrong(f"{file} isn't YAML: {reason}") from error
    return document_of(found, path=file)


def document_of(found: Any, *, path: Path) -> Document:
    """Return the document of parsed YAML; paths in it are relative to the file's folder."""
    sections = _mapping({} if found is None else found, where=str(path))
    _check_names(sections, known=SECTIONS, where=str(path))
    models = _named(sections, "models")
    applications = _named(sections, "applications")
    keys = _named(sections, "keys")
    for name, entry in (applications or {}).items():
        _check_routes(entry.get("routes"), where=f"applications.{name}.routes")
    for name, entry in (keys or {}).items():
        _check_names(entry, known=KEY_FIELDS, where=f"keys.{name}")
    return Document(
        models=None if models is None else tuple(_model(m, path=path) for m in models.values()),
        applications=applications,
        keys=keys,
    )


def _check_routes(routes: Any, *, where: str) -> None:
    """Check the shape alone: the server knows best what else may stand in a route."""
    if not isinstance(routes, list | None):
        raise _wrong(f"{where}: expected a list, as `- model: …`, got {routes!r}")
    for route in routes or ():
        if not isinstance(route, dict) or not isinstance(route.get("model"), str):
            raise _wrong(f"{where}: expected the name of a model, as `- model: …`, got {route!r}")


def _model(entry: Mapping[str, Any], *, path: Path) -> DeclaredModel:
    where = f"models.{entry['name']}"
    _check_names(entry, known=MODEL_FIELDS, where=where)
    listed = entry.get("versions")
    versions = None
    if listed is not None:
        if not isinstance(listed, list):
            raise _wrong(f"{where}.versions: expected a list, got {listed!r}")
        versions = tuple(_version(each, where=where, path=path) for each in listed)
    live = entry.get("live")
    if live is not None and versions is not None and live not in {v.version for v in versions}:
        raise _wrong(f"{where}.live: expected one of its versions, got {live!r}")
    kept = {name: entry[name] for name in ("input_type", "description") if name in entry}
    return DeclaredModel(name=entry["name"], fields=kept, versions=versions, live=live)


def _version(entry: Any, *, where: str, path: Path) -> DeclaredVersion:
    fields = _texts(_mapping(entry, where=f"{where}.versions"))
    if "version" not in fields:
        raise _wrong(f"{where}.versions: expected version in each, got {sorted(fields)}")
    if str(fields.get("device", "")).partition(":")[0] == "cuda":
        fields["device"] = "gpu"  # as it is shown
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


def _named(sections: Mapping[str, Any], section: str) -> dict[str, dict[str, Any]] | None:
    """Return a section's entries by their names; None where there is no such section."""
    if section not in sections:
        return None
    listed = [] if sections[section] is None else sections[section]
    if not isinstance(listed, list):
        raise _wrong(f"{section}: expected a list, as `- name: …`, got {listed!r}")
    entries: dict[str, dict[str, Any]] = {}
    for each in listed:
        entry = _texts(_mapping(each, where=section))
        name = entry.get("name")
        if not name:
            raise _wrong(f"{section}: expected a name in each, got {sorted(entry)}")
        if name in entries:
            raise _wrong(f"{section}: {name} stands there twice")
        entries[name] = entry
    return entries


def _texts(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _text(value) if name in TEXTS and value is not None else value
        for name, value in entry.items()
    }


def _text(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _mapping(value: Any, *, where: str) -> dict[str, Any]:
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return value
    raise _wrong(f"{where}: expected names with values, got {value!r}")


def _check_names(entry: Mapping[str, Any], *, known: tuple[str, ...], where: str) -> None:
    if unknown := sorted(entry.keys() - set(known)):
        raise _wrong(f"{where}: expected only {', '.join(known)}, got {', '.join(unknown)}")


def _wrong(text: str) -> ClipperError:
    return ClipperError(f"{text}.", code=INVALID_DECLARATION)
