"""OpenAI-style endpoints, by the end of the URL's path: text from text, or embeddings."""

from typing import Any

import msgspec

from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.remote.configuration import (
    INPUT,
    INPUTS,
    RemoteConfiguration,
    places_in,
)
from serving.container.remote.failures import BrokenAnswer
from serving.container.remote.http_exchange import HttpAnswer
from serving.container.remote.protocols.dialect import Dialect, decoded_answer, part_of
from serving.container.remote.protocols.template import JsonTemplate

TAKEN = ("strings", "json")
CHAT, COMPLETIONS, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"


def openai_dialect(configuration: RemoteConfiguration, input_type: str) -> Dialect:
    """Inputs are texts or, of a chat that takes `json`, arrays of messages."""
    if input_type not in TAKEN:
        raise ArtifactInvalid(
            f"the protocol openai takes inputs of the types {' and '.join(TAKEN)}, "
            f"the model's are {input_type}"
        )
    path = configuration.place.path.rstrip("/")
    template = dict(configuration.template or {})
    if path.endswith(CHAT):
        template.setdefault("messages", _messages(input_type))
        return JsonTemplate(_with(configuration, template, output="choices.0.message.content"))
    if path.endswith(COMPLETIONS):
        template.setdefault("prompt", INPUT)
        return JsonTemplate(_with(configuration, template, output="choices.0.text"))
    if path.endswith(EMBEDDINGS):
        template.setdefault("input", INPUTS)
        return OpenAIEmbeddings(_with(configuration, template, output="embedding"))
    expected = ", ".join((CHAT, COMPLETIONS, EMBEDDINGS))
    raise ArtifactInvalid(f"url: Expected a path that ends with one of {expected}, got {path!r}.")


class OpenAIEmbeddings(JsonTemplate):
    """A batch in one request; the answer says of each embedding which input's it is."""

    def outputs(self, answer: HttpAnswer, *, count: int) -> Any:
        given = part_of(decoded_answer(answer), "data")
        items = _array(given)
        places = [part_of(item, "index") for item in items]
        if any(type(place) is not int for place in places) or sorted(places) != list(range(count)):
            got = f"{places[:10]} of {len(places)}"
            raise BrokenAnswer(f"expected the embeddings 0 to {count - 1}, got {got}")
        found = {
            place: part_of(item, self._output) for place, item in zip(places, items, strict=True)
        }
        return [found[index] for index in range(count)]


def _array(given: Any) -> list[Any]:
    if isinstance(given, list):
        return given
    raise BrokenAnswer(f"expected an array in data, got {type(given).__name__}")


def _messages(input_type: str) -> Any:
    return INPUT if input_type == "json" else [{"role": "user", "content": INPUT}]


def _with(
    configuration: RemoteConfiguration, template: dict[str, Any], *, output: str
) -> RemoteConfiguration:
    if (found := places_in(template)) != 1:
        raise ArtifactInvalid(f'template: Expected "{INPUT}" in it once, got it {found} times.')
    return msgspec.structs.replace(
        configuration, template=template, output=configuration.output or output
    )
