"""From an estimator in memory to a version that serves: save, upload, deploy, route to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Raw

from clipper_client import frameworks
from clipper_client.answers import Release
from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError
from clipper_client.frameworks.base import Saved, Saving
from clipper_client.frameworks.mlflow import is_model_folder, save_folder
from clipper_client.inputs import encoded, is_frame
from clipper_client.operations.releases import released
from clipper_client.operations.uploading import uploaded
from clipper_client.options import UNSET, application_path, given, model_path
from clipper_client.packaging.packing import zipped
from clipper_client.packaging.requirements import captured
from clipper_client.packaging.written_requirements import Written, required_by
from clipper_client.progress import Bar, Stages, wanted
from clipper_client.signatures import first_of, input_type_of
from clipper_client.transport.server import Server

# The objective of a new application, unless another one is named.
SLO_MS = 100.0
# Somebody else may upload the same number at the same time.
NUMBERS = 5
# The runtimes of files by their endings.
RUNTIMES: Mapping[str, str] = {
    ".skops": "sklearn",
    ".joblib": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".ubj": "xgboost",
    ".cbm": "catboost",
    ".onnx": "onnx",
    ".pt": "torch",
    ".pt2": "torch",
    ".keras": "tensorflow",
    ".py": "python",
    ".whl": "python",
}
# Packages that load a file or folder, in the versions that are installed here.
LOADED_BY: Mapping[str, tuple[str, ...]] = {
    "xgboost": ("xgboost",),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
    "onnx": ("onnxruntime",),
    "torch": ("torch",),
    "tensorflow": ("tensorflow", "keras"),
    "transformers": ("transformers", "torch"),
}
# The input type of rows with names.
COLUMNS = "columns"
# The runtimes of what lives behind HTTP already, and of code.
REMOTE, PYTHON = "remote", "python"
# The server takes an example of so many bytes.
EXAMPLE_BYTES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One call of `deploy`; the fields are its arguments."""

    server: Server
    name: str
    model: Any
    version: str | None = None
    example: Any = None
    app: str | None = None
    slo_ms: float | None = None
    default_output: Any = UNSET
    runtime: str | None = None
    method: str | None = None
    requirements: str | Iterable[str] | None = None
    replicas: int = 1
    reason: str = ""
    allow_signature_change: bool = False
    wait: bool | float = True
    input_type: str | None = None
    progress: bool | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    async def done(self) -> Release:
        if self.app is not None:
            await self._check_application(self.app)
        if _is_url(self.model):
            known = await self._model()
            version = await self._registered(known)
        else:
            with TemporaryDirectory(prefix="clipper-") as folder:
                saved = await self.server.work(lambda: self._saved(Path(folder)))
                known = await self._model()
                version = await self._uploaded(saved, known=known)
        release = await released(
            self.server,
            model_path(self.name, "versions", version, "deploy"),
            body={
                "reason": self.reason,
                "allow_signature_change": self.allow_signature_change,
            },
            wait=self.wait,
            watch=Stages().show if wanted(self.progress) else None,
        )
        if self.app is not None:
            slo_ms = await self._route(self.app, input_type=known["input_type"])
            release = release.with_warnings(_too_slow(release, slo_ms=slo_ms))
        return release

    # --- The artifact ---------------------------------------------------------------------------

    def _saved(self, folder: Path) -> Saved:
        if not isinstance(self.model, str | Path):
            return frameworks.save(
                self.model, folder=folder, saving=Saving(example=self.example, method=self.method)
            )
        path = Path(self.model).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"There is no file {path}.")
        if path.is_dir():
            return self._packed(path, folder=folder)
        runtime = self.runtime or RUNTIMES.get(path.suffix.lower())
        if runtime is None:
            raise ClipperError(
                f"Expected runtime=, as {path.name} doesn't say what it is.",
                code=UNSUPPORTED_MODEL,
            )
        return _as_written(path, artifact=path, runtime=runtime)

    def _packed(self, path: Path, *, folder: Path) -> Saved:
        if self.runtime in (None, "mlflow") and is_model_folder(path):
            return save_folder(path, folder=folder)
        runtime = self.runtime or _runtime_of(path)
        packed = zipped(path, to=folder / "artifact.zip")
        return _as_written(path, artifact=packed, runtime=runtime)

    # --- The model and its version --------------------------------------------------------------

    async def _model(self) -> dict[str, Any]:
        """Return the model as the server has it, made now if there is none."""
        found = await self._found(model_path(self.name))
        if found is not None:
            return found
        input_type = self.input_type or input_type_of(self.example, model=self.model)
        body = encoded({"name": self.name, "input_type": input_type})
        made: dict[str, Any] = await self.server.json(
            "POST", "/api/v1/models/", body=body, repeatable=False
        )
        return made

    async def _registered(self, known: Mapping[str, Any]) -> str:
        """Make a version of a model that lives behind HTTP; returns its name."""
        version = self.version or str(_next_number(known["versions"]))
        said: dict[str, Any] = {"runtime": REMOTE, "url": self.model, "replicas": self.replicas}
        # The server says which of these a remote model can't have.
        said |= given({"method": self.method, "requirements": self.requirements})
        if example := self._example():
            said["example"] = Raw(example)
        body = encoded({"version": version, **said, **self.fields})
        path = f"{model_path(self.name, 'versions')}/"
        await self.server.json("POST", path, body=body, repeatable=False)
        return version

    async def _uploaded(self, saved: Saved, *, known: Mapping[str, Any]) -> str:
        """Upload the artifact; returns the version's name."""
        fields = self._form(saved, columns=known["input_type"] == COLUMNS)
        number = _next_number(known["versions"])
        for at in range(NUMBERS):
            version = self.version or str(number + at)
            try:
                await self._upload(saved, fields={"version": version, **fields})
            except ClipperError as error:
                if error.status != 409 or self.version is not None or at == NUMBERS - 1:
                    raise
            else:
                return version
        raise AssertionError("the last attempt returns or raises")

    async def _upload(self, saved: Saved, *, fields: Mapping[str, str]) -> None:
        size = saved.path.stat().st_size
        bar = Bar(f"bytes of {self.name}:{fields['version']}", total=size, shown=self.progress)
        with closing(bar):
            await uploaded(self.server, self.name, saved.path, fields=fields, progress=bar.show)

    def _form(self, saved: Saved, *, columns: bool) -> dict[str, str]:
        """Return the form, with what environment and example tell where nothing else was said."""
        method = None if saved.has_method else self.method
        said = {"replicas": self.replicas, "method": method, **self.fields}
        form = {name: text_of(value) for name, value in said.items() if value is not None}
        if self.requirements is not None:
            form["requirements"] = _lines(self.requirements)
        found = {
            "runtime": self.runtime or saved.runtime,
            **self._found_out(saved, columns=columns),
        }
        return found | form

    def _found_out(self, saved: Saved, *, columns: bool) -> dict[str, str]:
        found: dict[str, str] = {}
        # Rows with names are frames there, as far as what else it needs is brought along.
        framed = is_frame(self.example) or (columns and bool(saved.requirements))
        names = [*saved.requirements, *(["pandas"] if framed else [])]
        if saved.written is not None or names:
            found["requirements"] = captured(names) if saved.written is None else saved.written
        if saved.requires_python:
            found["requires_python"] = saved.requires_python
        if example := self._example():
            found["example"] = example.decode()
        return found

    def _example(self) -> bytes:
        """Return the example's first input as JSON; nothing where it is larger than is taken."""
        example = b"" if self.example is None else encoded(first_of(self.example))
        return example if len(example) <= EXAMPLE_BYTES else b""

    # --- The application ------------------------------------------------------------------------

    async def _check_application(self, app: str) -> None:
        """Raise before anything is uploaded if the application asks other models."""
        found = await self._found(application_path(app))
        models = [route["model"] for route in found["routes"]] if found else [self.name]
        if self.name not in models:
            raise ClipperError(
                f"The application {app} is there and asks {', '.join(models) or 'nobody'}: "
                f"add a route to {self.name} yourself, or name another application.",
                code="conflict",
            )

    async def _route(self, app: str, *, input_type: str) -> float | None:
        """Make the application, or set what was asked for of one that is there.

        Return the objective that was set, None if it stays as it was.
        """
        path = application_path(app)
        said = given({"slo_ms": self.slo_ms})
        if self.default_output is not UNSET:
            said["default_output"] = self.default_output
        if await self._found(path) is None:
            said = {"slo_ms": SLO_MS, "routes": [{"model": self.name}], **said}
        elif not said:
            return None
        await self.server.json("PUT", path, body=encoded({"input_type": input_type, **said}))
        return said.get("slo_ms")

    async def _found(self, path: str) -> dict[str, Any] | None:
        """Return what is there; None if nothing is."""
        try:
            found: dict[str, Any] = await self.server.json("GET", path)
        except ClipperError as error:
            if error.status == 404 and error.code == "not_found":
                return None
            raise
        return found


