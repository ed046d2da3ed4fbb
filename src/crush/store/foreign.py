"""A database may have come with a repository: what is refused in it before anything else is done.

Triggers run when we write, views and generated columns when we read, virtual tables are programs: only
the triggers that a Crush and we make ourselves are let be, known by their whole text.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from functools import cache

import apsw

from crush.errors import StoreError
from crush.store import crush_schema, migrations

_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|\Z)"  # comments
    r"|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^]]*\]'  # names in quotes
    r"|\w+|\S",
    re.DOTALL,
)
# What the triggers of a Crush do, in whatever words a version says it: they keep two kinds of columns.
_TIME_OR_COUNT = (
    r"(?:(?:strftime|unixepoch|cast|as|integer|max|'%s'|'now'|message_count|[0-9]+|[(),+*-]) )+"
)
_CRUSH_TRIGGER = re.compile(
    r"create trigger update_(sessions|files|messages)_updated_at after update on \1 begin"
    r" update \1 set updated_at = VALUE where (?:row)?id = (?:new|old) \. (?:row)?id ; end"
    r"|create trigger update_session_message_count_on_(insert|delete) after \2 on messages begin"
    r" update sessions set message_count = VALUE where id = (?:new|old) \. session_id ; end".replace(
        "VALUE ", _TIME_OR_COUNT
    )
)
_PROBLEMS = 5


def refuse_surprises(connection: apsw.Connection, path: str) -> None:
    """Raises StoreError that names what no crush puts into a database."""
    found = surprises(connection)
    if found:
        shown = ", ".join(found[:_PROBLEMS]) + (", …" if len(found) > _PROBLEMS else "")
        raise StoreError(
            f"{path}: holds what no crush has made, and it would run: {shown}",
            hint="If you do not know where it is from, move the file away and start again. "
            "If you made it yourself, drop it with the sqlite3 program.",
        )


def surprises(connection: apsw.Connection) -> list[str]:
    """Triggers, views, virtual tables and generated columns that are not known."""
    if found := [*_strange_entries(connection)]:
        return found  # to look at the columns of a virtual table would load it
    return [*_generated_columns(connection)]


def check_whole(connection: apsw.Connection, path: str) -> None:
    """SQLite's own look at the file. Raises StoreError if it is damaged, by accident or on purpose."""
    rows = connection.execute(f"PRAGMA quick_check({_PROBLEMS})")
    problems = [str(line) for (line,) in rows if line != "ok"]
    if problems:
        raise StoreError(
            f"{path}: the database is damaged: {'; '.join(problems)}",
            hint="Move the file away and start again, or put back a copy from `backups` beside it.",
        )


def drop_orphans(connection: apsw.Connection) -> None:
    """Forget requests that wait for no run: an answer to one would allow what nobody asked for.

    Recovery ends those of unfinished runs; what else stands there came with the file.
    """
    for table in ("py_pending", "py_questions"):
        connection.execute(
            f"DELETE FROM {table} WHERE run_id NOT IN (SELECT id FROM py_runs WHERE completed = 0)"  # noqa: S608 - ours
        )


def _strange_entries(connection: apsw.Connection) -> Iterator[str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    for name, sql in rows:
        # The text is what SQLite obeys; the columns beside it may say anything.
        text = _plain(str(sql))
        kind = re.match(r"create (?:temp |temporary |unique )?(\w+)", text)
        what = kind[1] if kind else "entry"
        if what in {"table", "index"} or _CRUSH_TRIGGER.fullmatch(text):
            continue
        if text in _our_triggers():
            continue
        yield f"{'virtual table' if what == 'virtual' else what} {str(name)!r}"


def _generated_columns(connection: apsw.Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT s.name, c.name FROM sqlite_schema AS s, pragma_table_xinfo(s.name) AS c"
        " WHERE s.type = 'table' AND c.hidden <> 0"
    )
    for table, column in rows:
        yield f"generated column {str(table)!r}.{str(column)!r}"


@cache
def _our_triggers() -> frozenset[str]:
    """As every version of ours leaves them in a database."""
    found: set[str] = set()
    with closing(apsw.Connection(":memory:")) as connection:
        for _, sql in crush_schema.STEPS:
            connection.execute(sql)
        for migrate in migrations.MIGRATIONS:
            migrate(connection)
            rows = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")
            found.update(_plain(str(sql)) for (sql,) in rows)
    return frozenset(found)


def _plain(sql: str) -> str:
    """The statement without layout, comments and quotes of names, in small letters."""
    text = " ".join(filter(None, map(_plain_token, _TOKEN.findall(sql))))
    return text.replace(" for each row ", " ").replace(" if not exists ", " ")


def _plain_token(token: str) -> str:
    if token.startswith(("--", "/*")):
        return ""
    if token.startswith("'"):
        return token
    if token[0] in '"`[' and re.fullmatch(r"\w+", token[1:-1]):
        return token[1:-1].lower()
    return token.lower()
