"""Bodies of predictions: which are split at sight, and that a parser would find the same."""

import json

from hypothesis import given
from hypothesis import strategies as st

from serving.endpoints.predictions.direct_predictions import plain_input
from serving.endpoints.predictions.predict_request import parse_predict

PLAIN_INPUTS = {
    b'{"input":[1,2.5]}': b"[1,2.5]",
    b'{"input": [1, 2.5]}': b"[1, 2.5]",
    b'{"input":[]}': b"[]",
    # Whatever stands for no number is for the model's parser to refuse.
    b'{"input":[1,,x]}': b"[1,,x]",
    b'{"input":[1],[2]}': b"[1],[2]",
    # However large: a parser takes six times as long for a megabyte as these looks at it do.
    b'{"input":[%b1]}' % (b"1," * 100_000): b"[%b1]" % (b"1," * 100_000),
}
NOT_PLAIN = (
    b'{"input":[1],"context":"anna"}',
    b'{"context":"anna","input":[1]}',
    b'{"input":["1"]}',
    b'{"input":[{}]}',
    b'{"input":[1]}]}',
    b'{"input":[1]',
    b'{"input":1}',
    b'{ "input":[1]}',
    b'{"inputs":[1]}',
    b'{"input":[1]} ',
    b"[1]}",
    b"",
)


def test_a_body_that_is_nothing_but_numbers_is_split_at_sight() -> None:
    for body, input in PLAIN_INPUTS.items():
        assert plain_input(body, input_type="doubles") == input
        assert plain_input(body, input_type="json") is None
    for body in NOT_PLAIN:
        assert plain_input(body, input_type="doubles") is None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(), max_size=9))
def test_what_is_split_at_sight_is_what_a_parser_finds(numbers: list[float]) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        body = json.dumps({"input": numbers}, separators=separators).encode()
        input = plain_input(body, input_type="doubles")
        assert input == bytes(parse_predict(body).input)
