"""Reads exported decisions with the programs that they are for, in those programs' environment.

`python exports_read.py FOLDER` reads `log.vw`, `random/all/all.csv` with its `item_context.csv`,
and `asked.json`: `chances` and `expected` rewards of each row and item. It prints what they found.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


def by_vowpal_wabbit(folder: Path) -> dict[str, Any]:
    """Have it learn a policy as it goes, and say what that costs and which arms it asks."""
    predicted = folder / "predicted"
    options = f"--cb_adf --cb_type ips -q fa -d {folder / 'log.vw'} -p {predicted} --quiet"
    vw = import_module("vowpalwabbit").Workspace(options)
    vw.run_parser()
    cost, count = vw.get_sum_loss(), vw.get_weighted_examples()
    vw.finish()
    rankings = [line for line in predicted.read_text().splitlines() if line]
    first = [int(line.partition(",")[0].partition(":")[0]) for line in rankings]
    return {"cost": cost / count, "decisions": count, "asked": first}


def by_open_bandit(folder: Path) -> dict[str, Any]:
    """Have it estimate what the policy would have earned."""
    loading, ope = import_module("obp.dataset"), import_module("obp.ope")
    dataset = loading.OpenBanditDataset(behavior_policy="random", campaign="all", data_path=folder)
    feedback = dataset.obtain_batch_bandit_feedback()
    asked = json.loads((folder / "asked.json").read_text())
    evaluation = ope.OffPolicyEvaluation(
        bandit_feedback=feedback,
        ope_estimators=[ope.InverseProbabilityWeighting(), ope.DoublyRobust()],
    )
    found = evaluation.estimate_policy_values(
        action_dist=np.array(asked["chances"])[:, :, None],
        estimated_rewards_by_reg_model=np.array(asked["expected"])[:, :, None],
    )
    return {
        **{name: float(value) for name, value in found.items()},
        "rounds": int(feedback["n_rounds"]),
        "items": int(feedback["n_actions"]),
        "context": np.asarray(feedback["context"], dtype=float).tolist(),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of pandas, about what obp asks of it
    where = Path(sys.argv[1])
    print(json.dumps({"vw": by_vowpal_wabbit(where), "obp": by_open_bandit(where)}))
