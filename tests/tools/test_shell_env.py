import os
from pathlib import Path

import pytest

from crush.tools.shell_env import find_shell


def script(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_bash_is_taken_from_the_clients_path(tmp_path: Path) -> None:
    script(tmp_path / "bash")
    assert find_shell({"PATH": f"{tmp_path}:/bin"}, workspace="/nowhere") == [
        f"{tmp_path}/bash",
        "--noprofile",
        "--norc",
    ]


def test_a_bash_of_the_working_directory_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bash")
    monkeypatch.chdir(tmp_path)
    assert os.path.isabs(find_shell({"PATH": ".::/bin"}, workspace="/nowhere")[0])
    assert not find_shell({"PATH": ".::/bin"}, workspace="/nowhere")[0].startswith(str(tmp_path))
