"""Counts of `make weigh`."""

from scripts.weigh import counts

TREE = {
    "serving/queue.py": '"""Which calls wait."""\nLIMIT = 3\nSIZES = (1, 2 * LIMIT)\nNAME = "x"\n',
    "console/queue.py": '"""Calls."""\n\n\ndef told() -> None:\n    """What is this?"""\n',
    "serving/migrations/0001_initial.py": "LIMIT = 3\n",
    "tests/test_queue.py": "LIMIT = 3\n",
    "docs/page.md": "One thing. Who reads it knows. Is it so?\n",
    "docs/results/page.md": "Many figures.\n",
}


def test_the_product_is_what_runs_in_production() -> None:
    assert set(counts.product(TREE)) == {"serving/queue.py", "console/queue.py"}
    assert counts.lines(counts.product(TREE)) == 9
    assert counts.lines(TREE, "tests/") == 1


def test_a_constant_is_a_name_bound_to_numbers() -> None:
    assert counts.constants(TREE) == 2
    assert counts.constants(TREE, "console/") == 0


def test_a_file_name_counts_once_however_often_it_is_repeated() -> None:
    assert counts.repeated_names(TREE) == ["queue.py"]


def test_a_question_may_open_with_what() -> None:
    assert [opening.partition(": ")[0] for opening in counts.openings(TREE)] == [
        "serving/queue.py",
        "docs/page.md",
    ]


def test_a_folder_is_large_above_twelve_modules() -> None:
    folder = {f"serving/module_{number}.py": "" for number in range(13)}
    assert counts.large_folders(folder) == ["serving"]
    folder.popitem()
    assert counts.large_folders({**folder, "serving/__init__.py": ""}) == []


def test_results_are_no_words_of_the_documentation() -> None:
    assert counts.words(TREE) == 9
