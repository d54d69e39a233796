"""The command that prints a script by which a shell completes commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import print_json, print_line
from clipper_client.client import Client

# zsh understands what is written for bash once it is told to.
ZSH = "autoload -Uz bashcompinit && bashcompinit\n"
SCRIPT = """\
_clipper() {{
    local words
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    [ "$COMP_CWORD" -gt 1 ] || words="{commands}"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _clipper clipper"""


def script(words: Mapping[str, Sequence[str]], *, shell: str) -> str:
    """Return a script that completes commands, and for each of them its `words`."""
    cases = "\n".join(f'    {name}) words="{" ".join(some)}" ;;' for name, some in words.items())
    told = SCRIPT.format(cases=cases, commands=" ".join(words))
    return ZSH + told if shell == "zsh" else told


def words_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the options that a command takes, and the values that it names."""
    found: list[str] = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        found += [option for option in action.option_strings if option.startswith("--")]
        found += map(str, action.choices or ())
    return found


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"), help="for which shell")


def _completion(client: Client, options: Options) -> int:
    text = script(options.words, shell=options.shell)
    if options.json:
        print_json({"shell": options.shell, "script": text})
    else:
        print_line(text)
    return 0


COMMANDS = (
    Command(
        name="completion",
        help="print a script that has a shell complete commands and options",
        more='In bash or zsh: eval "$(clipper completion bash)", in a file that it reads.',
        add_arguments=_add_arguments,
        run=_completion,
    ),
)
