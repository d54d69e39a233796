"""scikit-learn models: skops files by default, joblib or pickle only by explicit permission."""

import functools
import logging
import sys
import warnings
import zipfile
from contextlib import suppress
from typing import Any

import numpy as np

from serving.container.adapters.arrays import by_input
from serving.container.adapters.estimator_inputs import taken_by
from serving.container.adapters.skops_permission import (
    PICKLE_MAGICS,
    TRUSTED,
    UNCOMPRESSED,
    pickle_refused,
    types_refused,
)
from serving.container.failures.container_errors import (
    ArtifactInvalid,
    SignatureRefused,
    StaleLibraries,
    explain,
)
from serving.container.inputs.data_frames import pandas_here
from serving.container.inputs.nulls import with_nulls
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import COLUMNS, Signature, joined, read_signature
from serving.container.runtimes import method_of
from serving.container.runtimes.base import FrameworkModel, without
from serving.container.spec import LoadSpec

# scikit-learn imports pandas wherever there is one, for nothing that it needs by then. That would
# take 32 MB and a quarter of a second of every replica, of those of arrays too; pytest, which its
# own tests need, 6 MB and an eighth.
with without("pandas", "pytest"):
    import joblib
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
    from sklearn.utils.validation import check_is_fitted

logger = logging.getLogger(__name__)


class SklearnModel(FrameworkModel):
    """An estimator, asked with one of its methods."""

    def __init__(self, estimator: Any, *, method: str, spec: LoadSpec) -> None:
        self._ask = getattr(estimator, method)
        self._method = method
        self._names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
        self._unnamed = spec.input_type == COLUMNS and not self._names
        said = read_signature(spec.signature, input_type=spec.input_type)
        taken = joined(said, taken_by(estimator, input_type=spec.input_type, method=method))
        self._framed = spec.input_type != COLUMNS and self._needs_names(taken)
        self.signature: Signature = with_nulls(taken, ask=self.predict, example=spec.example)

    def predict(self, inputs: Rows) -> Any:
        if self._framed and isinstance(inputs, np.ndarray):
            inputs = pandas_here().DataFrame(inputs, columns=self._names, copy=False)
        if self._unnamed and hasattr(inputs, "to_numpy"):
            inputs = inputs.to_numpy()
        return by_input(self._ask(inputs), method=self._method)

    def _needs_names(self, signature: Signature) -> bool:
        """Return whether it answers rows with named columns only."""
        length = signature.length
        if length is None or length != len(self._names):
            return False
        zeros = np.zeros((1, length))
        try:
            self._ask(zeros)
        except ValueError:  # such as of columns that are selected by their names
            return pandas_here() is not None
        return False


def answer_for_arrays() -> None:
    """Have narwhals answer at once that a plain array is no data frame.

    scikit-learn 1.9 asks it three times for each batch: 62 of a batch of one's 145 µs.
    """
    narwhals = sys.modules.get("narwhals.stable.v2.dependencies")
    for name in ("is_into_dataframe", "is_into_series"):
        look = getattr(narwhals, name, None)
        if look is not None and not hasattr(look, "__wrapped__"):

            @functools.wraps(look)
            def answer(native: Any, look: Any = look) -> bool:
                return type(native) is not np.ndarray and look(native)

            setattr(narwhals, name, answer)


def load(spec: LoadSpec) -> SklearnModel:
    answer_for_arrays()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InconsistentVersionWarning)
        estimator = _read(spec)
    _check_releases(caught, allowed=spec.allow_stale_libraries)
    method = method_of(spec)
    if not callable(getattr(estimator, method, None)):
        raise ArtifactInvalid(f"expected a model with {method}(), got {type(estimator).__name__}")
    _check_fitted(estimator)
    # Arrays have no names: a model that was fitted on a data frame would warn at every batch.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    model = SklearnModel(estimator, method=method, spec=spec)
    if spec.input_type == COLUMNS and not model.signature.inputs and not spec.example:
        raise SignatureRefused(
            "expected a model that was fitted on a data frame, or an example or a signature that "
            f"names its columns; got {type(estimator).__name__} fitted on an array"
        )
    return model


def _check_releases(caught: list[warnings.WarningMessage], *, allowed: bool) -> None:
    """Raise StaleLibraries where the model was trained with another release than is here."""
    stale = [said.message for said in caught if said.category is InconsistentVersionWarning]
    if not stale:
        return
    first: Any = stale[0]
    reason = (
        f"{first.estimator_name} was trained with scikit-learn {first.original_sklearn_version}, "
        f"and here is {first.current_sklearn_version}: its answers may be wrong"
    )
    if allowed:
        logger.warning("stale library: %s", reason)
        return
    raise StaleLibraries(
        f"{reason}; train it with {first.current_sklearn_version}, have the version bring its own "
        f"(requirements: scikit-learn=={first.original_sklearn_version}), or upload it with "
        "allow_stale_libraries where you have compared its answers"
    )


def _read(spec: LoadSpec) -> Any:
    if spec.starts_with(b"PK"):
        return _read_skops(spec)
    if not spec.starts_with(*PICKLE_MAGICS):
        raise ArtifactInvalid(
            f"expected a skops, joblib or pickle file, got one starting {spec.head(8)!r}"
        )
    if not spec.allow_pickle:
        raise pickle_refused()
    return _read_pickle(spec)


def _read_pickle(spec: LoadSpec) -> Any:
    """Map the arrays of an uncompressed file of joblib of 16 MiB or more: replicas share them."""
    if spec.artifact.stat().st_size >= 16 << 20 and spec.starts_with(UNCOMPRESSED):
        with suppress(OSError):  # such as of more arrays than the kernel maps
            return joblib.load(spec.artifact, mmap_mode="c")
    return joblib.load(spec.artifact)


def _read_skops(spec: LoadSpec) -> Any:
    try:
        untrusted = skops.io.get_untrusted_types(file=spec.artifact)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ArtifactInvalid(
            f"expected a skops file, got a broken one: {explain(error)}"
        ) from error
    refused = sorted(set(untrusted) - TRUSTED)
    if refused and not spec.allow_pickle:
        raise types_refused(refused)
    try:
        return skops.io.load(spec.artifact, trusted=untrusted)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ArtifactInvalid(
            f"expected a skops file, got one that can't be read: {explain(error)}"
        ) from error


def _check_fitted(estimator: Any) -> None:
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ArtifactInvalid(f"expected a fitted model, got one that is not: {error}") from error
    except TypeError:
        return  # not an estimator in scikit-learn's sense: it has predict(), which is enough
