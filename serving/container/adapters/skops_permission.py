"""The permission to run code that a scikit-learn artifact takes, found without loading it."""

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving.container.failures.container_errors import ALLOW_PICKLE, PickleRefused, UntrustedTypes

# How pickles (protocol 2 and later) and joblib's compressed ones begin.
UNCOMPRESSED = b"\x80"
PICKLE_MAGICS = (
    UNCOMPRESSED,
    b"\x1f\x8b",  # gzip
    b"\x78",  # zlib
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00\x00",  # lzma
    b"\x04\x22\x4d\x18",  # lz4
)
# Skops trusts some types of these, and none of any other package.
JUDGED_BY_SKOPS = sys.stdlib_module_names | {"numpy", "scipy", "sklearn", "skops"}

# Types in skops files that load without the permission to run code, beside those skops trusts.
# skops constructs what a file names from data: an attacker chooses the types, among those trusted,
# and every value in them. So a type is here only where constructing it, setting its attributes and
# asking it for predictions runs nothing that the file chose. Nothing that calls what it holds is,
# save `partial`, which can hold only what is trusted itself.
#
# Code of C that believes the numbers in its arrays, as much of what skops itself trusts is: a wrong
# index reads or writes elsewhere in the memory of the model's own process.
COMPILED = frozenset(
    {
        # Decision trees, random and extremely random forests, gradient boosting, isolation forests:
        # arrays of nodes. skops makes it with its own constructor, whatever the file says.
        "sklearn.tree._tree.Tree",
        # Gradient boosting on histograms: a Python object of three arrays, read by C.
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        # Nearest neighbours: arrays of points and indexes.
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._kd_tree.KDTree64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._ball_tree.BallTree64",
        # How far two points are apart: constants. That of a Python function isn't here.
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.metrics._dist_metrics.ChebyshevDistance64",
        "sklearn.metrics._dist_metrics.HaversineDistance64",
        # Splines as features: knots and coefficients.
        "scipy.interpolate._bsplines.BSpline",
    }
)
PYTHON = frozenset(
    {
        # Names of kinds of numbers, as imputers and selectors of columns keep them.
        "numpy.dtype",
        "numpy.number",
        # Functions of arrays alone, which return arrays.
        "numpy.mean",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "sklearn.utils.validation.check_array",
        # Used while fitting, and never by a model that is fitted.
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        # Calls a function with arguments of the file's; both have to be trusted themselves.
        "functools.partial",
        # A dictionary whose members are attributes too.
        "sklearn.utils._bunch.Bunch",
        # Arithmetic on arrays that are their attributes.
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
    }
)
TRUSTED = COMPILED | PYTHON


def check_allowed(artifact: Path) -> None:
    """Raise PickleRefused for a pickle, UntrustedTypes for foreign types in a skops file."""
    with artifact.open("rb") as file:
        head = file.read(max(map(len, PICKLE_MAGICS)))
    if head.startswith(PICKLE_MAGICS):
        raise pickle_refused()
    if head.startswith(b"PK"):
        try:
            names = sorted(set(_foreign_types(artifact)) - TRUSTED)
        except (OSError, zipfile.BadZipFile, KeyError, ValueError, RecursionError):
            return
        if names:
            raise types_refused(names)


def pickle_refused() -> PickleRefused:
    return PickleRefused(
        "this artifact is a joblib or pickle file, and loading it runs whatever code it holds: "
        f"save the model with skops.io.dump(model, 'model.skops'), or {ALLOW_PICKLE}"
    )


def types_refused(names: list[str]) -> UntrustedTypes:
    return UntrustedTypes(
        f"this skops file needs types that aren't trusted: {', '.join(names)}; "
        f"use a model without them, or {ALLOW_PICKLE}"
    )


def _foreign_types(artifact: Path) -> Iterator[str]:
    with zipfile.ZipFile(artifact) as packed:
        schema = packed.getinfo("schema.json")
        if schema.file_size > 8 << 20:
            return  # it is left to skops: that of 500 trees takes 0.15 s to read
        nodes: list[Any] = [json.loads(packed.read(schema))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            module, name = node.get("__module__"), node.get("__class__")
            package = module.partition(".")[0] if isinstance(module, str) else ""
            if package and package not in JUDGED_BY_SKOPS:
                yield f"{module}.{name}"
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
