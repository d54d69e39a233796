"""Pipelines of Hugging Face transformers: a zip of the folder that `save_pretrained` writes.

The weights are safetensors, which are data; configurations and tokenizers are JSON, but choose
among thousands of classes, some of which have unpickled or imported what they found beside them. So
a version takes the permission to run code, and its model has a process of its own. Code in the
folder is never run, weights in pickles only where pickle is allowed, and nothing is downloaded.
"""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # it is read once, when it is imported

import transformers

from serving.container.adapters.archive import kept_folder
from serving.container.failures.container_errors import (
    ALLOW_PICKLE,
    ArtifactInvalid,
    PickleRefused,
    explain,
)
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import Signature
from serving.container.runtimes import method_of
from serving.container.runtimes.base import FrameworkModel, unpacked_root
from serving.container.runtimes.torch import prepare
from serving.container.spec import LoadSpec

CONFIG = "config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl")
# What a model is made for, by the end of its class's name.
TASKS: Mapping[str, str] = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForImageClassification": "image-classification",
    "Model": "feature-extraction",
}
# Whose answers are labels with their scores.
CLASSIFIERS = ("text-classification", "image-classification")
OF_ANY_TEXT = ("text-classification", "token-classification", "feature-extraction")


class TransformersModel(FrameworkModel):
    """A pipeline, asked for labels, their probabilities, or whatever its task answers."""

    def __init__(self, pipeline: Any, *, spec: LoadSpec, folder: Path) -> None:
        self._probabilities = method_of(spec) == "predict_proba"
        self._classifies = pipeline.task in CLASSIFIERS
        if self._probabilities and not self._classifies:
            raise ArtifactInvalid(
                f"expected a classifier for predict_proba, got a model for {pipeline.task}"
            )
        self._pipeline = pipeline
        self.folder = folder
        tokenizer = pipeline.tokenizer
        # What can't be filled up to the longest of a batch is asked one by one.
        self._pads = tokenizer is None or tokenizer.pad_token is not None
        self.signature = Signature(input_type=spec.input_type)

    def predict(self, inputs: Rows) -> Any:
        rows = inputs.to_dict("records") if hasattr(inputs, "columns") else inputs
        options: dict[str, Any] = {"top_k": None} if self._classifies else {}
        options["batch_size"] = len(rows) if self._pads else 1
        # Of a list with one row some pipelines give back what isn't in a list.
        answers = list(self._pipeline((_as_image(row) for row in rows), **options))
        return [self._label(answer) for answer in answers] if self._classifies else answers

    def warm_up(self) -> None:
        if self._pipeline.task in OF_ANY_TEXT:
            self.predict(["a", "a"])

    def _label(self, answer: list[dict[str, Any]]) -> Any:
        """The label with the highest score, or the score of each."""
        if self._probabilities:
            return {each["label"]: each["score"] for each in answer}
        best = max(answer, key=lambda each: float(each["score"]))
        return best["label"] if best["score"] == best["score"] else float("nan")


def load(spec: LoadSpec) -> TransformersModel:
    prepare(spec)
    transformers.utils.logging.disable_progress_bar()
    with kept_folder() as folder:
        root = unpacked_root(spec, into=folder, mark=CONFIG, name="pipeline")
        pipeline = _open(root, task=_task(root), spec=spec)
        return TransformersModel(pipeline, spec=spec, folder=folder)


def _task(root: Path) -> str:
    """Return the pipeline's task, by the class of its model."""
    try:
        config = json.loads((root / CONFIG).read_text())
        name = str(config["architectures"][0])
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise ArtifactInvalid(
            f"expected a {CONFIG} with the architecture of the model: {explain(error)}"
        ) from error
    if "auto_map" in config:
        raise ArtifactInvalid(
            f"expected a model that transformers has, got one with code of its own, {name}"
        )
    for ending, task in TASKS.items():
        if name.endswith(ending):
            return task
    raise ArtifactInvalid(f"expected a model whose class ends with {', '.join(TASKS)}, got {name}")


def _open(root: Path, *, task: str, spec: LoadSpec) -> Any:
    safe = list(root.glob("*.safetensors"))
    if not safe and not spec.allow_pickle and any(list(root.glob(name)) for name in PICKLES):
        raise PickleRefused(
            "the weights of this model are a pickle, and loading it runs whatever code it holds: "
            f"save it with save_pretrained(folder), which writes safetensors, or {ALLOW_PICKLE}"
        )
    try:
        return transformers.pipeline(
            task,
            model=str(root),
            device=spec.device,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": bool(safe) or not spec.allow_pickle},
        )
    except Exception as error:
        raise ArtifactInvalid(
            f"expected a pipeline for {task} that transformers loads: {explain(error)}"
        ) from error


def _as_image(row: Any) -> Any:
    """Bytes are an image's."""
    if not isinstance(row, bytes):
        return row
    from PIL import Image

    return Image.open(io.BytesIO(row))
