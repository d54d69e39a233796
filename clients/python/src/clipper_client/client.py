"""The plain client: each method waits for its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future, wait
from contextlib import closing
from threading import Thread
from time import sleep
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from clipper_client.answers import Answer, FeedbackResult, Log, Release, Status, warned
from clipper_client.errors import ClipperError
from clipper_client.operations import exporting, management, predictions
from clipper_client.operations.deploying import deployment_of
from clipper_client.operations.options import (
    UNSET,
    DeployOptions,
    ExportOptions,
    QueryOptions,
    ScoringOptions,
)
from clipper_client.operations.scoring import Scoring
from clipper_client.retries import RetryPolicy
from clipper_client.session import Session
from clipper_client.steps import InOrder, Operation, Pause, Request, Response, Step, Work
from clipper_client.wire import Address, failures_told, opened, received, sent_by

T = TypeVar("T")


class Client:
    """Asks Clipper, and manages what it serves. Threads may share one.

    `url` and `key` are by default those of CLIPPER_URL and CLIPPER_KEY. Each request may take
    `timeout` seconds, and is sent again up to `retries` times where the server is busy or out of
    reach. Connections are kept: use one client for many requests, and close it, or use `with`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 4,
    ) -> None:
        self.address = Address(url, key=key)
        self._timeout_s = timeout
        self._policy = RetryPolicy(retries=retries)
        self._http = httpx.Client(base_url=self.address.url, headers=self.address.headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- Predictions --------------------------------------------------------------------------

    def predict(self, app: str, row: Any, **options: Unpack[QueryOptions]) -> Answer:
        """Ask an application about one input: a list, dict, array, row of a frame, text or bytes.

        NaN is sent as null. For the options see QueryOptions.
        """
        asked = predictions.predict(app, row, options=options, policy=self._policy)
        return self.run(asked)

    def predict_batch(self, app: str, rows: Any, **options: Unpack[QueryOptions]) -> list[Answer]:
        """Ask about many inputs; answers come in order, and one that failed has its `error`."""
        asked = predictions.predict_batch(app, rows, options=options, policy=self._policy)
        return self.run(asked)

    def feedback(
        self,
        query_id: str | Answer | None = None,
        *,
        label: Any = UNSET,
        reward: float | None = None,
        rewards: Mapping[str, float] | None = None,
        metrics: Mapping[str, float] | None = None,
        row: Any = UNSET,
        context: str | None = None,
        app: str | None = None,
    ) -> FeedbackResult:
        """Say what was right (`label`), or how good the answer was (`reward`, 0 to 1).

        `metrics` are further numbers from 0 to 1 by their names, which teach nothing.
        The first piece about a query counts; a second one changes nothing, and warns of that.
        `app` is needed where the query id comes from elsewhere than this client's answers, and
        with `row`, a labelled input that nobody has asked about. Raises where it is rejected.
        """
        told = predictions.feedback(
            query_id,
            label=label,
            reward=reward,
            rewards=rewards,
            metrics=metrics,
            row=row,
            context=context,
            app=app,
            policy=self._policy,
        )
        result: FeedbackResult = warned(self.run(told))
        return result

    def feedback_batch(self, app: str, items: Iterable[Mapping[str, Any]]) -> FeedbackResult:
        """Give many pieces of feedback as the server takes them; the rejected are told."""
        return self.run(predictions.feedback_of_many(app, items, policy=self._policy))

    def export(self, app: str, **options: Unpack[ExportOptions]) -> Any:
        """Return what is stored of an application as a DataFrame: feedback, if nothing is said.

        For the options see ExportOptions. All rows are held in memory.
        """
        return self.run(exporting.export(app, policy=self._policy, **options))

    def score(self, app: str, rows: Any, **options: Unpack[ScoringOptions]) -> list[Any]:
        """Return a model's output for each of any number of rows, in order.

        Unlike a prediction it isn't bound to the objective, waits behind queries, and leaves no
        receipt. Where rows fail it raises: at once if all of the first ones do, else at the end.
        With `errors="keep"` a row that failed has its ClipperError as output.
        """
        scored = Scoring(app, rows, policy=self._policy, **options)
        outputs: list[Any] = []
        with closing(self.in_order(scored.requests())) as parts, scored:
            for part in parts:
                outputs += scored.take(part)
        scored.check()
        return outputs

    def score_each(self, app: str, rows: Any, **options: Unpack[ScoringOptions]) -> Generator[Any]:
        """Yield what `score` returns, as it comes: neither rows nor outputs are kept.

        Raises at the first row that failed, unless errors are kept.
        """
        scored = Scoring(app, rows, policy=self._policy, **options)
        with closing(self.in_order(scored.requests())) as parts, scored:
            for part in parts:
                yield from scored.each(part)

    def session(self, app: str) -> Session:
        """Open a websocket to an application: less overhead for many small questions."""
        return Session(app, address=self.address, timeout_s=self._timeout_s)

    # --- Models -------------------------------------------------------------------------------

    def deploy(self, name: str, model: Any, **options: Unpack[DeployOptions]) -> Release:
        """Make an estimator in memory, or a file or folder, the live version of a model.

        Makes the model, its next version and the application `app` where they are missing. Raises
        with the server's reason where the version doesn't go live. For the options see
        DeployOptions.
        """
        deployment = deployment_of(name, model, options=options)
        release: Release = warned(self.run(deployment.operation(policy=self._policy)))
        return release

    def rollback(
        self, name: str, *, to: str | None = None, reason: str = "", wait: bool | float = True
    ) -> Release:
        """Make the version before, or `to`, live again."""
        release: Release = warned(
            self.run(
                management.rollback(name, to=to, reason=reason, wait=wait, policy=self._policy)
            )
        )
        return release

    def scale(self, name: str, replicas: int, *, version: str | None = None) -> dict[str, Any]:
        """Set how many replicas serve the live version, or `version`."""
        return self.run(
            management.scale(name, replicas=replicas, version=version, policy=self._policy)
        )

    def status(self) -> Status:
        """Return what there is: applications, models and live replicas."""
        return self.run(management.status(policy=self._policy))

    def logs(self, name: str, *, version: str | None = None, lines: int = 200) -> Log:
        """Return what the replica of a version (the live one) wrote that wrote last."""
        return self.run(management.logs(name, version=version, lines=lines, policy=self._policy))

    # --- Anything else ------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        extra_time_s: float = 0.0,
    ) -> Any:
        """Ask any endpoint under /api/v1/; returns its JSON, None where there is no body.

        `extra_time_s` is what the answer may take beyond the client's `timeout`.
        """
        return self.run(
            management.request(
                method,
                path,
                body=body,
                params=params,
                extra_time_s=extra_time_s,
                policy=self._policy,
            )
        )

    def run(self, operation: Operation[T]) -> T:
        """Take an operation's steps one by one, and return its result."""
        try:
            step = next(operation)
            while True:
                try:
                    reply = self._take(step)
                except ClipperError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            operation.close()

    def in_order(self, many: InOrder) -> Generator[Any]:
        """Run many operations, a few at once, and yield their results in order.

        None goes on after the end, unless that is Ctrl-C: whoever types it waits for no answer.
        """
        running: deque[Future[Any]] = deque()
        try:
            for operation in many.operations:
                running.append(self._begun(operation))
                if len(running) >= many.at_once:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except KeyboardInterrupt:
            running.clear()
            raise
        finally:
            wait(running)

    def _begun(self, operation: Operation[T]) -> Future[T]:
        """Run an operation in a thread that a program which ends doesn't wait for."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(self.run(operation))
            except BaseException as error:  # noqa: BLE001 - for whoever takes the result
                result.set_exception(error)

        Thread(target=run, name="clipper", daemon=True).start()
        return result

    def _take(self, step: Step) -> Any:
        if isinstance(step, Request):
            return self._send(step)
        if isinstance(step, Pause):
            return sleep(step.seconds)
        assert isinstance(step, Work)  # noqa: S101
        return step.call()

    def _send(self, request: Request) -> Response:
        with failures_told(self.address), opened(request.upload) as files:
            arguments = sent_by(request, timeout_s=self._timeout_s) | files
            return received(self._http.request(**arguments), address=self.address)

    def __repr__(self) -> str:
        return f"Client({self.address})"
