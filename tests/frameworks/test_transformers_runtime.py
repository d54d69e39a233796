"""Pipelines answer as they do at home, and neither run code nor fetch anything."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from serving.container.failures.container_errors import ArtifactInvalid, PickleRefused
from tests.serving.container.artifacts import answered, load_as, zipped, zipped_folder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a"]
TEXTS = ["good film", "bad", "a bad film", "unheard of"]
LABELS = {0: "negative", 1: "positive"}


def tokenizer(folder: Path) -> Any:
    words = folder / "words.txt"
    words.write_text("\n".join(WORDS))
    return transformers.BertTokenizerFast(vocab_file=str(words))


def tiny(kind: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        id2label=LABELS,
        label2id={label: number for number, label in LABELS.items()},
    )
    return kind(config).eval()


def made(kind: Any, *, task: str, at: Path) -> tuple[bytes, Any]:
    """A pipeline of a model of this kind, and the zip of its folder."""
    at.mkdir()
    pipeline = transformers.pipeline(task, model=tiny(kind), tokenizer=tokenizer(at), device="cpu")
    pipeline.save_pretrained(at)
    return zipped_folder(at, within="pipeline/"), pipeline


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    kind = transformers.BertForSequenceClassification
    return made(kind, task="text-classification", at=tmp_path_factory.mktemp("hf") / "model")


def test_a_classifier_answers_with_labels_and_probabilities(
    classifier: tuple[bytes, Any], artifact_file: Path
) -> None:
    content, pipeline = classifier
    told = [pipeline(text, top_k=None) for text in TEXTS]
    expected = [{each["label"]: each["score"] for each in scores} for scores in told]
    predictor = load_as("transformers", content, at=artifact_file, input_type="strings")
    predictor.warm_up()
    assert answered(predictor, TEXTS) == [
        max(scores, key=lambda label: scores[label]) for scores in expected
    ]
    predictor.close()
    predictor = load_as(
        *("transformers", content),
        at=artifact_file,
        input_type="strings",
        method="predict_proba",
    )
    for scores, wanted in zip(answered(predictor, TEXTS), expected, strict=True):
        assert scores == pytest.approx(wanted, abs=1e-5)
    assert len(answered(predictor, TEXTS[:1])) == 1
    predictor.close()


@pytest.mark.parametrize(
    ("kind", "task", "row", "has"),
    [
        ("BertForTokenClassification", "token-classification", "good film", "entity"),
        ("BertForMaskedLM", "fill-mask", "a [MASK] film", "token_str"),
    ],
)
def test_another_task_answers_as_its_pipeline_does(
    kind: str, task: str, row: str, has: str, artifact_file: Path, tmp_path: Path
) -> None:
    content, _ = made(getattr(transformers, kind), task=task, at=tmp_path / "model")
    predictor = load_as("transformers", content, at=artifact_file, input_type="strings")
    for rows in ([row], [row, row]):
        for answer in answered(predictor, rows):
            assert has in answer[0]
    predictor.close()
    with pytest.raises(ArtifactInvalid, match=f"for predict_proba, got a model for {task}"):
        load_as("transformers", content, at=artifact_file, method="predict_proba")


def test_weights_in_a_pickle_need_permission(artifact_file: Path, tmp_path: Path) -> None:
    model = tiny(transformers.BertForSequenceClassification)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "model" / "pytorch_model.bin")
    tokenizer(tmp_path).save_pretrained(tmp_path / "model")
    content = zipped_folder(tmp_path / "model")
    with pytest.raises(PickleRefused, match="the weights of this model are a pickle"):
        load_as("transformers", content, at=artifact_file, input_type="strings")
    predictor = load_as(
        *("transformers", content), at=artifact_file, input_type="strings", allow_pickle=True
    )
    assert answered(predictor, TEXTS[:1])[0] in LABELS.values()
    predictor.close()


def with_config(content: bytes, **changed: Any) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["pipeline/config.json"]) | changed
    return zipped(files | {"pipeline/config.json": json.dumps(config)})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"auto_map": {"AutoModel": "evil.Evil"}}, "got one with code of its own, BertForSeq"),
        ({"architectures": ["Nothing"]}, "expected a model whose class ends with .*, got Nothing"),
        ({"architectures": None}, "with the architecture of the model: TypeError"),
        ({"model_type": "nothing"}, "for text-classification that transformers loads"),
    ],
)
def test_a_model_that_transformers_has_not_is_refused(
    changed: dict[str, Any], message: str, classifier: tuple[bytes, Any], artifact_file: Path
) -> None:
    with pytest.raises(ArtifactInvalid, match=message):
        load_as("transformers", with_config(classifier[0], **changed), at=artifact_file)


def test_nothing_is_fetched(classifier: tuple[bytes, Any], artifact_file: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(classifier[0])) as archive:
        config = archive.read("pipeline/config.json")
    with pytest.raises(ArtifactInvalid, match="for text-classification that transformers loads"):
        load_as("transformers", zipped({"config.json": config}), at=artifact_file)


NO_MODELS = [
    *(b"", b"PK\x03\x04 truncated", zipped({"model.onnx": b""})),
    *(zipped({"a/config.json": b"", "b/config.json": b""}), zipped({"config.json": b"hello"})),
]


@pytest.mark.parametrize("content", NO_MODELS)
def test_what_is_no_model_is_refused(content: bytes, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid):
        load_as("transformers", content, at=artifact_file)
