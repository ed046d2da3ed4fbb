"""What the warm path imports is a budget: every module in it is paid for by every command."""

import subprocess
import sys

import pytest

# The cores of `socket` and `json`, which without their modules cost nothing.
ALLOWED = {
    *("_json", "_socket", "errno", "select"),
    *("crush", "crush.errors", "crush.paths", "crush.launch", "crush.launch.host"),
    *("crush.launch.http", "crush.launch.response", "crush.launch.connect"),
    *("crush.launch.budget", "crush.launch.protocol", "crush.launch.thin_json"),
}


def modules_after(statement: str) -> set[str]:
    program = (
        f"import sys; before = set(sys.modules); {statement}; "
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import crush.launch.http",
        "import crush.launch.connect, crush.launch.budget, crush.launch.protocol",
    ],
)
def test_the_warm_path_imports_nothing_beyond_its_list(statement: str) -> None:
    assert modules_after(statement) - ALLOWED == set()


def test_a_start_imports_neither_subprocess_nor_asyncio() -> None:
    imported = modules_after("import crush.launch.ensure")
    assert not imported & {"subprocess", "asyncio", "threading", "typing", "pathlib", "argparse"}
