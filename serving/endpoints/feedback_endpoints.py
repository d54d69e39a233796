"""POST feedback and update, GET selection: what an application has learned, and from what."""

from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

import msgspec

from core.errors import BadRequest, ClipperError
from core.specs import FEEDBACK, PREDICT, ApplicationSpec
from selection.feedback.events import FeedbackItem, FeedbackResult, parse_feedback, parse_update
from selection.store.redis_keys import GLOBAL_CONTEXT
from serving.endpoints.key_access import application_of
from serving.endpoints.predictions.predict_request import check_context
from serving.http.asgi import (
    Endpoint,
    Receive,
    Scope,
    Send,
    endpoint,
    read_body,
    require_method,
    send_body,
)
from serving.web.runtime import Runtime

Parse = Callable[[bytes], Sequence[FeedbackItem | ClipperError]]

_json = msgspec.json.Encoder().encode


def feedback_endpoint(runtime: Runtime, *, parse: Parse = parse_feedback) -> Endpoint:
    """Return the ASGI callable for `.../{app}/feedback`."""

    @endpoint
    async def feedback(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "POST")
        application = await application_of(runtime, scope, needs=FEEDBACK)
        body = await read_body(scope, receive, limit=runtime.spec.max_body_bytes)
        await send_body(send, _json(await submit(runtime, application, parse(body))))

    return feedback


def update_endpoint(runtime: Runtime) -> Endpoint:
    """Return the ASGI callable for Clipper's own `/{app}/update`."""
    return feedback_endpoint(runtime, parse=lambda body: [parse_update(body)])


def selection_endpoint(runtime: Runtime) -> Endpoint:
    """Return the ASGI callable for `.../{app}/selection?context=`; resets are the console's."""

    @endpoint
    async def selection(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "DELETE")
        application = await application_of(runtime, scope, needs=PREDICT)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        unknown = sorted(query.keys() - {"context"})
        if unknown:
            raise BadRequest(f"Expected only the parameter context, got {', '.join(unknown)}.")
        context = query.get("context", [GLOBAL_CONTEXT])[0]
        check_context(context)
        described = await runtime.store.describe(
            application,
            context=context,
            arms=runtime.router.arms(application).weights,
        )
        await send_body(send, _json(described))

    return selection


async def submit(
    runtime: Runtime, application: ApplicationSpec, items: Sequence[FeedbackItem | ClipperError]
) -> FeedbackResult:
    arms = runtime.router.arms(application)
    return await runtime.feedback.submit(
        application,
        items,
        arms=arms.weights,
        predict_arms=runtime.processor.answers_of_all_arms,
        costs={arm: target.version.cost for arm, target in arms.targets.items()},
    )
