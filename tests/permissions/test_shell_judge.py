"""Command lines, judged by their parts: rules, what is known to read, files, variables, directories."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.permissions.rule_text import parse_rule
from crush.wire.messages import Mode
from tests.permissions.judging import ENV, HOME, decision_of


@pytest.fixture
def here(tmp_path: Path) -> str:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "notes.md").write_text("b")
    (tmp_path / ".env").write_text("KEY=1")
    (tmp_path / "innocent").symlink_to(".env")
    (tmp_path / "out").symlink_to("/etc")
    return os.path.realpath(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "ls -la",
        "git status && git log --oneline | head -5",
        "cat a.txt 2>/dev/null; echo done >&2",
        "cat a.txt >/dev/null 2>&1",
        'for f in *.md; do head -1 "$f"; done',
        "cd src && ls deep && cd ..",
        "cd src && git log -3",
        'x=1; echo "$x"',
        "LC_ALL=C sort a.txt | uniq -c",
        "GIT_PAGER=cat git diff",
        "PAGER= git log",
        "[ -f .env ] && echo yes",
        "ls -la .env*",
        "stat .env",
        "/bin/ls -l",
        "/bin/cat a.txt",
        "time ls",
        "time -p git log",
        "cat $(git ls-files '*.md' | head -1)",
        "wc -l $(grep -rl foo src)",
        "rg -n -A 3 'process.env' src",
        "rg -g '*.py' foo",
        "git diff -- '*.py' ':!docs'",
        "cat {a,b}.txt",
        "rg foo",
        "grep -r foo",
        "rg foo . ..",
        "jq .env a.txt",
        "grep -rn 'process.env' src",
        "grep -n id_rsa a.txt",
        "find . -name '*.pem'",
        "wc -l *.md src/*",
        "head < a.txt",
        'head "$f"',
        "cat ./*.txt",
        "# a comment",
        "",
    ],
)
def test_what_only_reads_is_allowed(command: str, here: str) -> None:
    decision = decision_of(command, here)
    assert decision.effect == "allow", decision
    assert decision.reason
    assert decision.rule is not None
    assert decision.offers == ()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("rm x", "not a known"),
        ("ls; rm x", "not a known"),
        ("echo $(rm x)", "not a known"),
        ("echo x > a.txt", "it writes to"),
        ("echo x >> new.txt", "it writes to"),
        ("echo x > $f", "only known when it runs"),
        ("echo x > *.txt", "only known when it runs"),
        ("echo x > /dev/sda", "it writes to"),
        ("echo x > /dev/null/../sda", "it writes to"),
        ("cat < /dev/tcp/example.com/80", "network"),
        ("echo x > /dev/udp/example.com/80", "network"),
        ("echo x > .git/config", "git runs what is in there"),
        ("echo x > ~/.bashrc", "a shell runs it"),
        ("cd src && echo x > ../.git/config", "git runs what is in there"),
        ("PATH=/x; ls", "changed PATH"),
        ("IFS=/; ls", "obey IFS"),
        ("PATH=/x ls", "PATH"),
        ("LD_PRELOAD=x.so ls", "LD_PRELOAD"),
        ("HOME=/x; ls", "HOME"),
        ("TERM=x; ls", "changed TERM"),
        ("ANY=1 ls", "ANY"),
        ("GIT_PAGER=./x git log", "GIT_PAGER"),
        ("LC_ALL=$x ls", "LC_ALL"),
        ("LANG=/tmp/x ls", "LANG"),
        ("cd /etc && git status", "outside"),
        ("cd out && git log", "outside"),
        ("cd src; cd ../..; git status", "outside"),
        ("eval ls", "eval"),
        ("./ls", "path"),
        ("/bin/../bin/ls", "path"),
        ("/bin/rm x", "not a known"),
        ("/nowhere/ls", "there is no"),
        ("time rm x", "not a known"),
        ("time -o out ls", "not a known"),
        ("cat $(printf .%s env)", "computed"),
        ("cat $(ls -a | grep env)", "computed"),
        ("f=$(ls -a | tail -1); head $f", "computed"),
    ],
)
def test_what_may_do_more_asks_and_says_why(command: str, reason: str, here: str) -> None:
    decision = decision_of(command, here, env={**ENV, "TERM": "xterm"})
    assert decision.effect == "ask", decision
    assert reason in decision.reason, decision.reason
    assert not decision.is_explicit_ask


@pytest.mark.parametrize(
    "command",
    [
        "cat .env",
        "cat ./.env",
        "cat src/../.env",
        "cat innocent",
        "cat inn*",
        "cat .e*",
        "cat .[e]nv",
        "cat .?nv",
        "cat {.env,a.txt}",
        "cat .{env,x}",
        'cat "$d/.env"',
        'x=.en; cat "${x}v"',
        'for f in .e*; do cat "$f"; done',
        "f=.env; cat $f",
        "cat ~/.ssh/id_rsa",
        'cat "$HOME/.ssh/id_rsa"',
        "cat $HOME/.ssh/*",
        "cat ~/.ss?/id_*",
        "cd ~/.ssh && cat config",
        "cd ~/.ssh; ls; cat *",
        "ls ~/.ssh",
        "du --files0-from=.env",
        "cat /etc/{hosts,shadow}",
        "cat {a.txt,.en{v,x}}",
        "rg -g '.env' --hidden .",
        "grep -r . --include='.e*'",
        "git grep -e . -- '.e*'",
        "git log -p -- '*.env'",
        "git diff HEAD~1 -- ':(glob).e*'",
        "time cat .env",
        "grep -r x ~",
        'grep -rh "" "$HOME"',
        "rg x /",
        "rg x /home",
        "grep -rs BEGIN src /etc",
        "cd && rg x",
        "cd ~; grep -r x .",
        "diff -r ~ src",
        "/bin/cat .env",
        "ls -a ~/.*/",
        "tree ~/.aws",
        "cd .. && cat */.env",
        "cat < .env",
        "head -1 < ~/.netrc",
        "grep -e x .env",
        "grep x .env",
        "git show HEAD:.env",
        "git diff --no-index a.txt .env",
        "cat /proc/self/environ",
        "cat /proc/*/environ",
        "cat /etc/shadow",
        "cat out/shadow",
        "cd /etc; cat shadow",
        "cd /; cd etc; cat shadow",
        "while read -r x; do cat shadow; cd /etc; done < a.txt",
        "wc -l server.pem ./server.pem",
        "diff a.txt <(cat .env)",
        "echo $(cat .env)",
    ],
)
def test_reading_secrets_asks_by_any_spelling(command: str, here: str) -> None:
    assert decision_of(command, here).effect == "ask"


@pytest.mark.parametrize(
    ("command", "allow", "allowed"),
    [
        ("npm test", ["command(npm test)"], True),
        ("npm test --watch", ["command(npm test)"], False),
        ("npm test --watch", ["command(npm test *)"], True),
        ("n'p'm test", ["command(npm test)"], True),
        ("npm test && npm run x", ["command(npm test)"], False),
        ("npm test && npm run x", ["command(npm test)", "command(npm run *)"], True),
        ("npm test; ls | head", ["command(npm test)"], True),
        ("npm test > log", ["command(npm test)"], False),
        ("npm test > log", ["command(npm test)", "write(log)"], True),
        ("npm test $x", ["command(npm test *)"], False),
        ('npm test "$x"', ["command(npm test *)"], True),
        ("npm $x", ["command(npm *)"], False),
        ("env npm test", ["command(npm test)"], False),
        ("sudo npm test", ["command(npm test)"], False),
        ("sh -c 'npm test'", ["command(npm test)"], False),
        ("/opt/npm test", ["command(npm test)"], False),
        ("X=1 npm test", ["command(npm test)"], False),
        ("cd src && npm test", ["command(npm test)"], True),
        ("cd / && npm test", ["command(npm test)"], False),
        ("cd .. && npm test", ["command(npm test)"], False),
        ("cd - && npm test", ["command(npm test)", "command(cd *)"], False),
        ("cat .env", ["command(cat .env)"], True),
        ("cat .env", ["read(.env)"], True),
        ("cat .env", ["read(**)"], True),
        ("cat .env ~/.netrc", ["read(.env)"], False),
        ("echo x > .git/config", ["write(.git/config)"], True),
        ("echo x > out/motd", ["write(out/**)"], False),
        ("echo x > /etc/motd", ["write(/etc/*)"], True),
        ("cd src; echo x > log", ["write(src/log)"], False),
        ("cd src; echo x > log", ["write(src/log)", "write(log)"], True),
        ("f() { rm x; }; f", ["command(*)"], False),
        ("f() { rm x; }; f", ["tool(bash)"], True),
        ("f() { rm x; }; f", ["tool(bash:execute)"], True),
        ("f() { rm x; }; f", ["tool(edit)"], False),
        ("eval $x", ["tool(bash)"], True),
    ],
)
def test_an_allow_rule_allows_what_it_says_and_nothing_around_it(
    command: str, allow: list[str], allowed: bool, here: str
) -> None:
    decision = decision_of(command, here, allow=tuple(allow))
    assert (decision.effect == "allow") is allowed, decision


@pytest.mark.parametrize("mode", ["workspace", "yolo"])
@pytest.mark.parametrize(
    ("command", "deny", "effect"),
    [
        ("git push", "command(git push *)", "deny"),
        ("git pu''sh origin", "command(git push *)", "deny"),
        (r"\git push", "command(git push *)", "deny"),
        ("ls && git push", "command(git push *)", "deny"),
        ("echo $(git push)", "command(git push *)", "deny"),
        ("/usr/bin/git push", "command(git push *)", "deny"),
        ("env git push", "command(git push *)", "deny"),
        ("env A=1 git push", "command(git push *)", "deny"),
        ("nice -n 5 git push", "command(git push *)", "deny"),
        ("timeout 5s git push", "command(git push *)", "deny"),
        ("sudo /usr/bin/git push", "command(git push *)", "deny"),
        ("command exec git push", "command(git push *)", "deny"),
        ("bash -c 'ls; git push'", "command(git push *)", "deny"),
        ("sh -ec 'env git push'", "command(git push *)", "deny"),
        ("xargs git push < a.txt", "command(git push *)", "deny"),
        ("find . -exec git push ';'", "command(git push *)", "ask"),
        ("git -C . --no-pager push", "command(git push *)", "deny"),
        ("kubectl -n prod delete pod x", "command(kubectl delete *)", "ask"),
        ("npm --prefix=x publish", "command(npm publish *)", "ask"),
        ("sudo -u bob git push", "command(git push *)", "ask"),
        ("su -c 'git push'", "command(git push *)", "deny"),
        ("trap 'git push' EXIT", "command(git push *)", "deny"),
        ("bash <<< 'git push'", "command(git push *)", "ask"),
        ("git $x", "command(git push *)", "ask"),
        ("$x push", "command(git push *)", "ask"),
        ('bash -c "$x"', "command(git push *)", "ask"),
        ("f() { git push; }", "command(git push *)", "deny"),
        ('a=(git push); "${a[@]}"', "command(git push *)", "ask"),
        ("cat a.txt", "read(a.txt)", "deny"),
        ("cat ./src/../a.txt", "read(a.txt)", "deny"),
        ("head a*", "read(a.txt)", "deny"),
        ("head < a.txt", "read(a.txt)", "deny"),
        ("python3 x.py a.txt", "read(a.txt)", "deny"),
        ("echo x > a.txt", "write(a.txt)", "deny"),
        ("echo x > $f", "write(a.txt)", "ask"),
        ("tee a.txt", "write(a.txt)", "ask"),
        ("ls", "tool(bash)", "deny"),
        ("", "tool(bash)", "deny"),
        ("# nothing", "tool(*)", "deny"),
    ],
)
def test_a_deny_holds_in_every_mode_by_any_spelling(
    command: str, deny: str, effect: str, mode: Mode, here: str
) -> None:
    allowed = decision_of(command, here, mode=mode, allow=("tool(bash)",))
    decision = decision_of(command, here, mode=mode, allow=("tool(bash)",), deny=(deny,))
    assert allowed.effect == "allow"
    assert decision.effect == effect, decision
    assert deny in (decision.reason + (decision.rule.text if decision.rule else ""))


def test_an_ask_that_somebody_wrote_beats_what_is_allowed_and_known_and_can_not_be_remembered(
    here: str,
) -> None:
    decision = decision_of("git log", here, ask=("command(git log *)",), allow=("tool(bash)",))
    assert (decision.effect, decision.is_explicit_ask) == ("ask", True)
    assert decision.offers == ()
    mixed = decision_of("git log; make", here, ask=("command(git log *)",))
    assert (mixed.is_explicit_ask, mixed.offers) == (True, ())
    assert decision_of("git log", here, mode="yolo", ask=("command(git *)",)).effect == "allow"


@pytest.mark.parametrize("mode", ["ask", "workspace", "yolo"])
@pytest.mark.parametrize(
    ("command", "effect"),
    [
        ("ls -la | head", "allow"),
        ("cat a.txt 2>/dev/null", "allow"),
        ("npm test", "deny"),
        ("ls && npm test", "deny"),
        ("echo x > a.txt", "deny"),
        ("echo x > $f", "deny"),
        ("PATH=/x; ls", "deny"),
        ("f() { ls; }", "deny"),
    ],
)
def test_read_only_denies_whatever_is_not_known_to_only_read(
    command: str, effect: str, mode: Mode, here: str
) -> None:
    decision = decision_of(
        command, here, mode=mode, read_only=True, allow=("command(npm test)", "write(**)")
    )
    assert decision.effect == effect
    if effect == "deny":
        assert decision.reason == "the run is read-only"


def test_yolo_allows_what_it_cannot_even_read(here: str) -> None:
    for command in ("a=(", "eval $x", "cat .env > ~/.bashrc", "\x00", "x" * 20_000):
        assert decision_of(command, here, mode="yolo").effect == "allow"


def test_without_bash_only_one_simple_command_can_be_allowed(here: str) -> None:
    assert decision_of("ls -la", here, has_bash=False).effect == "allow"
    for command in ("ls; ls", "ls | head", 'echo "$x"', "ls >/dev/null"):
        decision = decision_of(command, here, has_bash=False)
        assert (decision.effect, decision.offers) == ("ask", ())
        assert "no bash" in decision.reason
    assert decision_of("ls; ls", here, has_bash=False, allow=("tool(bash)",)).effect == "allow"


def test_a_program_that_the_project_puts_in_the_way_is_not_known(here: str) -> None:
    fake = Path(here, "bin", "ls")
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    env = {**ENV, "PATH": f"{here}/bin:/usr/bin:/bin"}
    decision = decision_of("ls", here, env=env)
    assert decision.effect == "ask"
    assert f"{here}/bin/ls" in decision.reason
    assert decision_of("echo x", here, env=env).effect == "allow"  # bash runs it itself
    assert decision_of("cat a.txt", here, env={**ENV, "PATH": ".:/bin"}).effect == "ask"


def test_a_known_command_is_not_known_if_the_project_has_what_it_starts(here: str) -> None:
    fake = Path(here, "bin", "gzip")
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    env = {**ENV, "PATH": f"{here}/bin:/usr/bin:/bin"}
    assert decision_of("tar -tf a.tar", here).effect == "allow"
    assert decision_of("tar -tf a.tar", here, env=env).effect == "ask"


def test_each_part_of_a_compound_tells_its_own_decision(here: str) -> None:
    decision = decision_of("git status && make all > log", here, deny=("command(make *)",))
    assert [(part.source_text, part.effect) for part in decision.parts] == [
        ("git status", "allow"),
        ("make all", "deny"),
        ("> log", "ask"),
    ]
    assert decision.effect == "deny"
    assert decision.rule == parse_rule("command(make *)", effect="deny", source="user")


@pytest.mark.parametrize(
    ("command", "offers"),
    [
        ("npm test", [["command(npm test)"], ["command(npm test *)"]]),
        (
            "npm run lint -- --fix",
            [["command(npm run lint -- --fix)"], ["command(npm run lint *)"]],
        ),
        ("rm -rf x", [["command(rm -rf x)"]]),
        ("git push --force", [["command(git push --force)"]]),
        ("python3 x.py", [["command(python3 x.py)"]]),
        ("sudo npm test", [["command(sudo npm test)"]]),
        ("make -f x", [["command(make -f x)"]]),
        ("echo 'a b' '*' | tee x", [["command(tee x)"]]),
        ("tee 'a b' '*'", [["command(tee 'a b' '*')"]]),
        ("tee it\\'s", [[r"command(tee 'it'\''s')"]]),
        (
            "npm test && make all",
            [
                ["command(npm test)", "command(make all)"],
                ["command(npm test *)", "command(make all *)"],
            ],
        ),
        ("npm test && ls", [["command(npm test)"], ["command(npm test *)"]]),
        ("npm test && rm $x", []),
        ("npm test; eval $x", []),
        ("cd / && make", []),
        ("f() { npm test; }", []),
        ("PATH=/x; npm test", []),
        ("echo x > $f", []),
    ],
)
def test_offers_are_exact_first_and_open_only_where_that_is_harmless(
    command: str, offers: list[list[str]], here: str
) -> None:
    decision = decision_of(command, here)
    assert decision.effect == "ask"
    assert [list(offer) for offer in decision.offers] == offers


def test_a_redirection_offers_the_file(here: str) -> None:
    decision = decision_of("npm test > 'a*b'", here)
    assert decision.offers[0] == ("command(npm test)", f"write({here}/a\\*b)")


def test_a_message_of_several_lines_offers_what_can_be_shown(here: str) -> None:
    decision = decision_of("git commit -m 'one\ntwo'", here)
    assert decision.offers == (("command(git commit *)",),)
    assert decision_of("tee 'one\ntwo'", here).offers == ()


@pytest.mark.parametrize("command", ["npm test && make x > log", "cat .env", "rm 'x y' \"it's\""])
def test_whoever_takes_an_offer_is_not_asked_again(command: str, here: str) -> None:
    asked = decision_of(command, here)
    assert asked.effect == "ask"
    assert asked.offers
    for offer in asked.offers:
        granted = tuple(parse_rule(text, effect="allow", source="grant") for text in offer)
        assert decision_of(command, here, more=granted).effect == "allow"


def test_home_is_that_of_the_environment(here: str) -> None:
    rule = (f"write({HOME}/log)",)
    assert decision_of("echo x > ~/log", here, allow=(*rule, f"write({here}/~/log)")).effect == (
        "allow"
    )
    assert (
        decision_of("echo x > ~/log", here, allow=rule, env={**ENV, "HOME": "/x"}).effect == "ask"
    )


def test_judging_takes_no_time(here: str) -> None:
    """A millisecond for a usual command, 20 for a long script; here with room for a busy machine."""
    usual = "git status && git log --oneline -5 | head -3 2>/dev/null"
    script = "grep -rn 'some words' src | sort | uniq -c\n" * 240
    assert len(script) > 10_000
    decision_of(usual, here)
    assert min(_seconds(usual, here) for _ in range(20)) < 0.01
    assert min(_seconds(script, here) for _ in range(3)) < 0.4


def _seconds(command: str, here: str) -> float:
    start = time.perf_counter()
    decision_of(command, here)
    return time.perf_counter() - start


@pytest.mark.parametrize(
    "command",
    [
        "ls /*/*/*/*/*/x",
        "cat " + "{a,b}" * 40,
        "cat " + "*" * 3000,
        "cat " + "[a" * 2000,
        "cat '" + ":a" * 4000 + "'",
        "cd src; " * 200 + "ls",
        "while :; do " + "cd ..; " * 100 + "done",
        "sudo " * 300 + "ls",
        "a=1;" * 2000 + "cat $a",
    ],
)
def test_no_command_keeps_the_judge_busy(command: str, here: str) -> None:
    start = time.perf_counter()
    decision_of(command, here, deny=("command(rm *)",))
    assert time.perf_counter() - start < 2


def test_too_many_choices_ask(here: str) -> None:
    choices = ",".join(f"x{number}" for number in range(400))
    assert decision_of(f"cat {{{choices},.env}}", here).effect == "ask"
    assert decision_of("cat {a,b{c,d{e,.env}}}", here).effect == "ask"


texts = st.text(
    st.sampled_from("abc .env/~*?[]{}$()`'\"\\|&;<>=!#\n\t-:cdlsrm\u00e9\u200b\ud800\0"),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(command=texts, rule=st.sampled_from(["command(rm *)", "read(**)", "write(/**)"]))
def test_every_text_gets_an_answer(command: str, rule: str) -> None:
    decision = decision_of(command, "/", deny=(rule,), mode="yolo")
    assert decision.reason
    assert decision_of(command, "/").reason
