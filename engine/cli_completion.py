"""Completion for shells, made from the parser: commands, their options, and fixed choices."""

from __future__ import annotations

import argparse
from typing import Final

from engine.cli import build_parser

BASH: Final = """\
# bash completion of aegis; made by `aegis completion bash`
_aegis() {{
    local current=${{COMP_WORDS[COMP_CWORD]}}
    case "${{COMP_WORDS[1]}}" in
{cases}
    *) COMPREPLY=($(compgen -W "{commands}" -- "$current")) ;;
    esac
    [ "$COMP_CWORD" -eq 1 ] && COMPREPLY=($(compgen -W "{commands}" -- "$current"))
    return 0
}}
complete -o default -F _aegis aegis"""
ZSH: Final = """\
#compdef aegis
# made by `aegis completion zsh`
autoload -U +X bashcompinit && bashcompinit
"""


def completion(shell: str) -> str:
    """Return the completion script of bash, zsh or fish."""
    words = words_of(build_parser())
    if shell == "fish":
        return "\n".join(_fish(words))
    cases = "\n".join(
        f'    {name}) COMPREPLY=($(compgen -W "{" ".join(listed)}" -- "$current")) ;;'
        for name, listed in words.items()
    )
    script = BASH.format(cases=cases, commands=" ".join(words))
    return ZSH + script if shell == "zsh" else script


def words_of(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Return each command with its options and the words its places take, as they are declared."""
    commands = next(
        action.choices
        for action in parser._actions  # noqa: SLF001  argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
    )
    return {
        name: [
            word
            for action in command._actions  # noqa: SLF001
            for word in (action.option_strings or map(str, action.choices or ()))
            if word != "-h"
        ]
        for name, command in commands.items()
    }


def _fish(words: dict[str, list[str]]) -> list[str]:
    lines = ["# fish completion of aegis; made by `aegis completion fish`"]
    lines.append(f"complete -c aegis -n __fish_use_subcommand -a '{' '.join(words)}'")
    for name, listed in words.items():
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for word in listed:
            given = f"-l {word.removeprefix('--')}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c aegis {seen} {given}")
    return lines
