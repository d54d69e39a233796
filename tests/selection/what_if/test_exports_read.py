"""Exported decisions as Vowpal Wabbit and the Open Bandit Pipeline themselves read them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client

from clipper_client.cli.exports import obp_rows, vw_lines
from registry import services
from registry.models import Application
from selection.evaluation.logged import LoggedQuery
from selection.evaluation.offpolicy.estimate import Estimate, Proposal, estimate
from selection.evaluation.offpolicy.evidence import evidence_of
from selection.evaluation.offpolicy.log import Floats, log_of
from tests.frameworks.environments import HERE, REQUIREMENTS, built, too_large
from tests.selection.offpolicy.logs import asked
from tests.selection.what_if.conftest import ARMS, BY, keep

QUERIES = 1000
READ = str(HERE / "exports_read.py")


def queries() -> list[LoggedQuery]:
    """Decisions whose chances are no round numbers, with features that tell what is right."""
    luck = np.random.default_rng(5)
    found = []
    for row in range(QUERIES):
        chances = luck.dirichlet((2.0, 3.0, 4.0))
        arm, feature = int(luck.choice(3, p=chances)), float(luck.uniform(-1.0, 1.0))
        right = luck.random() < 0.5 + (0.4, 0.1, -0.4)[arm] * feature
        found.append(
            asked(
                {ARMS[arm]: float(right)},
                propensity=float(chances[arm]),
                routed=ARMS,
                features=(feature, 1.0 / 3.0),
                context=("", "a b", "c|d:e", "Zürich")[row % 4],
            )
        )
    return found


def decisions() -> list[dict[str, Any]]:
    _, key = services.create_api_key(name="a key", scopes=("manage",), by=BY)
    answer = Client().get(
        "/api/v1/applications/digits/export?kind=decisions",
        headers={"Authorization": f"Api-Key {key}"},
    )
    found: list[dict[str, Any]] = answer.json()["rows"]
    return found


def written(folder: Path, *, told: list[dict[str, Any]], chances: Floats, expected: Floats) -> None:
    """Write what the command does; items as the Open Bandit Dataset has them beside it."""
    (folder / "log.vw").write_text("\n".join("\n".join([*vw_lines(d), ""]) for d in told))
    table = folder / "random/all/all.csv"
    table.parent.mkdir(parents=True)
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(obp_rows(told))
    items = dict.fromkeys(decision["version"] for decision in told)
    with (table.parent / "item_context.csv").open("w", newline="") as file:
        head = ("", "item_id", "item_feature_0", "item_feature_1")
        csv.writer(file).writerows([head, *((k, k, 0.0, arm) for k, arm in enumerate(items))])
    order = [ARMS.index(arm) for arm in items]
    asked_ = {"chances": chances[:, order].tolist(), "expected": expected[:, order].tolist()}
    (folder / "asked.json").write_text(json.dumps(asked_))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(too_large("exports")), reason=too_large("exports"))
def test_they_find_what_we_do(digits: Application, tmp_path: Path) -> None:
    kept = queries()
    keep(digits, kept)
    evidence = evidence_of(log_of(kept, arms=ARMS))
    chances = np.random.default_rng(6).dirichlet((1.0, 1.0, 1.0), size=QUERIES)
    written(tmp_path, told=decisions(), chances=chances, expected=evidence.expected)
    with built((REQUIREMENTS / "exports.txt").read_text()) as python:
        answer = subprocess.run(
            [str(python), READ, str(tmp_path)],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            check=True,
            timeout=300,
        )
    read = json.loads(answer.stdout.splitlines()[-1])

    ours = estimate(evidence, Proposal(chances=chances))
    assert (read["obp"]["rounds"], read["obp"]["items"]) == (QUERIES, len(ARMS))
    context = np.array([query.features for query in kept])
    np.testing.assert_allclose(read["obp"]["context"], context, rtol=1e-12)
    assert read["obp"]["ipw"] == pytest.approx(_reward(ours, "ips"), abs=1e-9)
    assert read["obp"]["dr"] == pytest.approx(_reward(ours, "doubly_robust"), abs=1e-9)

    # The policy that it learned as it went, by the arms that it ranked first, row by row.
    followed = np.eye(len(ARMS))[read["vw"]["asked"]]
    ours = estimate(evidence, Proposal(chances=followed))
    assert read["vw"]["decisions"] == QUERIES
    cost = ours.mean_weight - _reward(ours, "ips")
    assert read["vw"]["cost"] == pytest.approx(cost, abs=1e-5)  # it reckons in single precision
    assert _reward(ours, "ips") > np.mean([query.asked[0].reward for query in kept])


def _reward(found: Estimate, method: str) -> float:
    return float(getattr(found, method).reward)
