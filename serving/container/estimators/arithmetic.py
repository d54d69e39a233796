"""Which skops files hold nothing but arithmetic on NumPy's arrays.

NumPy looks at the shapes and indexes it is given, so no number in such a file leads out of an
array. Much else of scikit-learn doesn't: trees, neighbours, the vocabulary of a vectorizer, the
categories of an encoder and the vectors of a support vector machine are places that C believes, and
a forged one reads or writes other memory. So this names what is known to be harmless, and whatever
it doesn't know is asked in a process that has no secrets (`serving.container.boxed`). Of a few that
many use, all that C believes is compared before they are asked (`vouched`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# What skops makes of a part of the file, and of whose types. It goes by this, whatever type the
# file says it is: others make trees and sparse matrices under any name.
LOADERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("JsonNode", "DictNode", "ListNode", "TupleNode"), ("builtins",)),
    **dict.fromkeys(("SetNode", "SliceNode"), ("builtins",)),
    **dict.fromkeys(("NdArrayNode", "DTypeNode", "RandomStateNode"), ("numpy",)),
    "TypeNode": ("builtins", "numpy"),
    "ObjectNode": ("sklearn",),
    "CachedNode": ("builtins", "numpy", "sklearn"),
}
_PLAIN = ("bool", "int", "float", "str", "NoneType", "dict", "list", "tuple", "set", "slice")
_NUMPY = (
    *("ndarray", "dtype", "bool", "bool_", "str_", "float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    "random.mtrand.RandomState",  # no answer of these estimators takes a number from it
)
_ESTIMATORS = {
    "linear_model": (
        *("_logistic.LogisticRegression", "_logistic.LogisticRegressionCV"),
        *("_base.LinearRegression", "_ridge.Ridge", "_ridge.RidgeCV"),
        *("_ridge.RidgeClassifier", "_ridge.RidgeClassifierCV"),
        *("_coordinate_descent.Lasso", "_coordinate_descent.LassoCV"),
        *("_coordinate_descent.ElasticNet", "_coordinate_descent.ElasticNetCV"),
        *("_bayes.BayesianRidge", "_bayes.ARDRegression", "_huber.HuberRegressor"),
        *("_stochastic_gradient.SGDRegressor", "_quantile.QuantileRegressor"),
    ),
    "svm": ("_classes.LinearSVC", "_classes.LinearSVR"),
    "feature_extraction": ("text.TfidfTransformer",),
    "naive_bayes": ("GaussianNB", "MultinomialNB", "BernoulliNB", "ComplementNB"),
    "discriminant_analysis": ("LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
    "neural_network": (
        *("_multilayer_perceptron.MLPClassifier", "_multilayer_perceptron.MLPRegressor"),
        *("_stochastic_optimizers.AdamOptimizer", "_stochastic_optimizers.SGDOptimizer"),
    ),
    "dummy": ("DummyClassifier", "DummyRegressor"),
    "preprocessing": (
        *("_data.StandardScaler", "_data.MinMaxScaler", "_data.MaxAbsScaler"),
        *("_data.RobustScaler", "_data.Normalizer", "_data.Binarizer"),
        *("_encoders.OrdinalEncoder", "_label.LabelBinarizer"),
        # Passes on what it gets: functions have loaders that aren't among these.
        "_function_transformer.FunctionTransformer",
    ),
    "impute": ("_base.SimpleImputer",),
    "decomposition": ("_pca.PCA", "_truncated_svd.TruncatedSVD"),
    "feature_selection": ("_variance_threshold.VarianceThreshold",),
    "pipeline": ("Pipeline",),
    "compose": ("_column_transformer.ColumnTransformer", "_target.TransformedTargetRegressor"),
}
TYPES = frozenset(
    {
        *(f"builtins.{name}" for name in _PLAIN),
        *(f"numpy.{name}" for name in _NUMPY),
        *(f"sklearn.{part}.{name}" for part, names in _ESTIMATORS.items() for name in names),
    }
)
_NEIGHBORS: Mapping[str, tuple[Any, ...]] = {
    "_fit_method": ("brute",),
    "_tree": (None,),
    "metric": ("minkowski", "euclidean"),
    "p": (2,),
    "metric_params": (None,),
    "effective_metric_": ("euclidean",),
    "weights": ("uniform", "distance"),
    "outputs_2d_": (False,),
}
# C believes arrays of these, too. Where their attributes are among such as are told here, their
# arrays are compared with each other before C has them (`vouched`).
VOUCHED: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "sklearn.svm._classes.SVC": {
        "_sparse": (False,),
        "kernel": ("linear", "poly", "rbf", "sigmoid"),
    },
    "sklearn.neighbors._classification.KNeighborsClassifier": _NEIGHBORS,
    "sklearn.neighbors._regression.KNeighborsRegressor": {
        name: values for name, values in _NEIGHBORS.items() if name != "outputs_2d_"
    },
    "sklearn.preprocessing._encoders.OneHotEncoder": {
        "categories": ("auto",),
        "_infrequent_enabled": (False,),
        "_drop_idx_after_grouping": (None,),
    },
    "sklearn.feature_extraction.text.CountVectorizer": {},
    "sklearn.feature_extraction.text.TfidfVectorizer": {},
}
# What these have once they are fitted. Others are those of which a ColumnTransformer fits copies:
# they are asked for nothing.
FITTED: Mapping[str, str] = {
    "sklearn.preprocessing._encoders.OneHotEncoder": "categories_",
    "sklearn.feature_extraction.text.CountVectorizer": "vocabulary_",
    "sklearn.feature_extraction.text.TfidfVectorizer": "vocabulary_",
}
# A schema describes each object; one that is larger isn't looked through.
MOST_SCHEMA_BYTES = 64 << 20


def is_arithmetic(file: Path) -> bool:
    """Whether all that a skops file names is known; False where it can't be looked through.

    It imports nothing of scikit-learn, whose memory would stay with whoever asks.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo("schema.json").file_size > MOST_SCHEMA_BYTES:
                return False
            schema = json.loads(archive.read("schema.json"))
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile, RuntimeError):
        return False
    return all(map(_is_known, _nodes_in(schema)))


def _is_known(node: dict[str, Any]) -> bool:
    module, kind = str(node.get("__module__")), f"{node.get('__module__')}.{node.get('__class__')}"
    known = kind in TYPES or (kind in VOUCHED and _is_as_vouched(node, kind=kind))
    return known and module.partition(".")[0] in LOADERS.get(str(node["__loader__"]), ())


def _is_as_vouched(node: dict[str, Any], *, kind: str) -> bool:
    try:
        told = node["content"]["content"]
        if kind in FITTED and FITTED[kind] not in told:
            return True
        return all(
            json.loads(told[name]["content"]) in values for name, values in VOUCHED[kind].items()
        )
    except (LookupError, TypeError, ValueError):
        return False


def _nodes_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Whatever could be a part that is loaded."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "__loader__" in part:
                yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
