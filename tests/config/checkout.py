"""A home and a git checkout on disk, with configuration files written where a test wants them."""

import json
import os
from collections.abc import Mapping
from typing import Literal

from crush.config.choose import choose_model
from crush.config.load import Config, load_config
from crush.config.settings import ChosenModel


class Checkout:
    """`home` is the user's, `root` the git checkout; `env` is the environment of the client."""

    def __init__(self, directory: str) -> None:
        self.home = os.path.join(directory, "home")
        self.root = os.path.join(directory, "checkout")
        os.makedirs(self.home)
        os.makedirs(os.path.join(self.root, ".git"))
        self.env: dict[str, str] = {"HOME": self.home}

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def write(self, path: str, content: Mapping[str, object] | str) -> str:
        """A file in the checkout (or at an absolute path), as JSON unless it is text."""
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def write_global(self, content: Mapping[str, object] | str) -> str:
        return self.write(os.path.join(self.home, ".config", "crush", "crush.json"), content)

    def write_machine_data(self, content: Mapping[str, object] | str) -> str:
        return self.write(
            os.path.join(self.home, ".local", "share", "crush", "crush.json"), content
        )

    def install_local_model(self) -> None:
        weights = "models/smollm2-135m-instruct.gguf"
        self.write(os.path.join(self.home, ".local/share/crush", weights), "GGUF")

    def load(self, *below: str, data_dir: str = "") -> Config:
        return load_config(self.path(*below), self.env, data_dir=data_dir)

    def choose(self, wanted: str = "", kind: Literal["large", "small"] = "large") -> ChosenModel:
        return choose_model(self.load(), self.env, wanted=wanted, kind=kind)
