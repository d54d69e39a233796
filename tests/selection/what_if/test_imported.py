"""Decisions of other systems: read, refused with the line, and asked what others had earned."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client

from clipper_client.cli.exports import obp_rows, vw_lines
from core.errors import BadRequest
from registry import services
from registry.models import Application
from selection.evaluation.imported import reading
from selection.evaluation.imported.reading import ImportedLog, read_log
from tests.selection.offpolicy.logs import asked
from tests.selection.what_if.conftest import ARMS, BY, keep, make_application

ADF = """\
shared |User age:0.5 city=Rome
|Action article=sports
0:0.25:0.5 |Action article=politics

shared |User age:-1
0:1:0.2 |Action article=sports
|Action article=politics

shared |User age:1
|Action article=sports
|Action article=politics
"""
OBD = """\
,timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0
0,2019-11-24 00:00:05+00:00,7,1,1,0.25,cef3,0.0
1,2019-11-24 00:00:04+00:00,9,2,0,0.75,09a1,1.0
"""


def event(**changes: Any) -> str:
    whole = {
        "_label_cost": -1.0,
        "_label_probability": 0.8,
        "_labelIndex": 1,
        "a": [2, 1],
        "p": [0.8, 0.2],
        "Timestamp": "2021-07-29T10:00:00.999Z",
        "c": {
            "User": {"age": 0.5, "city": "Rome", "new": True, "seen": [1, 0.5], "none": None},
            "_multi": [{"_tag": "sports", "A": {"x": 1}}, {"A": {"article": "politics"}}],
        },
    }
    return json.dumps({name: x for name, x in (whole | changes).items() if x is not None})


def told(log: ImportedLog) -> list[tuple[str, float, float]]:
    return [(q.asked[0].arm, q.asked[0].propensity, q.asked[0].reward) for q in log.queries]


def test_it_reads_decisions_of_several_lines() -> None:
    log = read_log(ADF, form="vw")
    assert told(log) == [("article=politics", 0.5, 0.75), ("article=sports", 0.2, 0.0)]
    assert log.queries[0].routed == ("article=sports", "article=politics")
    assert log.features[0] == {"User^age": 0.5, "User^city=Rome": 1.0}
    assert log.left_out == 1


def test_it_reads_decisions_of_a_line_each() -> None:
    log = read_log("1:0:0.5 | a b:2\n2 3:1:0.25 4 'tag | a\n", form="vw_cb")
    assert told(log) == [("1", 0.5, 1.0), ("3", 0.25, 0.0)]
    assert [query.routed for query in log.queries] == [("1", "2", "3", "4"), ("2", "3", "4")]
    assert log.names == ("a", "b")


def test_an_action_is_the_same_however_its_number_is_written() -> None:
    log = read_log("01:0:0.5 | a\n2:1:0.5 | a\n1:1:0.5 1 2 | a\n", form="vw_cb")
    assert [query.asked[0].arm for query in log.queries] == ["1", "2", "1"]
    assert {query.routed for query in log.queries} == {("1", "2")}


def test_names_are_decoded_where_the_format_encodes_them() -> None:
    table = "item_id,click,propensity_score,context\na%20b,1,0.5,c%20d\na b,0,0.5,c d\n"
    apart = read_log(table, form="obp")
    assert apart.arms == ("a%20b", "a b")
    assert [query.context for query in apart.queries] == ["c%20d", "c d"]
    tagged = {"c": {"_multi": [{"_tag": "a%20b"}, {"_tag": "a b"}]}}
    assert read_log(event(**tagged), form="dsjson").arms == ("a%20b", "a b")
    text = "shared |context c=c%20d |features a%3Ab:2\n0:1:0.5 | a%20b\n"
    encoded = read_log(text, form="vw")
    assert (encoded.arms, encoded.names) == (("a b",), ("a:b",))
    assert encoded.queries[0].context == "c d"


@pytest.mark.parametrize(("form", "text"), [("vw", ADF), ("obp", OBD.removeprefix(","))])
def test_a_byte_order_mark_is_no_part_of_a_log(form: str, text: str) -> None:
    # Without its first column, which has no name, a table's first name stands behind the mark.
    text = text.replace("\n0,", "\n").replace("\n1,", "\n") if form == "obp" else text
    assert read_log(f"\ufeff{text}", form=form) == read_log(text, form=form)


def test_it_reads_dsjson_where_a_cost_below_zero_is_a_reward() -> None:
    left_out = event(_skipLearn=True)
    log = read_log("\n".join((event(), event(_label_cost=-0.25), left_out)), form="dsjson")
    assert told(log) == [("A.article=politics", 0.8, 1.0), ("A.article=politics", 0.8, 0.25)]
    assert log.queries[0].routed == ("sports", "A.article=politics")
    assert log.features[0] == {
        **{"User.age": 0.5, "User.city=Rome": 1.0, "User.new": 1.0},
        **{"User.seen.0": 1.0, "User.seen.1": 0.5},
    }
    assert log.left_out == 1
    by_rank = read_log(event(_labelIndex=None), form="dsjson")
    assert told(by_rank) == told(log)[:1]


def test_it_reads_the_open_bandit_dataset_by_time_and_position() -> None:
    log = read_log(OBD, form="obp")
    assert told(log) == [("9", 0.75, 0.0), ("7", 0.25, 1.0)]
    assert [query.context for query in log.queries] == ["position 2", "position 1"]
    assert log.queries[0].routed == ("7", "9")
    assert log.features[0] == {"user_feature_0=09a1": 1.0}


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("csv", ADF, "format: expected one of vw, vw_cb, dsjson, obp, got 'csv'"),
        ("vw", "", "log: expected at least one decision with a label, got none"),
        ("vw", "\n\nshared |a\n\n", "line 3: expected a line for each action after shared"),
        ("vw", "shared |a\nshared |b\n", "line 2: expected shared at a decision's first line"),
        ("vw", "| a\n0:1:0.5 | a\n", "line 2: expected actions that their features tell apart"),
        ("vw", "0:1:0.5 |\n", "line 1: expected an action with features"),
        ("vw", "0:1:0.5 a\n", "line 1: expected | and features after a label, got '0:1:0.5 a'"),
        ("vw", "| a\n0:1 | b\n", "line 2: expected action:cost:probability, got '0:1'"),
        ("vw", "0:1:0.5 | a\n0:0:0.5 | b\n", "line 2: expected one action:cost:probability in a"),
        ("vw", "0:1:0 | a\n", "line 1: expected a probability above 0 of what was chosen, got '0'"),
        ("vw", "0:1:1.5 | a\n", "line 1: expected a probability from 0 to 1, got '1.5'"),
        ("vw", "0:2:0.5 | a\n", "line 1: expected a cost from -1 to 1, got '2'"),
        ("vw", "0:nan:0.5 | a\n", "line 1: expected a cost from -1 to 1, got 'nan'"),
        ("vw", "shared | a:x\n0:1:0.5 | a\n", "line 1: expected a feature's value, got 'x'"),
        ("vw", f"0:1:0.5 | {'a' * 257}\n", "line 1: expected an action's features of at most 256"),
        (
            "vw_cb",
            "0:1:0.5 | a\n",
            "line 1: expected actions that are numbers from 1 to 100, got '0'",
        ),
        ("vw_cb", "1:1:0.5 2:1:0.5 | a\n", "line 1: expected one action:cost:probability, got"),
        ("vw_cb", "1:1:1 |\n1:-1:1 |\n", "line 1: expected costs that are all from -1 to 0, as at"),
        ("vw_cb", "1:0:1 |\n2:0:1 |\n", "log: expected costs that differ: all are 0"),
        ("vw_cb", "999999999:1:1 |\n", "line 1: expected actions that are numbers from 1 to 100"),
        (
            "vw",
            "0:1:1 | a\n" + "".join(f"| b{k}\n" for k in range(100)),
            "line 101: expected at most 100 different arms",
        ),
        ("dsjson", event(_label_cost=10**400), "line 1: expected a cost, got 1000"),
        ("dsjson", "{}\n[", "line 1: expected _label_cost in an event, got []"),
        ("dsjson", event() + "\n[", "line 2: expected a JSON object, got '['"),
        ("dsjson", event(pdrop=0.5), "line 1: expected a log of which no events were dropped"),
        ("dsjson", event(c=[]), "line 1: expected c with its actions in _multi, got []"),
        ("dsjson", event(_labelIndex=2), "line 1: expected _labelIndex, or a, to name one of 2"),
        ("dsjson", event(_label_probability="x"), "line 1: expected a probability, got 'x'"),
        ("dsjson", event(Timestamp="noon"), "line 1: expected a Timestamp such as"),
        ("obp", "item_id,click\n", "line 1: expected the columns item_id, click, propensity_score"),
        ("obp", OBD + "2,3\n", "line 4: expected 8 values, as many as columns"),
        ("obp", OBD.replace(",0,0.75", ",2,0.75"), "line 3: expected click from 0 to 1, got '2'"),
        ("obp", OBD.replace("2019-11-24 ", "the "), "line 2: expected a timestamp such as"),
        ("obp", OBD + '"2,3', "line 4: expected CSV, got 'unexpected end of data'"),
    ],
)
def test_what_it_cannot_be_is_refused_with_its_line(form: str, text: str, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_log(text, form=form)
    assert message in refused.value.message


def test_decisions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_DECISIONS", 1)
    with pytest.raises(BadRequest, match="line 6: expected at most 1 decisions"):
        read_log(ADF, form="vw")


class Asking:
    """Asks over REST."""

    def __init__(self) -> None:
        _, self.key = services.create_api_key(name="a key", scopes=("manage",), by=BY)
        self.client = Client()

    def __call__(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        headers = {"Authorization": f"Api-Key {self.key}"}
        url = f"/api/v1/applications/digits/{path}"
        if body is None:
            answer = self.client.get(url, headers=headers)
        else:
            answer = self.client.post(url, body, content_type="application/json", headers=headers)
        assert answer.status_code == status, answer.content
        return answer.json()


def test_exported_decisions_tell_the_same_when_they_come_back(digits: Application) -> None:
    rewards = [(ARMS[k % 3], float(k % 5 > k % 3)) for k in range(120)]
    keep(
        digits,
        [
            asked({arm: r}, propensity=1 / 3, routed=ARMS, context=("", "a|b")[k % 2])
            for k, (arm, r) in enumerate(rewards)
        ],
    )
    ask = Asking()
    targets = [{"arm": ARMS[0]}, {"policy": "uniform"}, {"policy": "ucb1"}]
    expected = ask("what-if", {"targets": targets})["estimates"]
    decisions = ask("export?kind=decisions")["rows"]
    table = io.StringIO()
    csv.writer(table).writerows(obp_rows(decisions))
    text = "\n".join("\n".join([*vw_lines(decision), ""]) for decision in decisions)
    for form, log in (("vw", text), ("obp", table.getvalue())):
        body = {"format": form, "log": log, "targets": targets}
        found = ask("what-if/imported", body)
        assert (found["rows"], found["left_out"]) == (120, 0)
        for one, same in zip(found["estimates"], expected, strict=True):
            assert one["name"] == same["name"]
            assert one["effective_rows"] == pytest.approx(same["effective_rows"])
            for part in ("estimate", "ips", "gain"):
                assert one[part] == pytest.approx(same[part]), form


def test_policies_choose_among_the_arms_of_the_log(digits: Application) -> None:
    ask = Asking()
    log = "\n".join(
        f"{k % 2 + 1}:{float((k % 4 < 2) == k % 2)}:0.5 |x left:{(-1) ** (k // 2)}"
        for k in range(200)
    )
    found = ask("what-if/imported", {"format": "vw_cb", "log": log})
    names = [one["name"] for one in found["estimates"]]
    assert names[:4] == ["1 alone", "2 alone", "every arm alike", "static: by route weight"]
    assert len(names) == 5
    assert names[4].startswith("exp3")
    assert found["estimates"][4]["trained_on"] > 0
    by_features = {"policy": "linucb", "params": {"dimensions": 1}}
    hashed = {"policy": "squarecb"}
    body = {"format": "vw_cb", "log": log, "targets": [by_features, hashed, {"arm": "1"}]}
    knowing, hashing, alone = ask("what-if/imported", body)["estimates"]
    assert knowing["estimate"]["reward"] > alone["estimate"]["reward"] + 0.3
    assert hashing["estimate"]["reward"] > alone["estimate"]["reward"] + 0.1


def test_a_policy_that_takes_other_features_is_not_asked_unless_it_is_named(db: None) -> None:
    make_application(policy="linucb", policy_params={"dimensions": 2})
    log = "1:1:0.5 | a\n2:0:0.5 | a\n"
    names = [
        one["name"]
        for one in Asking()("what-if/imported", {"format": "vw_cb", "log": log})["estimates"]
    ]
    assert names == ["1 alone", "2 alone", "every arm alike", "static: by route weight"]
    fitting = log.replace("| a", "| a b")
    answer = Asking()("what-if/imported", {"format": "vw_cb", "log": fitting})
    assert answer["estimates"][4]["name"] == "linucb (dimensions 2), learning"


def test_a_policy_without_parameters_takes_the_features_that_there_are(
    digits: Application,
) -> None:
    named = ("rand_linucb", "auto", "squarecb", "exp3")
    body = {
        **{"format": "vw_cb", "log": "1:1:0.5 | a b\n2:0:0.5 | a\n"},
        "targets": [{"policy": name} for name in named],
    }
    assert [one["name"] for one in Asking()("what-if/imported", body)["estimates"]] == [
        *("rand_linucb (dimensions 2), learning", "auto (dimensions 2), learning"),
        *("squarecb, learning", "exp3, learning"),
    ]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"targets": [{"arm": "svm:1"}]}, "targets: expected an arm out of 1, 2, got 'svm:1'"),
        (
            {"targets": [{"policy": "exp3", "learning": False}]},
            "targets.0.learning: expected true on an imported log",
        ),
        (
            {"targets": [{"policy": "linucb", "params": {"dimensions": 2}}]},
            "params: expected dimensions of 1, as many features as the log has, got 2",
        ),
        ({"format": "obp"}, "log: line 1: expected the columns item_id, click"),
        ({"log": 5}, "log: Expected text, got 5."),
    ],
)
def test_questions_that_it_cannot_answer_are_refused(
    digits: Application, change: dict[str, Any], error: str
) -> None:
    body = {"format": "vw_cb", "log": "1:1:0.5 | a\n2:0:0.5 | a\n", **change}
    assert error in Asking()("what-if/imported", body, status=400)["error"]


def test_nothing_of_it_is_kept(digits: Application) -> None:
    ask = Asking()
    ask("what-if/imported", {"format": "vw", "log": ADF})
    assert ask("export?kind=decisions")["rows"] == []
    assert ask("what-if", {})["rows"] == 0
