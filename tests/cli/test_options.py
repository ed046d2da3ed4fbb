"""The command line: where options may stand, what they mean, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.cli.options import Command, Option, names_of, parse
from crush.cli.table import COMMANDS, SHARED
from crush.errors import UsageError

EVERY_OPTION = [*SHARED, *(option for command in COMMANDS for option in command.options)]
PLAIN = st.text(alphabet="abcXYZ019/._- ", min_size=1, max_size=8)


def value_of(draw: st.DrawFn, option: Option) -> str:
    if option.choices:
        return draw(st.sampled_from(option.choices))
    return draw(PLAIN) if isinstance(option.default, str) else str(draw(st.integers(0, 999)))


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[Command, list[str], dict[str, str], list[str]]:
    """A command, its arguments in a drawn order, the values given, and the words."""
    command = draw(st.sampled_from(COMMANDS))
    name = draw(st.sampled_from(names_of(command)))
    words = draw(st.lists(st.text("abc é", min_size=1), max_size=3)) if command.words else []
    if command.name == "models" and words[:1] == ["install"]:
        words = []
    chunks: list[list[str]] = []
    given: dict[str, str] = {}
    for option in draw(st.lists(st.sampled_from([*SHARED, *command.options]), unique=True)):
        chosen = draw(st.sampled_from(option.names))
        if not option.value:
            given[option.key] = "True"
            chunks.append([chosen])
            continue
        value = value_of(draw, option)
        given[option.key] = value
        joined = f"{chosen}={value}" if chosen.startswith("--") else chosen + value
        chunks.append(draw(st.sampled_from([[chosen, value], [joined]])))
    spoken = [[word] for word in (*name.split(), *words)]
    order = draw(st.permutations([True] * len(spoken) + [False] * len(chunks)))
    line = [argument for is_word in order for argument in (spoken if is_word else chunks).pop(0)]
    return command, line, given, words


@given(command_lines())
def test_options_count_wherever_they_stand(
    drawn: tuple[Command, list[str], dict[str, str], list[str]],
) -> None:
    command, line, given, words = drawn

    parsed = parse(line, COMMANDS, SHARED)

    assert parsed.command is command
    assert parsed.words == words
    for option in (*SHARED, *command.options):
        expected = option.convert(given[option.key]) if option.value and option.key in given else ""
        if not option.value:
            assert parsed.flag(option.key) is (option.key in given)
        else:
            assert parsed.text(option.key) == str(
                expected if option.key in given else option.default
            )


def test_no_option_takes_a_value_in_one_command_and_none_in_another() -> None:
    meanings: dict[str, set[bool]] = {}
    for option in EVERY_OPTION:
        for name in option.names:
            meanings.setdefault(name, set()).add(bool(option.value))

    assert {name for name, kinds in meanings.items() if len(kinds) > 1} == set()


def test_no_two_commands_share_a_name() -> None:
    names = [name for command in COMMANDS for name in names_of(command)]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "line", [["-qm", "m", "run", "hi"], ["run", "-qmm", "hi"], ["run", "hi", "-qm=m"]]
)
def test_short_switches_combine_with_a_last_one_that_takes_a_value(line: list[str]) -> None:
    parsed = parse(line, COMMANDS, SHARED)

    assert parsed.command.name == "run"
    assert (parsed.words, parsed.flag("quiet"), parsed.text("model")) == (["hi"], True, "m")


def test_after_two_dashes_everything_is_a_word() -> None:
    parsed = parse(["run", "--", "-v", "--model", "--"], COMMANDS, SHARED)

    assert parsed.words == ["-v", "--model", "--"]


def test_a_single_dash_is_a_word() -> None:
    assert parse(["run", "-"], COMMANDS, SHARED).words == ["-"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["rum"], "there is no command 'rum' (did you mean run?)"),
        (["session", "lst"], "there is no command 'session lst' (did you mean session list?)"),
        (["sessions", "shw"], "there is no command 'session shw' (did you mean session show?)"),
        (["run", "--modle", "m"], "there is no option --modle (did you mean --model?)"),
        (["status", "-m", "x"], "there is no option -m"),
        (["run", "--model"], "--model needs a value"),
        (["run", "--yolo=1"], "--yolo takes no value"),
        (["run", "--max-steps", "x"], "--max-steps needs a number, not 'x'"),
        (["run", "--max-steps", "-1"], "--max-steps needs a number from 0 up, not '-1'"),
        (["run", "--timeout", "nan"], "--timeout needs a number from 0 up, not 'nan'"),
        (["run", "--output-format", "xml"], "--output-format is one of text, json"),
        (["status", "now"], "crush status takes no arguments, got 'now'"),
        (["--", "x"], "crush takes no arguments, got 'x'"),
    ],
)
def test_what_fits_no_option_or_command_is_refused(line: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line, COMMANDS, SHARED)

    assert message in caught.value.message


def test_a_prompt_that_looks_like_an_option_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["run", "- buy milk"], COMMANDS, SHARED)

    assert "put -- before words that begin with -" in caught.value.hint
