"""Shell steps of a pipeline's file, for GitHub's Actions and for GitLab."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

# By these names the machines know which commit it is, and that it is on the main branch.
ON_MAIN = {
    "GITHUB_SHA": "c0ffee1",
    "CI_COMMIT_SHA": "c0ffee2",
    "CI_COMMIT_BRANCH": "main",
    "CI_DEFAULT_BRANCH": "main",
}
EXPRESSION = re.compile(r"\$\{\{ *(?:(?:secrets|vars)\.(\w+)|github\.(sha)) *\}\}")


def scripts_of(name: str, text: str) -> list[str]:
    """The script of each of its jobs, as on the main branch; none where it is no pipeline."""
    if name.startswith(".github/workflows/"):
        return [_script(_of_github(job)) for job in yaml.safe_load(text)["jobs"].values()]
    if name == ".gitlab-ci.yml":
        return [_script(job["script"]) for job in yaml.safe_load(text).values()]
    return []


def _of_github(job: Mapping[str, Any]) -> Iterator[str]:
    for variable, value in job.get("env", {}).items():
        yield f'export {variable}="{_in_shell(value)}"'
    for step in job["steps"]:
        if "run" in step:  # each in a shell of its own
            yield f"(\n{_in_shell(step['run'])}\n)"


def _in_shell(text: str) -> str:
    return EXPRESSION.sub(lambda found: f"${found[1] or 'GITHUB_SHA'}", text)


def _script(commands: Any) -> str:
    given = (f"export {name}={value}" for name, value in ON_MAIN.items())
    return "\n".join(["set -e", *given, *commands])
