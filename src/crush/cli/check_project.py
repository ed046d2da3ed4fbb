"""What `crush doctor` checks of a directory: configuration, providers, database. Shows no key."""

import os
from collections.abc import Iterator

from crush.cli.check import Check, size_text, tree_size
from crush.config.catalogue import LOCAL
from crush.config.choose import choose_model
from crush.config.connection import find_missing
from crush.config.load import Config, load_config
from crush.config.offers import Offer, list_offers
from crush.errors import ConfigError, StoreError
from crush.paths import Env, project_data_dir, project_db, project_db_exists
from crush.store.health import Health, examine

_CHECK_WITHIN_S = 10.0


def check_project(cwd: str, env: Env, *, data_dir: str) -> Iterator[Check]:
    try:
        config = load_config(cwd, env, data_dir=data_dir)
    except ConfigError as exc:
        yield Check("configuration", "fail", exc.message, hint=exc.hint or "correct that file")
        data_dir = data_dir or project_data_dir(cwd)
    else:
        files = ", ".join(config.files) or "no file; the defaults hold"
        yield Check("configuration", "ok", files)
        for notice in config.notices:
            yield Check("configuration", "warn", notice)
        yield from _providers(config, {**env, **config.env})
        yield _model(config, env)
        data_dir = config.data_dir
    yield from _database(data_dir)


def _providers(config: Config, env: Env) -> Iterator[Check]:
    """One line for each that the user meant or that is ready; the rest of the catalogue in one."""
    silent: list[str] = []
    for offer in list_offers(config, env):
        name = f"provider {offer.id}"
        try:
            missing = find_missing(offer, env)
        except ConfigError as exc:
            yield Check(name, "fail", exc.message, hint=exc.hint)
            continue
        if not missing:
            yield Check(name, "ok", _readiness(offer))
        elif offer.config is not None:
            yield Check(name, "warn", missing)
        elif offer.type != LOCAL:  # whose weights are checked elsewhere
            silent.append(offer.id)
    if silent:
        yield Check("other providers", "ok", f"without a key: {', '.join(silent)}")


def _readiness(offer: Offer) -> str:
    models = "1 model" if len(offer.models) == 1 else f"{len(offer.models)} models"
    has_key = offer.known is not None or bool(offer.config and offer.config.entry.api_key)
    return f"{'key set' if has_key else 'needs no key'}, {models}"


def _model(config: Config, env: Env) -> Check:
    try:
        chosen = choose_model(config, env)
    except ConfigError as exc:
        return Check("model", "fail", exc.message, hint=exc.hint)
    return Check("model", "ok", f"{chosen.provider.id}/{chosen.info.id}")


def _database(data_dir: str) -> Iterator[Check]:
    path = project_db(data_dir)
    if not project_db_exists(data_dir):
        yield Check("database", "ok", f"{path} (made by the first run)")
        return
    try:
        health = examine(path, within_s=_CHECK_WITHIN_S)
    except StoreError as exc:
        yield Check("database", "fail", exc.message, hint=exc.hint)
        return
    yield _integrity(path, health)
    yield Check("events", "ok", f"{health.events}, {size_text(health.event_bytes)}")
    backups = os.path.join(data_dir, "backups")
    yield Check("backups", "ok", size_text(tree_size(backups)))


def _integrity(path: str, health: Health) -> Check:
    what = f"{path}, {size_text(health.size_bytes)}, {health.sessions} sessions"
    if health.problems:
        return Check(
            "database",
            "fail",
            f"{what}: {'; '.join(health.problems)}",
            hint="stop every crush, keep the file, and put back a copy from its `backups`",
        )
    if not health.is_checked:
        return Check("database", "warn", f"{what}; too large to check in {_CHECK_WITHIN_S:g} s")
    return Check("database", "ok", f"{what}, intact")