def _too_slow(release: Release, *, slo_ms: float | None) -> list[str]:
    """Return a warning if most single queries took longer in the check than the objective."""
    times = release.report.get("latency") or [{"p50_ms": 0.0}]
    single = times[0]["p50_ms"]
    if slo_ms is None or single <= slo_ms:
        return []
    return [
        f"A query took {single:g} ms in the check, longer than the objective of "
        f"{slo_ms:g} ms: queries will get no answer in time. Set a longer one (slo_ms)."
    ]


def _as_written(path: Path, *, artifact: Path, runtime: str) -> Saved:
    """Return what a file or folder is, with what one of Python says that it needs."""
    written = required_by(path) if runtime == PYTHON else Written()
    return Saved(
        path=artifact,
        runtime=runtime,
        requirements=LOADED_BY.get(runtime, ()),
        written=written.requirements,
        requires_python=written.python,
    )


def _is_url(model: Any) -> bool:
    return isinstance(model, str) and model.startswith(("http://", "https://"))


def text_of(value: Any) -> str:
    """Return a value as a form's field has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else encoded(value).decode()


def _next_number(versions: Iterable[str]) -> int:
    return 1 + max((int(name) for name in versions if name.isascii() and name.isdigit()), default=0)


def _lines(requirements: str | Iterable[str]) -> str:
    return requirements if isinstance(requirements, str) else "\n".join(requirements)


def _runtime_of(folder: Path) -> str:
    """Return the runtime of a folder that doesn't say it: by what its files are called."""
    if (folder / "saved_model.pb").is_file():
        return "tensorflow"
    if (folder / "config.json").is_file():
        return "transformers"
    if any(folder.rglob("*.onnx")):
        return "onnx"
    if any(folder.rglob("*.py")):
        return "python"
    raise ClipperError(
        f"Expected runtime=, as the files in {folder} don't say what they are.",
        code=UNSUPPORTED_MODEL,
    )
