"""The clients: `AsyncClient` has the methods, and `Client` the same ones, which wait."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, Unpack
from uuid import uuid4

from clipper_client.answers import (
    Answer,
    FeedbackResult,
    Log,
    Release,
    Rollout,
    Status,
    answers_in,
    feedback_item,
    known_as,
    parsed,
    warn,
)
from clipper_client.clipper_error import ClipperError
from clipper_client.inputs import bodies_of, encoded, pieces_of, plain
from clipper_client.operations import exporting, open_rollouts, releases
from clipper_client.operations.bulk_scoring import Scoring
from clipper_client.operations.deploying import Deployment
from clipper_client.options import (
    UNSET,
    DeployOptions,
    Moment,
    PlanOptions,
    QueryOptions,
    ReplayOptions,
    ScoringOptions,
    application_path,
    given,
    model_path,
)
from clipper_client.transport.blocking import Blocking, blocking, iterating
from clipper_client.transport.remote_server import Address, AsyncServer, BlockingServer, Server, run
from clipper_client.transport.session import AsyncSession, Session

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient:
    """Asks Clipper, and manages what it serves. Tasks of one event loop may share one.

    A request takes `timeout` seconds at most, and is sent again up to `retries` times if the
    server is busy or out of reach. Close the client, or use `async with`.
    """

    _over: ClassVar[type[Server]] = AsyncServer

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 4,
    ) -> None:
        self.address = Address(url, key=key)
        self._server = self._over(self.address, timeout_s=timeout, retries=retries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._server.close()

    async def predict(self, app: str, row: Any, **options: Unpack[QueryOptions]) -> Answer:
        """Ask an application about one input. For the options see QueryOptions."""
        body = encoded({"input": plain(row), **given(options)})
        found = await self._server.json("POST", application_path(app, "predict"), body=body)
        return known_as(parsed(Answer, found), application=app)

    async def predict_batch(
        self, app: str, rows: Any, **options: Unpack[QueryOptions]
    ) -> list[Answer]:
        """Ask about many inputs; answers come in order, and one that failed has its `error`."""
        answers: list[Answer] = []
        for piece in pieces_of(rows, size=5_000):  # the server takes 10,000 in one request
            for body in bodies_of(piece, options=given(options)):
                path = application_path(app, "predict")
                response = await self._server.ask("POST", path, body=body)
                answers += answers_in(response.content, application=app)
        return answers

    async def feedback(
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

        `metrics` teach nothing. `app` is needed with `row`, an input that nobody has asked about,
        or if the query id isn't of this client's answers. Raises ClipperError if it is rejected.
        """
        item = feedback_item(
            query_id, label=label, reward=reward, rewards=rewards, metrics=metrics, context=context
        )
        if row is not UNSET:
            item["input"] = plain(row)
        asked = query_id.query_id if isinstance(query_id, Answer) else query_id
        name = app or getattr(asked, "application", None)
        if name is None:
            raise ValueError("Expected app=, the application that was asked: this id has none.")
        result = await self.feedback_batch(name, [item])
        if result.rejected:
            first = result.rejected[0]
            raise ClipperError(first.error, code=first.code)
        if result.duplicates:
            text = "This query had feedback already: the first piece counts."
            warn([text], blocks=self._server.blocks)
        return result

    async def feedback_batch(self, app: str, items: Iterable[Mapping[str, Any]]) -> FeedbackResult:
        """Give many pieces of feedback as the server takes them; the rejected are listed."""
        # By its key a labelled input counts once, however often it is sent, as a query by its id.
        listed = [
            item if "query_id" in item else {"idempotency_key": uuid4().hex, **item}
            for item in items
        ]
        if not listed:
            return FeedbackResult()
        body = encoded({"feedback": listed})
        found = await self._server.json("POST", application_path(app, "feedback"), body=body)
        result: FeedbackResult = parsed(FeedbackResult, found)
        return result

    async def export(
        self,
        app: str,
        *,
        since: Moment = None,
        until: Moment = None,
        versions: str | Iterable[str] = (),
        kinds: str | Iterable[str] = "feedback",
        frame: bool = True,
    ) -> Any:
        """Return what is stored of an application as a DataFrame, or as a list of dicts.

        Rows came from `since` on and before `until` (a time, a timedelta or `"7d"` ago). `kinds` is
        one or several of feedback, decisions, joined (captured queries with their labels) and
        predictions.
        """
        span: dict[str, Any] = {"since": since, "until": until, "versions": versions}
        return await exporting.export(self._server, app, kinds=kinds, frame=frame, **span)

    async def plan(self, app: str, **options: Unpack[PlanOptions]) -> dict[str, Any]:
        """Return how long an A/B test takes to show a gain. For the options see PlanOptions."""
        params = {name: str(value) for name, value in given(options).items()}
        path = application_path(app, "plan")
        found: dict[str, Any] = await self._server.json("GET", path, params=params)
        return found

    async def score(self, app: str, rows: Any, **options: Unpack[ScoringOptions]) -> list[Any]:
        """Return the outputs for any number of rows, in order. Raises `rows_failed` in the end."""
        scoring = Scoring(self._server, app, rows, **options)
        outputs: list[Any] = []
        async with aclosing(scoring.parts()) as parts:
            async for part in parts:
                outputs += part
        scoring.check()
        return outputs

    async def score_each(
        self, app: str, rows: Any, **options: Unpack[ScoringOptions]
    ) -> AsyncGenerator[Any]:
        """Yield what `score` returns, as it comes. Raises at the first row that failed."""
        scoring = Scoring(self._server, app, rows, **options)
        async with aclosing(scoring.parts()) as parts:
            async for part in parts:
                for output in part:
                    if isinstance(output, ClipperError):
                        scoring.check()
                    yield output

    def session(self, app: str) -> AsyncSession:
        return AsyncSession(app, server=self._server)

    async def deploy(self, name: str, model: Any, **options: Unpack[DeployOptions]) -> Release:
        """Make a model in memory, a file or a folder live. For the options see DeployOptions."""
        release = await Deployment(server=self._server, name=name, model=model, **options).done()
        warn(release.named_warnings, blocks=self._server.blocks)
        return release

    async def rollback(
        self, name: str, *, to: str | None = None, reason: str = "", wait: bool | float = True
    ) -> Release:
        """Make the version before, or `to`, live again."""
        body = given({"reason": reason, "to": to})
        path = model_path(name, "rollback")
        release = await releases.released(self._server, path, body=body, wait=wait)
        warn(release.named_warnings, blocks=self._server.blocks)
        return release

    async def rollout(self, name: str, number: int | None = None) -> Rollout:
        """Return a rollout of a model: how far it is, and what its gates have found."""
        return await open_rollouts.rollout_of(self._server, name, number)

    async def act_on_rollout(
        self, name: str, action: str, *, number: int | None = None, reason: str = ""
    ) -> Rollout:
        """Pause, resume, promote or abort the newest rollout of a model, or this one."""
        return await open_rollouts.act_on(self._server, name, action, number=number, reason=reason)

    async def replay(
        self, name: str, version: str, *, wait: bool = True, **rows: Unpack[ReplayOptions]
    ) -> dict[str, Any]:
        """Ask a version about captured queries again. For the rows see ReplayOptions.

        The result has its agreement with the live version, the gain in reward, and what changed.
        """
        return await open_rollouts.replayed(
            self._server, name, version, rows=given(rows), wait=wait
        )

    async def wait_for_rollout(
        self, name: str, number: int | None = None, *, within_s: float | None = None
    ) -> Rollout:
        """Wait until a rollout has ended, or stays held for half a minute."""
        return await open_rollouts.waited_for(self._server, name, number=number, within_s=within_s)

    async def scale(
        self, name: str, replicas: int, *, version: str | None = None
    ) -> dict[str, Any]:
        body = encoded(given({"replicas": replicas, "version": version}))
        found: dict[str, Any] = await self._server.json(
            "POST", model_path(name, "scale"), body=body
        )
        return found

    async def status(self) -> Status:
        lists = ("applications", "models", "replicas")
        found = {name: await releases.listed(self._server, name) for name in lists}
        found["rollouts"] = await open_rollouts.open_ones(self._server, found["models"])
        status: Status = parsed(Status, found)
        return status

    async def logs(self, name: str, *, version: str | None = None, lines: int = 200) -> Log:
        """Return the log of the replica of a version (the live one) that wrote last."""
        version = version or await releases.live_version(self._server, name)
        path = model_path(name, "versions", version, "log")
        log: Log = parsed(Log, await self._server.json("GET", path, params={"lines": str(lines)}))
        return log

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        extra_time_s: float = 0.0,
    ) -> Any:
        """Ask any endpoint under /api/v1/; return its JSON, None if there is no body."""
        return await self._server.json(
            method,
            path if path.startswith("/") else f"/api/v1/{path}",
            body=None if body is None else encoded(body),
            params=params,
            extra_time_s=extra_time_s,
            repeatable=method in ("GET", "PUT", "DELETE"),
        )

    async def run(
        self,
        operation: Callable[Concatenate[Server, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return the result of an operation over this client's server."""
        return await operation(self._server, *args, **kwargs)


class _OverBlocking(AsyncClient):
    _over = BlockingServer


class Client(Blocking[AsyncClient]):
    """The client whose methods wait. Threads may share one; close it, or use `with`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 4,
    ) -> None:
        super().__init__(_OverBlocking(url, key, timeout=timeout, retries=retries))
        self.address = self._awaited.address

    close = blocking(AsyncClient.close)
    predict = blocking(AsyncClient.predict)
    predict_batch = blocking(AsyncClient.predict_batch)
    feedback = blocking(AsyncClient.feedback)
    feedback_batch = blocking(AsyncClient.feedback_batch)
    export = blocking(AsyncClient.export)
    plan = blocking(AsyncClient.plan)
    score = blocking(AsyncClient.score)
    score_each = iterating(AsyncClient.score_each)
    deploy = blocking(AsyncClient.deploy)
    rollback = blocking(AsyncClient.rollback)
    replay = blocking(AsyncClient.replay)
    rollout = blocking(AsyncClient.rollout)
    act_on_rollout = blocking(AsyncClient.act_on_rollout)
    wait_for_rollout = blocking(AsyncClient.wait_for_rollout)
    scale = blocking(AsyncClient.scale)
    status = blocking(AsyncClient.status)
    logs = blocking(AsyncClient.logs)
    request = blocking(AsyncClient.request)

    def session(self, app: str) -> Session:
        return Session(self._awaited.session(app))

    def run(
        self,
        operation: Callable[Concatenate[Server, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return the result of an operation over this client's server."""
        return run(self._awaited.run(operation, *args, **kwargs))
