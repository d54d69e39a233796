"""MLflow's scoring protocol: `mlflow models serve`, and what speaks like it (`/invocations`)."""

from typing import Any

from serving.container.remote.configuration import RemoteConfiguration
from serving.container.remote.failures import AnsweredError
from serving.container.remote.http_exchange import HttpAnswer
from serving.container.remote.protocols.dialect import (
    Get,
    RemoteBody,
    RemoteInputs,
    decoded_answer,
    part_of,
)

SCORING = "/invocations"


class MlflowScoring:
    """All inputs of a batch in one request; rows with names as a frame."""

    one_by_one = False
    n_features: int | None = None

    def __init__(self, configuration: RemoteConfiguration, input_type: str) -> None:
        path = configuration.place.path.rstrip("/")
        self.path = path if path else SCORING
        self._output = configuration.output

    async def meet(self, get: Get) -> None:
        if not self.path.endswith(SCORING):
            return
        try:
            await get(self.path.removesuffix(SCORING) + "/ping")
        except AnsweredError as error:
            # Those that speak like MLflow needn't have it.
            if error.status not in (403, 404, 405):
                raise

    def body(self, inputs: RemoteInputs) -> RemoteBody:
        are_objects = inputs.raws[0].lstrip().startswith(b"{")
        name = b"dataframe_records" if are_objects else b"inputs"
        return RemoteBody(b'{"%s":[%s]}' % (name, b",".join(inputs.raws)))

    def outputs(self, answer: HttpAnswer, *, count: int) -> Any:
        found = decoded_answer(answer)
        if isinstance(found, dict) and "predictions" in found:
            found = found["predictions"]  # MLflow 1 answered the array alone
        return part_of(found, self._output)
