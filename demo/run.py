"""The main job, shown twice: a question for the embedded model, and a failing test repaired.

Owns a temporary home, a server of its own and a scripted model, and leaves none of them behind.
Prints every step with its time; any failure ends it with exit code 1. `make demo` runs it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BIN = os.path.dirname(sys.executable)
CRUSH = os.path.join(BIN, "crush")
MODELS = os.path.join(ROOT, ".cache", "models")
QUESTION = "In one sentence: what is a hash table?"
TASK = "One of the tests fails. Find out why and repair it."


class DemoError(Exception):
    """A step did not do what it should."""


class Demo:
    """A home for one demonstration: its directories, its environment, its server."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._host = "unix://" + os.path.join(directory, "run", "crush.sock")
        home = self.make("home")
        self._env = {
            "PATH": os.pathsep.join((BIN, os.environ.get("PATH", os.defpath))),
            "HOME": home,
            "XDG_CONFIG_HOME": os.path.join(home, ".config"),
            "XDG_DATA_HOME": os.path.join(home, ".local", "share"),
            "XDG_STATE_HOME": os.path.join(home, ".local", "state"),
            "XDG_CACHE_HOME": os.path.join(home, ".cache"),
            "XDG_RUNTIME_DIR": self.make("run"),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def make(self, *parts: str) -> str:
        path = os.path.join(self._directory, *parts)
        os.makedirs(path, mode=0o700)
        return path

    def offer_embedded_model(self) -> None:
        """The weights that `make weights` fetched, as if they had been installed here."""
        if not os.path.isdir(MODELS):
            raise DemoError("the embedded model is not installed: run `make weights`")
        os.symlink(MODELS, os.path.join(self.make("home", ".local", "share", "crush"), "models"))

    def offer_scripted_model(self, url: str) -> None:
        model = {"id": "script", "name": "Script", "context_window": 100_000}
        provider = {
            "type": "openai-compat",
            "base_url": url + "/v1",
            "api_key": "none",
            "models": [model | {"default_max_tokens": 1000}],
        }
        path = os.path.join(self.make("home", ".config", "crush"), "crush.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"providers": {"scripted": provider}}, file)

    def ask(self, *arguments: str, cwd: str) -> str:
        """Run `crush run`, its answer shown as it arrives, and return the answer."""
        command = [CRUSH, "--host", self._host, "--cwd", cwd, "run", *arguments]
        show("$ crush run " + " ".join(_quoted(argument) for argument in arguments))
        started = time.monotonic()
        pieces: list[tuple[float, bytes]] = []
        with subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            while piece := os.read(process.stdout.fileno(), 65536):
                pieces.append((time.monotonic() - started, piece))
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
        answer = b"".join(piece for _, piece in pieces).decode()
        if process.returncode:
            raise DemoError(f"`crush run` ended with {process.returncode}")
        if not answer.strip():
            raise DemoError("`crush run` answered nothing")
        show(f"(first words after {pieces[0][0]:.2f} s, {len(pieces)} pieces)")
        return answer

    def tests_pass(self, project: str) -> bool:
        done = subprocess.run(
            [sys.executable, "-m", "unittest", "--quiet"],
            cwd=project,
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.returncode == 0

    def stop(self) -> None:
        done = subprocess.run(
            [CRUSH, "--host", self._host, "stop", "--force"],
            env=self._env,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"the server did not stop: {done.stderr.decode().strip()}")

    def show_server_log(self) -> None:
        """Only of use after a failure."""
        for directory, _, names in os.walk(self._env["XDG_CACHE_HOME"]):
            if "stderr.log" in names:
                with open(os.path.join(directory, "stderr.log"), encoding="utf-8") as log:
                    sys.stderr.write("".join(log.readlines()[-20:]))


def main() -> None:
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="crush-demo-") as directory:
            demonstrate(Demo(directory))
    except (DemoError, OSError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
    show(f"\nAll done in {time.monotonic() - started:.1f} s; nothing is left running.")


def demonstrate(demo: Demo) -> None:
    with ExitStack() as cleanup:
        demo.offer_embedded_model()
        project = shutil.copytree(os.path.join(HERE, "sample"), demo.make("work") + "/sample")
        demo.offer_scripted_model(cleanup.enter_context(scripted_model()))
        cleanup.callback(demo.stop)
        try:
            with step("1. A question for the embedded model (no key, no network)"):
                demo.ask("--model", "local/smollm2", QUESTION, cwd=demo.make("empty"))
            with step("2. The agent repairs a failing test, driven by a scripted model"):
                repair(demo, project)
        except DemoError:
            demo.show_server_log()
            raise


def repair(demo: Demo, project: str) -> None:
    before = contents(project)
    if demo.tests_pass(project):
        raise DemoError("the sample's tests pass before the repair")
    show("The sample's tests fail.")
    demo.ask("--model", "scripted/script", "--yolo", "--verbose", TASK, cwd=project)
    if not demo.tests_pass(project):
        raise DemoError("the sample's tests still fail")
    after = contents(project)
    changed = sorted(name for name in before if after[name] != before[name])
    if changed != ["shopping.py"]:
        raise DemoError(f"the agent changed {changed}")
    show("The sample's tests pass; changed: shopping.py.")


def contents(project: str) -> Mapping[str, bytes]:
    texts = {}
    for name in sorted(os.listdir(project)):
        if name.endswith(".py"):
            with open(os.path.join(project, name), "rb") as file:
                texts[name] = file.read()
    return texts


@contextmanager
def scripted_model() -> Iterator[str]:
    """The URL of a model server that follows `script.json`."""
    server = os.path.join(ROOT, "tests", "fakes", "model_server.py")
    command = [sys.executable, server, "--script", os.path.join(HERE, "script.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if not (url := process.stdout.readline().strip()):
                raise DemoError("the scripted model did not start")
            yield url
        finally:
            process.terminate()


@contextmanager
def step(title: str) -> Iterator[None]:
    show("\n" + title)
    started = time.monotonic()
    yield
    show(f"[{time.monotonic() - started:.1f} s]")


def show(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


if __name__ == "__main__":
    main()
