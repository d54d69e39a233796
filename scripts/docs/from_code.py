"""Errors, metrics, policies and runtimes as tables, from what defines them in the code."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import selection.policies  # noqa: F401  (defines an error of its own)
from core.errors import ClipperError
from registry.releases.control import Slots
from registry.releases.restarts import Restarts
from scripts.docs.markdown_tables import code, codes, first_sentence, table
from selection.policies import POLICIES
from selection.policies.policy import Parameter
from serving.container.runtimes import RUNTIMES, place_of
from serving.engine.stats import VersionStats
from serving.metrics.exposition import exposition
from serving.metrics.published import Metrics, Reading

LAYERS = ("core", "registry", "selection", "serving", "console", "clipper_site")


def family(error: type[ClipperError] = ClipperError) -> Iterator[type[ClipperError]]:
    """Yield every error that callers can see, the general ones before the special ones."""
    yield error
    for derived in error.__subclasses__():
        if derived.__module__.partition(".")[0] in LAYERS:
            yield from family(derived)


def errors() -> str:
    # Of errors that share a code callers can't tell one from the other: the general one stands.
    by_code = {error.code: error for error in reversed(list(family()))}
    ordered = sorted(by_code.values(), key=lambda error: (error.status, error.code))
    rows = [
        [
            str(error.status),
            code(error.code),
            first_sentence(error.__doc__),
            "yes" if error.retry_after_s is not None else "",
        ]
        for error in ordered
    ]
    return table(["status", "code", "what is wrong", "`Retry-After`"], rows)


def metric_families() -> list[Metric]:
    """Return every metric as Prometheus reads it, each with one sample at least."""
    counted = Metrics(process_id="web", pid=1)
    counted.refusals["unread"] += 1
    application = counted.of_application("digits")
    application.record((), seconds=0.01, slo_ms=50.0)
    application.count_arms(["svm:1"], [None])
    document = counted.document(
        at=0.0, now=0.0, rss_bytes=1, versions={"svm:1": Reading(VersionStats(misses=1), 0, 0)}
    )
    restarts = {"svm:1": Restarts(by_host={"host": 1}, last=())}
    health = {"digits": {"silence": False}}
    text = exposition(
        [document],
        control_age_s=0.0,
        restarts=restarts,
        health=health,
        slots={"cpu": Slots(total=1)},
    ).decode()
    return [f for f in text_string_to_metric_families(text) if f.name.startswith("clipper_")]


def metrics(about: str) -> str:
    """Return the metrics `clipper_{about}_*`; of `process`, all that no other table has."""
    return "\n".join(
        f"- {code(name)} ({metric.type}): {metric.documentation}{_by(metric)}"
        for name, metric in named_metrics().items()
        if _about(name) == about
    )


def named_metrics() -> dict[str, Metric]:
    """Return every metric by its name, a counter with its suffix."""
    suffix = {"counter": "_total"}
    return {m.name + suffix.get(m.type, ""): m for m in metric_families()}


def _about(name: str) -> str:
    about = name.split("_")[1]
    return about if about in ("application", "arm", "version") else "process"


def _by(metric: Metric) -> str:
    """Return the labels beside those of its table."""
    found = {label for sample in metric.samples for label in sample.labels}
    others = sorted(found - {"le", "process", "application", "version"})
    return f", by {codes(others)}" if others else ""


def policies() -> str:
    rows = [
        [code(policy.name), policy.summary, codes(p.name for p in policy.parameters) or "none"]
        for policy in POLICIES.values()
    ]
    return table(["policy", "what it does", "parameters"], rows)


def parameters() -> str:
    takers: dict[Parameter, list[str]] = {}
    for policy in POLICIES.values():
        for parameter in policy.parameters:
            takers.setdefault(parameter, []).append(policy.name)
    rows = [
        [
            code(parameter.name),
            codes(policies),
            f"{parameter.default:g}",
            f"{parameter.low:g} to {parameter.high:g}",
            parameter.meaning,
        ]
        for parameter, policies in takers.items()
    ]
    return table(["parameter", "of", "default", "range", "meaning"], rows)


def runtimes() -> str:
    rows = [
        [
            code(name),
            _opening(place_of(name).partition(":")[0]),
            codes(runtime.methods),
            "no" if runtime.data_only else "yes",
            runtime.needs,
        ]
        for name, runtime in RUNTIMES.items()
    ]
    head = ["runtime", "what it serves", "`method`", "runs code of the artifact", "what it needs"]
    return table(head, rows)


def _opening(module: str) -> str:
    """Return the first sentence of a module, unread: it may need what isn't installed here."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return first_sentence(ast.get_docstring(ast.parse(Path(spec.origin).read_text())))
