"""MLflow's scoring protocol: `mlflow models serve`, and what speaks like it (`/invocations`)."""

from typing import Any

import msgspec

from serving.container.remote.configuration import RemoteConfiguration
from serving.container.remote.exchange import HttpAnswer
from serving.container.remote.failures import AnsweredError
from serving.container.remote.protocols.base import (
    Get,
    RemoteBody,
    RemoteInputs,
    decoded_answer,
    part_of,
)

SCORING = "/invocations"
# Those that speak like MLflow needn't have it.
NOT_THERE = (403, 404, 405)


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
            if error.status not in NOT_THERE:
                raise

    def body(self, inputs: RemoteInputs) -> RemoteBody:
        if inputs.raws[0].lstrip().startswith(b"{"):
            return RemoteBody(msgspec.json.encode(_framed(inputs)))
        return RemoteBody(b'{"inputs":[' + b",".join(inputs.raws) + b"]}")

    def outputs(self, answer: HttpAnswer, *, count: int) -> Any:
        found = decoded_answer(answer)
        if isinstance(found, dict) and "predictions" in found:
            found = found["predictions"]  # MLflow 1 answered the array alone
        return part_of(found, self._output)


def _framed(inputs: RemoteInputs) -> dict[str, Any]:
    """A frame: by columns where all rows have the same, else row by row."""
    rows = [msgspec.json.decode(raw) for raw in inputs.raws]
    names = list(rows[0])
    if all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        values = [[row[name] for name in names] for row in rows]
        return {"dataframe_split": {"columns": names, "data": values}}
    return {"dataframe_records": rows}
