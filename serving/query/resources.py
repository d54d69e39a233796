"""Parts of a web process that its queries share."""

from collections import defaultdict
from dataclasses import dataclass, field

from core.loop.loop_slices import Turns
from selection.answers.imputation import Averages
from selection.feedback.default_rewards.due_receipts import DueReceipts
from selection.receipts import ReceiptSigner
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.engine.engine import Engine
from serving.metrics.published import Metrics
from serving.query.large_batches import LargeBatches
from serving.query.other_arms import OpinionBound
from serving.query.routing import Router


@dataclass(slots=True, kw_only=True)
class QueryResources:
    """The engine, selection's stores, the signer of receipts, and the counts."""

    engine: Engine
    router: Router
    store: SelectionStore
    outputs: OutputStore
    due: DueReceipts
    signer: ReceiptSigner
    metrics: Metrics
    averages: Averages = field(default_factory=Averages)
    turns: Turns = field(default_factory=Turns)
    large_batches: LargeBatches = field(default_factory=LargeBatches)
    opinions: defaultdict[int, OpinionBound] = field(
        default_factory=lambda: defaultdict(OpinionBound)
    )
