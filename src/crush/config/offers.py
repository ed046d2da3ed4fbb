"""Which providers could be asked, with which models: the catalogue joined with the configuration.

Whether one is ready to be asked, and how it is reached, is `connection`'s.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from crush.config.catalogue import LOCAL, KnownProvider, load_catalogue, local_model
from crush.config.load import Config
from crush.config.trust import ProviderConfig
from crush.wire.requests import ModelInfo


class Offer(Struct, frozen=True, kw_only=True):
    """A provider with its models.

    Attributes:
        type: as the configuration says, else as the catalogue; other providers are compatible ones.
        known: its entry in the catalogue.
        config: its entry in the configuration.
    """

    id: str
    name: str
    type: str
    models: tuple[ModelInfo, ...]
    known: KnownProvider | None = None
    config: ProviderConfig | None = None

    def listed(self, model_id: str) -> ModelInfo | None:
        """The listed model of that id, in any case."""
        wanted = model_id.casefold()
        return next((model for model in self.models if model.id.casefold() == wanted), None)

    def default(self, kind: str) -> ModelInfo | None:
        """The model taken when the user chose none; None if it must be chosen."""
        if self.known is not None:
            return self.listed(self.known.large if kind == "large" else self.known.small)
        return self.models[0] if self.models and kind == "large" else None


def list_offers(config: Config, env: Mapping[str, str]) -> list[Offer]:
    """All that is not disabled: the catalogue in its order, others as configured, the embedded one."""
    catalogue = () if _without_catalogue(config, env) else load_catalogue()
    joined = [_join(known, config.providers.get(known.id)) for known in catalogue]
    known_ids = {known.id for known in catalogue}
    joined += [
        _declared(own)
        for own in config.providers.values()
        if own.id not in known_ids and not _means_embedded(own)
    ]
    if all(offer.id != LOCAL for offer in joined):
        joined.append(_embedded(config.providers.get(LOCAL)))
    return [offer for offer in joined if offer.config is None or not offer.config.entry.disable]


def _without_catalogue(config: Config, env: Mapping[str, str]) -> bool:
    switch = env.get("CRUSH_DISABLE_DEFAULT_PROVIDERS", "").lower()
    return config.options.disable_default_providers or switch in {"1", "true", "yes"}


def _join(known: KnownProvider, own: ProviderConfig | None) -> Offer:
    if own is None:
        return Offer(
            id=known.id, name=known.name, type=known.type, models=known.models, known=known
        )
    return Offer(
        id=known.id,
        name=own.entry.name or known.name,
        type=own.entry.type or known.type,
        models=_join_models((*known.models, *own.entry.models)),
        known=known,
        config=own,
    )


def _declared(own: ProviderConfig) -> Offer:
    return Offer(
        id=own.id,
        name=own.entry.name or own.id,
        type=own.entry.type or "openai-compat",
        models=_join_models(own.entry.models),
        config=own,
    )


def _embedded(own: ProviderConfig | None) -> Offer:
    return Offer(id=LOCAL, name="Embedded model", type=LOCAL, models=(local_model(),), config=own)


def _means_embedded(own: ProviderConfig) -> bool:
    """A user's own server may be called `local` too; then it says where it is."""
    return own.id == LOCAL and not (own.entry.base_url or own.entry.type)


def _join_models(models: Iterable[ModelInfo]) -> tuple[ModelInfo, ...]:
    """One model per id, in the order of first mention; what a later mention leaves out stays."""
    joined: dict[str, ModelInfo] = {}
    for model in models:
        earlier = joined.get(model.id)
        joined[model.id] = model if earlier is None else _overlay(earlier, model)
    return tuple(joined.values())


def _overlay(earlier: ModelInfo, later: ModelInfo) -> ModelInfo:
    said = {name: getattr(later, name) for name in later.__struct_fields__}
    return msgspec.structs.replace(earlier, **{key: value for key, value in said.items() if value})
