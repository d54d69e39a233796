"""The source that a version is loaded from: the same on both sides of a command line."""

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.container.failures.container_errors import ArtifactCorrupt
from serving.container.inputs.signature import INPUT_TYPES
from serving.container.spec import LoadSpec, add_options
from tests.serving.container.artifacts import save

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1)
SPECS = st.builds(
    LoadSpec,
    runtime=WORDS,
    artifact=st.builds(Path, WORDS),
    sha256=WORDS,
    input_type=st.sampled_from(INPUT_TYPES),
    method=st.just("") | WORDS,
    allow_pickle=st.booleans(),
    device=st.sampled_from(["cpu", "cuda:1"]),
    threads=st.integers(1, 256),
    memory_limit_mb=st.none() | st.integers(1, 1 << 20),
)


@given(SPECS)
def test_options_say_all_of_it(spec: LoadSpec) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert LoadSpec.from_options(parser.parse_args(spec.options())) == spec


def test_bytes_other_than_those_registered_are_refused(tmp_path: Path) -> None:
    spec = LoadSpec(runtime="python", input_type="json", **save("a", at=tmp_path / "artifact"))
    spec.verify()
    spec.artifact.write_text("b")
    with pytest.raises(ArtifactCorrupt, match=f"expected an artifact with sha256 {spec.sha256}"):
        spec.verify()
