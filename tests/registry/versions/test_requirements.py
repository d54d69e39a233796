"""Requirements of a version: lines that are taken, and refusals of the others."""

import sys

import pytest

from registry.versions.package_requirements import (
    InvalidRequirements,
    check_python,
    met_here,
    parse,
)

THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


def refusal(text: str, *, urls: bool = False) -> str:
    with pytest.raises(InvalidRequirements) as refused:
        parse(text, urls=urls)
    return str(refused.value)


def test_lines_come_out_in_one_form_whatever_their_order() -> None:
    text = """\ufeff# what the notebook had
        Scikit_Learn == 1.5.2   # the one it was trained with\r
        numpy>=1.26, \\
            <3

        torch[cuda]>2 ; python_version < "3.12"
    """
    known = parse(text)
    assert known == (
        "numpy<3,>=1.26",
        "scikit-learn==1.5.2",
        'torch[cuda]>2; python_version < "3.12"',
    )
    assert parse("\n".join(reversed(known)) + "\nnumpy >=1.26,<3") == known
    assert parse("\n# nothing\n") == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-r other.txt", "without options"),
        ("-e .", "without options"),
        ("--index-url https://evil.example/simple", "without options"),
        ("--extra-index-url=https://evil.example/simple", "without options"),
        ("-ihttps://evil.example", "without options"),
        ("numpy --index-url https://evil.example", "without options"),
        ("numpy==2.0 --hash=sha256:00", "without options"),
        ("numpy \\\n--index-url https://evil.example", "without options"),
        ("numpy \\\n  -i https://evil.example", "without options"),
        ("./model", "no path"),
        ("../model", "no path"),
        ("/etc/passwd", "no path"),
        ("~/model", "no path"),
        ("C:\\model", "no path"),
        ("model-1-py3-none-any.whl", "no path"),
        ("https://example.com/a.whl", "no path"),
        ("git+https://example.com/a", "Expected a requirement such as"),
        ("numpy @ https://example.com/numpy.zip", "Expected a package of the index"),
        ("numpy @ file:///etc/passwd", "Expected a package of the index"),
        ("numpy=1.5", "Expected a requirement such as"),
        ("numpy==${UV_INDEX_URL}", "without variables"),
        ("numpy\x00", "control characters"),
        ("numpy\x0b--index-url=x", "without options"),
        ("<html>", "Expected a requirement such as"),
    ],
)
def test_a_line_that_names_no_package_is_refused_by_its_number(line: str, expected: str) -> None:
    said = refusal(f"scipy\n\n{line}")
    assert said.startswith("Line 3: ")
    assert expected in said


def test_urls_are_taken_where_that_is_allowed_but_never_files_and_variables() -> None:
    for url in ("https://example.com/a.zip", "git+https://example.com/a@main"):
        assert parse(f"a @ {url}", urls=True) == (f"a @ {url}",)
    for url in ("file:///etc/passwd", "http://example.com/a.zip", "git+file:///srv/a"):
        assert "Expected a URL that starts with https://" in refusal(f"a @ {url}", urls=True)
    assert "variables" in refusal("a @ https://example.com/${UV_INDEX_URL}", urls=True)


def test_too_much_is_refused_before_it_is_read() -> None:
    assert refusal("a\n" * 10_000) == "Expected at most 500 requirements, got 10000."
    assert "characters, got 100000" in refusal("a" * 100_000)
    assert len(refusal("-" + "a" * 60_000)) < 300


@pytest.mark.parametrize("line", ["numpy==1.{}", "numpy>={}", "numpy; python_version > '{}'"])
def test_a_number_without_end_is_refused_where_a_long_one_is_only_not_met(line: str) -> None:
    assert "at most 1000 characters" in refusal(line.format("1" * 5000))
    assert not met_here(parse(line.format("1" * 900)), python="") or "python_version" in line


@pytest.mark.parametrize("text", ["", "3.11", "3.13", "3.13.5"])
def test_a_python_that_containers_run_on_is_taken(text: str) -> None:
    check_python(text)


@pytest.mark.parametrize(
    "text", ["2.7", "3.10", "3.14", "3", "3.13.x", ">=3.11", "/usr/bin/python3"]
)
def test_another_python_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expected a version of Python out of 3.11, 3.12, 3.13"):
        check_python(text)


def test_what_this_python_has_needs_no_environment() -> None:
    assert met_here(parse("numpy\nscikit-learn>=1.5"), python="")
    assert met_here(parse("numpy"), python=THIS)
    assert met_here(parse('tensorflow; python_version < "3"'), python="")
    assert met_here((), python="")


def test_what_this_python_lacks_needs_one() -> None:
    assert not met_here((), python="3.99")
    assert not met_here((), python=THIS[:-1])
    assert not met_here(parse("scikit-learn==1.5.2"), python="")
    assert not met_here(parse("nobody-has-this"), python="")
    assert not met_here(parse("numpy[extra]"), python="")
