"""Estimators that were fitted on data frames answer rows by the names of their columns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from serving.container.failures.container_errors import (
    SignatureRefused,
    StaleLibraries,
)
from serving.container.inputs.nulls import with_nulls
from serving.container.inputs.signature import InputPart, Signature, signature_of
from serving.container.predictor import Predictor
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import load_sklearn

CITIES = ["Rome", "Oslo", "Bonn", "Rome", "Oslo", "Bonn"] * 4
PEOPLE = pd.DataFrame(
    {
        "age": np.linspace(18.0, 64.0, 24),
        "children": np.arange(24) % 4,
        "city": CITIES,
        "plan": pd.Categorical(["basic", "full"] * 12),
        "words": ["good day", "never mind"] * 12,
    }
)
CHURNS = (PEOPLE.age + (PEOPLE.city == "Rome") * 20 > 45).astype(int)
NUMBERS = ["age", "children"]


def scaled_and_encoded(*, unknown: str = "ignore", impute: bool = True) -> Any:
    scale = make_pipeline(SimpleImputer(), StandardScaler()) if impute else StandardScaler()
    return make_column_transformer(
        (scale, NUMBERS), (OneHotEncoder(handle_unknown=unknown), ["city"])
    )


PIPELINES: dict[str, Any] = {
    "linear": make_pipeline(scaled_and_encoded(), LogisticRegression()),
    "forest": make_pipeline(scaled_and_encoded(), RandomForestRegressor(3, random_state=0)),
    "boosted": make_pipeline(scaled_and_encoded(), GradientBoostingClassifier(n_estimators=3)),
    "neighbours": make_pipeline(scaled_and_encoded(), KNeighborsClassifier(3)),
    "selected": make_pipeline(
        make_column_transformer(
            (StandardScaler(), make_column_selector(dtype_include=np.number)),
            (OrdinalEncoder(), ["city", "plan"]),
        ),
        LogisticRegression(),
    ),
    "texts": make_pipeline(
        make_column_transformer((TfidfVectorizer(), "words"), (StandardScaler(), NUMBERS)),
        LogisticRegression(),
    ),
    "passed": make_pipeline(
        make_column_transformer(
            (OneHotEncoder(), ["city"]), ("drop", ["plan", "words"]), remainder="passthrough"
        ),
        HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2),
    ),
}


def as_rows(frame: pd.DataFrame) -> list[bytes]:
    return [json.dumps(row).encode() for row in frame.to_dict(orient="records")]


def loaded(model: Any, *, at: Path, **options: Any) -> Predictor:
    return load_sklearn(model, at=at, **({"input_type": "columns"} | options))


def signature(predictor: Predictor) -> Signature:
    return signature_of(predictor, input_type=predictor.input_type)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_over_a_frame_answers_as_at_home(name: str, artifact_file: Path) -> None:
    model = PIPELINES[name].fit(PEOPLE, CHURNS)
    predictor = loaded(model, at=artifact_file)
    predictor.warm_up()
    answers = predictor.answer_batch(as_rows(PEOPLE))
    assert [answer.status for answer in answers] == [AnswerStatus.OK] * 24
    outputs = [json.loads(answer.payload) for answer in answers]
    assert outputs == pytest.approx(model.predict(PEOPLE).tolist())


def test_scores_come_with_the_classes_that_they_are_of(artifact_file: Path) -> None:
    model = PIPELINES["linear"].fit(PEOPLE, np.where(CHURNS, "goes", "stays"))
    predictor = loaded(model, at=artifact_file, method="predict_proba")
    (answer,) = predictor.answer_batch(as_rows(PEOPLE[:1]))
    assert json.loads(answer.payload) == pytest.approx(model.predict_proba(PEOPLE[:1])[0].tolist())
    output = signature(predictor).output
    assert output is not None
    assert (output.shape, output.classes) == ((2,), ("goes", "stays"))


def test_what_each_column_holds_is_known_of_its_first_step(artifact_file: Path) -> None:
    model = make_pipeline(scaled_and_encoded(unknown="error", impute=False), LogisticRegression())
    predictor = loaded(model.fit(PEOPLE, CHURNS), at=artifact_file)
    parts = {part.name: part for part in signature(predictor).inputs}
    assert list(parts) == list(PEOPLE)
    assert (parts["age"].dtype, parts["age"].nullable) == ("float64", False)
    assert parts["city"].categories == ("Bonn", "Oslo", "Rome")
    # Dropped by the transformer, so that the model can do without it.
    assert parts["words"].nullable is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": None}, 'expected numbers in the column "age", got NaN (null)'),
        ({"age": "old"}, 'expected numbers in the column "age", got a string'),
        ({"city": "Paris"}, 'expected one of "Bonn", "Oslo", "Rome" in the column "city", got'),
        ({"aged": 3}, 'expected the columns age, children, city, plan, words, got "aged"'),
    ],
)
def test_a_row_that_the_model_cannot_take_fails_alone(
    artifact_file: Path, change: dict[str, Any], message: str
) -> None:
    model = make_pipeline(scaled_and_encoded(unknown="error", impute=False), LogisticRegression())
    predictor = loaded(model.fit(PEOPLE, CHURNS), at=artifact_file)
    row = {"age": 30.5, "children": 1, "city": "Rome"}
    good, bad = predictor.answer_batch([json.dumps(r).encode() for r in (row, row | change)])
    assert good.status is AnswerStatus.OK
    assert bad.status is AnswerStatus.INVALID_INPUT
    assert message in bad.payload.decode()
    assert predictor.failures.take() == []


def test_a_column_without_a_value_is_imputed_as_at_home(artifact_file: Path) -> None:
    model = PIPELINES["linear"].fit(PEOPLE, CHURNS)
    predictor = loaded(model, at=artifact_file, method="predict_proba")
    raws = [b'{"city": "Rome"}', b'{"age": null, "children": null, "city": null}', b"{}"]
    answers = predictor.answer_batch(raws)
    frame = pd.DataFrame({name: [np.nan] * 3 for name in PEOPLE}).astype({"city": object})
    frame.loc[0, "city"] = "Rome"
    expected = model.predict_proba(frame)
    np.testing.assert_allclose([json.loads(answer.payload) for answer in answers], expected)


def test_a_model_of_a_frame_answers_arrays_in_the_order_of_its_columns(artifact_file: Path) -> None:
    transformer = make_column_transformer((StandardScaler(), ["children"]), remainder="passthrough")
    for model in (LinearRegression(), make_pipeline(transformer, LinearRegression())):
        model.fit(PEOPLE[NUMBERS], CHURNS)
        predictor = loaded(model, at=artifact_file, input_type="doubles")
        predictor.warm_up()
        (answer,) = predictor.answer_batch([b"[20, 3]"])
        rows = pd.DataFrame([[20.0, 3.0]], columns=NUMBERS)
        assert float(answer.payload) == pytest.approx(model.predict(rows)[0])
        assert signature(predictor).names == ("age", "children")


def test_categories_of_a_frame_keep_their_codes(artifact_file: Path) -> None:
    model = HistGradientBoostingClassifier(
        max_iter=5, min_samples_leaf=2, categorical_features="from_dtype"
    )
    frame = PEOPLE[["age", "plan"]]
    model.fit(frame, (PEOPLE.plan == "full").astype(int))
    predictor = loaded(model, at=artifact_file)
    part = {part.name: part for part in signature(predictor).inputs}["plan"]
    assert (part.dtype, part.categories) == ("category", ("basic", "full"))
    raws = [b'{"age": 20, "plan": "full"}', b'{"plan": "basic"}', b'{"age": 20}']
    answers = predictor.answer_batch([*raws, b'{"age": 20, "plan": null}', b'{"plan": 5}'])
    assert [answer.payload for answer in answers[:2]] == [b"1", b"0"]
    expected = model.predict(pd.DataFrame({"age": [20.0], "plan": PEOPLE.plan[:1].where([False])}))
    assert {answer.payload for answer in answers[2:4]} == {b"%d" % expected[0]}
    assert answers[4].status is AnswerStatus.INVALID_INPUT


@pytest.mark.parametrize("input_type", ["doubles", "floats"])
def test_null_is_nan_for_models_that_take_it(artifact_file: Path, input_type: str) -> None:
    rows = PEOPLE[NUMBERS].to_numpy()
    boosted = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2).fit(rows, CHURNS)
    linear = LogisticRegression().fit(rows, CHURNS)
    (taken,) = loaded(boosted, at=artifact_file, input_type=input_type).answer_batch([b"[null, 1]"])
    assert json.loads(taken.payload) == boosted.predict([[np.nan, 1.0]])[0]
    (refused,) = loaded(linear, at=artifact_file, input_type=input_type).answer_batch(
        [b"[null, 1]"]
    )
    assert refused == (AnswerStatus.INVALID_INPUT, b"expected numbers, got NaN (null) at index 0")


def test_columns_without_names_are_refused(artifact_file: Path) -> None:
    model = LinearRegression().fit(PEOPLE[NUMBERS].to_numpy(), CHURNS)
    with pytest.raises(SignatureRefused, match="names its columns; got LinearRegression fitted on"):
        loaded(model, at=artifact_file)
    named = loaded(model, at=artifact_file, example='{"age": 3, "children": 1}')
    named.warm_up()
    assert named.answer_batch([b'{"children": 1, "age": 3}'])[0].status is AnswerStatus.OK


def test_a_signature_that_the_model_contradicts_is_refused(artifact_file: Path) -> None:
    model = PIPELINES["linear"].fit(PEOPLE, CHURNS)
    with pytest.raises(
        SignatureRefused, match="the signature differs in age, children, city, lang"
    ):
        loaded(model, at=artifact_file, signature='{"inputs": [{"name": "lang"}]}')


def test_a_model_of_another_release_is_refused_unless_it_is_accepted(
    artifact_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import skops.io

    model = Pipeline([("line", LinearRegression())]).fit(PEOPLE[NUMBERS], CHURNS)
    with monkeypatch.context() as patched:
        patched.setattr("sklearn.base.__version__", "1.5.0")
        old = skops.io.dumps(model)
    with pytest.raises(
        StaleLibraries, match=r"trained with scikit-learn 1\.5\.0, and here is"
    ) as e:
        loaded(old, at=artifact_file)
    assert "requirements: scikit-learn==1.5.0" in str(e.value)
    predictor = loaded(old, at=artifact_file, allow_stale_libraries=True)
    assert predictor.answer_batch([b'{"age": 3, "children": 1}'])[0].status is AnswerStatus.OK


def test_a_slow_model_is_not_asked_about_every_column() -> None:
    names = ("a", "b", "c")
    parts = tuple(InputPart(name=name, dtype="float64") for name in names)
    asked = 0

    def ask(rows: pd.DataFrame) -> Any:
        nonlocal asked
        asked += 1
        if rows.isna().any(axis=None):
            raise ValueError("Input X contains NaN.")
        return np.zeros(len(rows))

    signature = Signature(input_type="columns", inputs=parts)
    found = with_nulls(signature, ask=ask, example="")
    assert [part.nullable for part in found.inputs] == [False] * 3
    asked = 0
    assert with_nulls(signature, ask=ask, example="", seconds=-1.0) == signature
    assert asked == 2  # a row that is whole, and one without anything
