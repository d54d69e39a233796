"""Any JSON over HTTP: a body with a place for the input, and where in the answer the output is."""

from typing import Any

import msgspec

from serving.container.remote.configuration import INPUT, INPUTS, RemoteConfiguration
from serving.container.remote.http_exchange import HttpAnswer
from serving.container.remote.protocols.dialect import (
    Get,
    RemoteBody,
    RemoteInputs,
    decoded_answer,
    part_of,
)


class JsonTemplate:
    """`"$inputs"` in the template is the array of a batch's inputs, `"$input"` one of them."""

    n_features: int | None = None

    def __init__(self, configuration: RemoteConfiguration, input_type: str = "json") -> None:
        self.path = configuration.place.path
        self._output = configuration.output
        template, place = msgspec.json.encode(configuration.template), msgspec.json.encode(INPUTS)
        self.one_by_one = place not in template
        if self.one_by_one:
            place = msgspec.json.encode(INPUT)
        self._before, _, self._after = template.partition(place)

    async def meet(self, get: Get) -> None:
        """There is nothing to ask that every such server would know."""

    def body(self, inputs: RemoteInputs) -> RemoteBody:
        given = inputs.raws[0] if self.one_by_one else b"[" + b",".join(inputs.raws) + b"]"
        return RemoteBody(self._before + given + self._after)

    def outputs(self, answer: HttpAnswer, *, count: int) -> Any:
        found = part_of(decoded_answer(answer), self._output)
        return [found] if self.one_by_one else found
