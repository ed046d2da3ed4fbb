"""Names that a substitution computes: told by what lists files by a suffix, or made up."""

import pytest

from crush.permissions.computed_names import is_computed
from crush.permissions.shell_script import Command, Word
from crush.permissions.shell_syntax import parse_script


def word_of(text: str) -> Word:
    """The last word of `cat …`."""
    first = parse_script(f"cat {text}").parts[0]
    assert isinstance(first, Command)
    return first.words[-1]


@pytest.mark.parametrize(
    "text",
    [
        "a.txt",
        "$x",
        "$(git ls-files '*.py')",
        "$(git ls-files -- '*.py' | head -1)",
        "$(git diff --name-only HEAD~1 -- '*.md')",
        "$(find src -name '*.py' 2>/dev/null)",
        "$(find . -type f | grep '\\.py$' | sort | head -3)",
        "$(grep -rl main --include='*.py' src)",
        "$(rg -l main -g '*.py')",
        "$(ls -t *.md | head -1)",
        '"$(git rev-parse --show-toplevel)/README.md"',
        '"$(pwd)/a.txt"',
        "log-$(date +%F).txt",
        "$(which git)",
        "$(dirname src/app.py)/b.py",
    ],
)
def test_what_is_told_by_a_suffix_is_not_made_up(text: str) -> None:
    assert not is_computed(word_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "$(echo a.txt)",
        "$(printf .%s env)",
        "$(cat a.txt)",
        "$(head -1 a.py)",
        "$(git show HEAD:a.py)",
        "$(git ls-files)",
        "$(git ls-files a.py .)",
        "$(git ls-files ':!*.py')",
        "$(find . -type f)",
        "$(find . -name '*.py' -o -name x)",
        "$(find . ! -name '*.py')",
        "$(find . -newer a.py)",
        "$(ls -A)",
        "$(ls a.py .)",
        "$(ls -A | grep -v '\\.py$')",
        "$(grep -rl main .)",
        "$(grep main a.py)",
        "$(sort a.py)",
        "$(git ls-files '*.py' | sed s/x/y/)",
        "$(basename ~/.pgpass)",
        '$(dirname "$x")',
        "$(git ls-files '*.pem')",
        "$(wc -l <<< x.py)",
        "$(ls *.py > x; pwd)",
        "`ls -a`",
    ],
)
def test_what_a_command_makes_up_or_lists_without_choice_is_computed(text: str) -> None:
    assert is_computed(word_of(text))
