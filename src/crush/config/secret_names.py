"""Which environment variables hold keys: a run may use them, the tools of a run never see them."""

from crush.config.catalogue import load_catalogue
from crush.config.expand import ExpansionError, references
from crush.config.load import Config

_ALWAYS = ("CRUSH_TOKEN",)


def secret_names(config: Config) -> frozenset[str]:
    """Key variables of the catalogue and of configured providers, each with its shadow `CRUSH_X`."""
    names = {known.key for known in load_catalogue()}
    for provider in config.providers.values():
        entry = provider.entry
        for template in (entry.api_key, *entry.extra_headers.values()):
            names.update(_named_in(template))
    return frozenset((*_ALWAYS, *names, *(f"CRUSH_{name}" for name in names)))


def _named_in(template: str) -> list[str]:
    try:
        return references(template)
    except ExpansionError:
        return []  # it says so itself when it is used
