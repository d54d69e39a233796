"""PyTorch: exported programs (.pt2) and TorchScript (.pt); a module is exported by an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError
from clipper_client.frameworks.base import Framework, Saved, Saving, is_of, kinds_of


def _is_module(model: Any) -> bool:
    return is_of(model, "torch") and hasattr(model, "state_dict")


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    import torch

    names = set(kinds_of(model))
    if "torch.jit._script.ScriptModule" in names:
        path = folder / "model.pt"
        torch.jit.save(model, str(path))
    else:
        program = model if type(model).__name__ == "ExportedProgram" else _exported(model, saving)
        path = folder / "model.pt2"
        torch.export.save(program, str(path))
    return Saved(path=path, runtime="torch", requirements=("torch",))


def _exported(model: Any, saving: Saving) -> Any:
    """Export a module with a first dimension that may have any length, as batches do."""
    import torch

    if saving.example is None:
        raise ClipperError(
            "Expected example=, a few inputs by which torch.export traces the module.",
            code=UNSUPPORTED_MODEL,
        )
    example = torch.as_tensor(saving.example)
    if not example.is_floating_point() or example.dtype == torch.float64:
        example = example.to(_dtype_of(model)) if example.is_floating_point() else example
    # A single row would be taken for a batch that always has one.
    batch = torch.cat([example, example]) if len(example) == 1 else example
    model.eval()
    shapes = ({0: torch.export.Dim("batch")},)
    with torch.no_grad():
        return torch.export.export(model, (batch,), dynamic_shapes=shapes)


def _dtype_of(model: Any) -> Any:
    """The numbers that a module computes with: those of its first parameter."""
    import torch

    first = next(iter(model.parameters()), None)
    return torch.float32 if first is None else first.dtype


FRAMEWORK = Framework("torch", _is_module, _save)
