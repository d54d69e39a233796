"""What the queries of one web process share: whom they ask with, and where they leave word."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from core.loop.turns import Turns
from core.specs import ApplicationSpec
from selection.answers.imputation import Averages
from selection.feedback.default_rewards.due import DueReceipts
from selection.receipts import ReceiptSigner
from selection.store.outputs import OutputStore
from selection.store.state import SelectionStore
from serving.engine.engine import Engine
from serving.engine.gather import CallOptions, Gather
from serving.metrics.published import Metrics
from serving.query.large_batches import LargeBatches
from serving.query.routing import Router, Target
from serving.query.second_opinions import OpinionBound


class QueryResources:
    """The engine, selection's stores, the signer of receipts, and the counts."""

    def __init__(
        self,
        *,
        engine: Engine,
        router: Router,
        store: SelectionStore,
        outputs: OutputStore,
        due: DueReceipts,
        signer: ReceiptSigner,
        metrics: Metrics,
    ) -> None:
        self.engine = engine
        self.router = router
        self.store = store
        self.outputs = outputs
        self.due = due
        self.averages = Averages()
        self.signer = signer
        self.metrics = metrics
        self.turns = Turns()
        self.large_batches = LargeBatches()
        self._opinions: dict[int, OpinionBound] = {}

    def opinions(self, application: ApplicationSpec) -> OpinionBound:
        """Return what is left to the application of second opinions."""
        bound = self._opinions.get(application.id)
        if bound is None:
            bound = self._opinions[application.id] = OpinionBound()
        return bound

    def ask(
        self,
        gather: Gather,
        *,
        targets: Mapping[str, Target],
        names: tuple[str, ...],
        input: bytes,
        by: float,
        options: CallOptions,
        first: int = 0,
    ) -> None:
        """Ask the arms of these names, whose answers take the places from `first` on."""
        digest = sha256(input).digest() if options.cached else None
        # Asked of the engine itself: a method that is looked up before costs compiled code a call
        # by names, for each arm.
        engine = self.engine
        now = engine.clock()
        for index, name in enumerate(names, start=first):
            target = targets[name]
            engine.ask(
                target.version,
                key=None if digest is None else target.key_prefix + digest,
                input=input,
                deadline=by,
                gather=gather,
                index=index,
                options=options,
                asked_at=now,
            )
