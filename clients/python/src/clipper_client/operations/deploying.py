"""From an estimator in memory to a version that serves: save, upload, deploy, route to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Raw

from clipper_client import frameworks
from clipper_client.answers import Release
from clipper_client.clipper_error import ClipperError, unsupported
from clipper_client.frameworks.framework import Saved, Saving
from clipper_client.frameworks.native import is_model_folder, save_folder
from clipper_client.inputs import encoded, first_of, input_type_of, is_frame
from clipper_client.operations.releases import released, uploaded
from clipper_client.options import UNSET, application_path, given, model_path
from clipper_client.packaging.required_packages import captured, required_by
from clipper_client.packaging.sources import zipped
from clipper_client.transport.remote_server import Server

# By runtime, the endings of its files, and packages that load them as they are installed here.
RUNTIMES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sklearn": ((".skops", ".joblib", ".pkl", ".pickle"), ()),
    "xgboost": ((".ubj",), ("xgboost",)),
    "lightgbm": ((), ("lightgbm",)),
    "catboost": ((".cbm",), ("catboost",)),
    "onnx": ((".onnx",), ("onnxruntime",)),
    "torch": ((".pt", ".pt2"), ("torch",)),
    "tensorflow": ((".keras",), ("tensorflow", "keras")),
    "transformers": ((), ("transformers", "torch")),
    "python": ((".py", ".whl"), ()),
}
BY_ENDING = {ending: name for name, (endings, _) in RUNTIMES.items() for ending in endings}


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
    rollout: str = ""
    wait: bool | float = True
    input_type: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    async def done(self) -> Release:
        if self.app is not None:
            await self._check_application(self.app)
        if isinstance(self.model, str) and self.model.startswith(("http://", "https://")):
            known = await self._model()
            version = await self._register_remote(known)
        else:
            with TemporaryDirectory(prefix="clipper-") as folder:
                saved = await self.server.work(lambda: self._saved(Path(folder)))
                known = await self._model()
                version = await self._upload(saved, known=known)
        plan = self.rollout if known.get("live_version") else ""
        release = await self._release(version, **({"rollout": plan} if plan else {}))
        if self.app is not None:
            await self._route(self.app, input_type=known["input_type"])
        return release

    async def _release(self, version: str, **more: Any) -> Release:
        path = model_path(self.name, "versions", version, "deploy")
        how = {"reason": self.reason, "allow_signature_change": self.allow_signature_change}
        try:
            return await released(self.server, path, body={**how, **more}, wait=self.wait)
        except ClipperError as error:
            # The check of what was just uploaded was quicker: its release says why it failed.
            if error.code != "check_failed" or "anyway" in more:
                raise
            return await self._release(version, **more, anyway=True)

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
        runtime = self.runtime or BY_ENDING.get(path.suffix.lower())
        if runtime is None:
            raise unsupported(f"Expected runtime=, as {path.name} doesn't say what it is.")
        return _saved_as(path, artifact=path, runtime=runtime)

    def _packed(self, path: Path, *, folder: Path) -> Saved:
        if self.runtime in (None, "mlflow") and is_model_folder(path):
            return save_folder(path, folder=folder)
        runtime = self.runtime or _runtime_of(path)
        packed = zipped(path, to=folder / "artifact.zip")
        return _saved_as(path, artifact=packed, runtime=runtime)

    async def _model(self) -> dict[str, Any]:
        found = await self._existing(model_path(self.name))
        if found is not None:
            return found
        input_type = self.input_type or input_type_of(self.example, model=self.model)
        body = encoded({"name": self.name, "input_type": input_type})
        made: dict[str, Any] = await self.server.json(
            "POST", "/api/v1/models/", body=body, repeatable=False
        )
        return made

    async def _register_remote(self, known: Mapping[str, Any]) -> str:
        version = self.version or str(_next_number(known["versions"]))
        said: dict[str, Any] = {"runtime": "remote", "url": self.model, "replicas": self.replicas}
        # The server says which of these a remote model can't have.
        said |= given({"method": self.method, "requirements": self.requirements})
        if example := self._example():
            said["example"] = Raw(example)
        body = encoded({"version": version, **said, **self.fields})
        path = f"{model_path(self.name, 'versions')}/"
        await self.server.json("POST", path, body=body, repeatable=False)
        return version

    async def _upload(self, saved: Saved, *, known: Mapping[str, Any]) -> str:
        fields = self._form(saved, columns=known["input_type"] == "columns")
        number = _next_number(known["versions"])
        # Somebody else may upload the same number at the same time.
        for at in range(5):
            version = self.version or str(number + at)
            try:
                form = {"version": version, **fields}
                await uploaded(self.server, self.name, saved.path, fields=form)
            except ClipperError as error:
                if error.status != 409 or self.version is not None or at == 4:
                    raise
            else:
                return version
        raise AssertionError("the last attempt returns or raises")

    def _form(self, saved: Saved, *, columns: bool) -> dict[str, str]:
        """Return the form; environment and example say what nobody else says."""
        found: dict[str, Any] = {"runtime": self.runtime or saved.runtime}
        # Rows with names are frames there, as far as what else it needs is brought along.
        framed = is_frame(self.example) or (columns and bool(saved.requirements))
        names = [*saved.requirements, *(["pandas"] if framed else [])]
        if self.requirements is not None:
            lines = self.requirements
            found["requirements"] = lines if isinstance(lines, str) else "\n".join(lines)
        elif saved.written is not None or names:
            found["requirements"] = captured(names) if saved.written is None else saved.written
        found["requires_python"] = saved.requires_python or None
        found["example"] = self._example().decode() or None
        found["method"] = None if saved.has_method else self.method
        found |= {"replicas": self.replicas, **self.fields}
        return {
            name: value if isinstance(value, str) else encoded(value).decode()
            for name, value in found.items()
            if value is not None
        }

    def _example(self) -> bytes:
        """Return the example's first input as JSON; b"" if the server takes no such large one."""
        example = b"" if self.example is None else encoded(first_of(self.example))
        return example if len(example) <= 100_000 else b""

    async def _check_application(self, app: str) -> None:
        """Raise before anything is uploaded if the application asks other models."""
        found = await self._existing(application_path(app))
        models = [route["model"] for route in found["routes"]] if found else [self.name]
        if self.name not in models:
            raise ClipperError(
                f"The application {app} is there and asks {', '.join(models) or 'nobody'}: "
                f"add a route to {self.name} yourself, or name another application.",
                code="conflict",
            )

    async def _route(self, app: str, *, input_type: str) -> None:
        """Make the application, or set what was asked for of one that is there."""
        path = application_path(app)
        said = given({"slo_ms": self.slo_ms})
        if self.default_output is not UNSET:
            said["default_output"] = self.default_output
        if await self._existing(path) is None:
            said = {"slo_ms": 100.0, "routes": [{"model": self.name}], **said}
        if said:
            await self.server.json("PUT", path, body=encoded({"input_type": input_type, **said}))

    async def _existing(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self.server.json("GET", path)
        except ClipperError as error:
            if error.status == 404 and error.code == "not_found":
                return None
            raise
        return found


def _saved_as(path: Path, *, artifact: Path, runtime: str) -> Saved:
    written, python = required_by(path) if runtime == "python" else (None, "")
    return Saved(
        path=artifact,
        runtime=runtime,
        requirements=RUNTIMES.get(runtime, ((), ()))[1],
        written=written,
        requires_python=python,
    )


def _next_number(versions: Iterable[str]) -> int:
    return 1 + max((int(name) for name in versions if name.isascii() and name.isdigit()), default=0)


def _runtime_of(folder: Path) -> str:
    if (folder / "saved_model.pb").is_file():
        return "tensorflow"
    if (folder / "config.json").is_file():
        return "transformers"
    if any(folder.rglob("*.onnx")):
        return "onnx"
    if any(folder.rglob("*.py")):
        return "python"
    raise unsupported(f"Expected runtime=, as the files in {folder} don't say what they are.")
