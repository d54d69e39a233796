"""wrk's result, as wrk.lua prints it and wrk.py reads it."""

from benchmarks.wrk import (
    COUNTER,
    COUNTER_DIGITS,
    SCRIPT,
    parse_result,
)

LINE = (
    '{"requests":1000,"duration_us":2000000,"p50_us":900,"p99_us":4000,'
    '"connect":0,"read":1,"write":0,"timeout":2,"status":100}'
)


def test_the_result_is_found_among_the_words_of_wrk() -> None:
    result = parse_result(f"Running 2s test @ http://x\n  1 threads\n{LINE}\n")
    assert result.requests == 1000
    assert result.p99_us == 4000


def test_refusals_are_errors_and_do_not_count_as_answered() -> None:
    result = parse_result(LINE)
    assert result.answered == 900
    assert result.rate == 450.0
    assert result.errors == 103


def test_the_script_counts_where_the_bodies_have_their_counter() -> None:
    assert f'MARK = "{COUNTER}"' in SCRIPT.read_text()
    assert len(COUNTER) == len("0.") + COUNTER_DIGITS
