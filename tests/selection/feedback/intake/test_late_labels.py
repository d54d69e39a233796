"""A label of a query from before a deploy costs the new version nothing that it inherited."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.specs import ApplicationSpec
from selection.policies.arithmetic.sums import State, Update, join, learn_in
from selection.receipts import ArmRecord
from selection.store.selection_store import SelectionStore
from serving.testing import application_spec
from tests.selection.caller import Caller
from tests.selection.updates import learned, updates

BEFORE = {"svm:1": 1.0, "knn:1": 1.0}
AFTER = {"svm:2": 1.0, "knn:1": 1.0}
RIGHT, WRONG = b"7", b"1"


async def label(
    caller: Caller,
    application: ApplicationSpec,
    *,
    routed: dict[str, float],
    of: str,
    context: str = "",
) -> None:
    """Give a label on a query that asked one arm: the SVMs are right, the others wrong."""
    output = RIGHT if of.startswith("svm") else WRONG
    asked = (ArmRecord(of, 0.5, output),)
    item = caller.label(RIGHT, records=asked, context=context)
    result = await caller.send(item, application=application, arms=routed)
    assert result.accepted == 1


@pytest.mark.parametrize("context", ["", "ann"])
@pytest.mark.parametrize(
    ("policy", "least"), [("epsilon_greedy", 0.95), ("thompson", 0.9), ("exp3", 0.9)]
)
async def test_a_new_version_keeps_the_chance_that_it_inherited(
    caller: Caller, store: SelectionStore, policy: str, least: float, context: str
) -> None:
    application = application_spec(policy=policy)
    for _ in range(40):
        for arm in BEFORE:
            await label(caller, application, routed=BEFORE, of=arm, context=context)
    inherited = store.peek(application, context=context, arms=AFTER).probabilities["svm:2"]
    assert inherited >= least
    await label(caller, application, routed=AFTER, of="svm:1", context=context)
    kept = store.peek(application, context=context, arms=AFTER).probabilities["svm:2"]
    assert kept == pytest.approx(inherited, abs=0.01)


@given(st.lists(updates(), max_size=6), updates())
def test_labels_of_arms_that_are_not_routed_only_let_the_others_fade(
    before: list[tuple[str, Update]], last: tuple[str, Update]
) -> None:
    states = learned(before)
    context, late = last
    state = states.get(context, State())
    after = learn_in(context, late, states=states)[context]
    for statistic, deltas in late.deltas.items():
        if statistic.everybody and context:
            continue
        chosen_from = join(state, late.routed, statistic=statistic, warm_start=late.warm_start)
        for arm, vector in chosen_from.items():
            if arm not in deltas:
                keeps = statistic.keeps or (late.keep,) * statistic.width
                fading = statistic.width - statistic.by_arm
                still = (*keeps[:fading], *(1.0,) * statistic.by_arm)
                faded = tuple(x * k + 0.0 for x, k in zip(vector, still, strict=True))
                assert after.of(statistic)[arm] == (vector if fading == 0 else faded)
