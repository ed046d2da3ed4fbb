"""Which model a run asks: `-m`, else the configuration, else the first provider that has a key."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from crush import paths
from crush.config.catalogue import LOCAL
from crush.config.connection import connect, find_missing, is_ready
from crush.config.load import Config
from crush.config.offers import Offer, list_offers
from crush.config.schema import ModelChoice
from crush.config.settings import ChosenModel
from crush.errors import ConfigError, NoProviderError
from crush.wire.requests import ModelInfo, SelectedModel

Kind = Literal["large", "small"]

_MOST_CANDIDATES = 10


class AvailableModel(Struct, frozen=True, kw_only=True):
    """A model that could be asked; `configured` says whether its provider is ready."""

    provider: str
    provider_name: str
    model: ModelInfo
    configured: bool


class _Pick(Struct, frozen=True):
    offer: Offer
    model: ModelInfo


def choose_model(
    config: Config,
    env: Mapping[str, str],
    *,
    wanted: str = "",
    kind: Kind = "large",
    beside: ChosenModel | None = None,
) -> ChosenModel:
    """The model to ask, ready to be asked.

    `wanted` is `model` or `provider/model` in any case. `beside` is the large model that was wanted
    for this run: without a wanted small one, the small model is then of the same provider.
    Raises ConfigError if the choice fits no model or several, or its provider cannot be used, and
    NoProviderError if there is nothing to choose from.
    """
    env = {**env, **config.env}
    offers = list_offers(config, env)
    ready = [offer for offer in offers if is_ready(offer, env)]
    choice = config.models.get(kind, ModelChoice())
    if wanted:
        pick = _find(wanted, offers, ready, env)
    elif kind == "small" and beside is not None:
        return _small_beside(beside, offers, env)
    elif _is_settled(choice, kind, ready):
        pick = _configured(choice, kind, offers, ready, env)
    elif kind == "small":
        return _small_beside(choose_model(config, env), offers, env)
    else:
        pick = _first(ready, env)
    return _chosen(pick, choice, env)


def available_models(config: Config, env: Mapping[str, str]) -> list[AvailableModel]:
    """Every listed model of every provider that is not disabled."""
    env = {**env, **config.env}
    return [
        AvailableModel(
            provider=offer.id,
            provider_name=offer.name,
            model=model,
            configured=configured,
        )
        for offer in list_offers(config, env)
        for configured in [is_ready(offer, env)]
        for model in offer.models
    ]


def _is_settled(choice: ModelChoice, kind: Kind, ready: Iterable[Offer]) -> bool:
    """A small model that cannot be had is no reason to fail: the large one's provider has another."""
    if kind == "small" and choice.provider:
        return _provider(choice.provider, ready) is not None
    return bool(choice.model or choice.provider)


def _chosen(pick: _Pick, choice: ModelChoice, env: Mapping[str, str]) -> ChosenModel:
    selected = SelectedModel(model=pick.model.id, provider=pick.offer.id)
    if _says(choice.provider, pick.offer.id) and _says(choice.model, pick.model.id):
        selected = msgspec.structs.replace(
            selected,
            reasoning_effort=choice.reasoning_effort,
            think=choice.think,
            max_tokens=choice.max_tokens,
            temperature=choice.temperature,
            top_p=choice.top_p,
        )
    return ChosenModel(
        provider=connect(pick.offer, env),
        info=pick.model,
        selected=selected,
        small=pick.offer.type == LOCAL,
    )


def _says(configured: str, picked: str) -> bool:
    return not configured or configured.casefold() == picked.casefold()


def _find(
    wanted: str, offers: Sequence[Offer], ready: Sequence[Offer], env: Mapping[str, str]
) -> _Pick:
    """What `-m` means: a listed model of a named provider, a listed model, then an unlisted one."""
    provider_id, slash, model_id = wanted.partition("/")
    named = _provider(provider_id, ready) if slash else None
    if named is not None and (model := named.listed(model_id)):
        return _Pick(named, model)
    picks = [_Pick(offer, model) for offer in ready if (model := offer.listed(wanted))]
    if len(picks) == 1:
        return picks[0]
    if picks:
        raise ConfigError(
            f"several providers have the model {wanted!r}: {_names(picks)}",
            hint="name the provider too: -m provider/model",
        )
    if named is not None and model_id and named.type != LOCAL:
        return _Pick(named, ModelInfo(id=model_id, name=model_id))
    raise _not_found(wanted, offers, ready, env)


def _not_found(
    wanted: str, offers: Sequence[Offer], ready: Sequence[Offer], env: Mapping[str, str]
) -> ConfigError:
    unready = [offer for offer in offers if offer not in ready]
    provider_id, slash, _ = wanted.partition("/")
    named = _provider(provider_id, unready) if slash else None
    owner = named or next((offer for offer in unready if offer.listed(wanted)), None)
    if owner is not None:
        problem = find_missing(owner, env)
        return ConfigError(f"the model {wanted!r} is of provider {owner.id!r}: {problem}")
    if not ready:
        return _no_provider(env)
    everything = [_Pick(offer, model) for offer in ready for model in offer.models]
    similar = [pick for pick in everything if wanted.casefold() in _name(pick).casefold()]
    return ConfigError(
        f"no configured provider has the model {wanted!r}; there are: {_names(similar or everything)}",
        hint="`crush models` lists all of them",
    )


def _configured(
    choice: ModelChoice,
    kind: Kind,
    offers: Sequence[Offer],
    ready: Sequence[Offer],
    env: Mapping[str, str],
) -> _Pick:
    """What `models.large` or `models.small` says."""
    if not choice.provider:
        return _find(choice.model, offers, ready, env)
    offer = _provider(choice.provider, offers)
    if offer is None:
        raise ConfigError(
            f"models.{kind} names the provider {choice.provider!r}, which is not configured"
        )
    if offer not in ready:
        problem = find_missing(offer, env)
        raise ConfigError(f"models.{kind} names the provider {offer.id!r}: {problem}")
    if not choice.model:
        if (default := offer.default(kind) or offer.default("large")) is None:
            raise ConfigError(f"models.{kind} names no model, and {offer.id!r} lists none")
        return _Pick(offer, default)
    listed = offer.listed(choice.model)
    return _Pick(offer, listed or ModelInfo(id=choice.model, name=choice.model))


def _first(ready: Iterable[Offer], env: Mapping[str, str]) -> _Pick:
    """The embedded model is never taken by itself: it would answer where a user expects an agent."""
    for offer in ready:
        if offer.type != LOCAL and (model := offer.default("large")):
            return _Pick(offer, model)
    raise _no_provider(env)


def _small_beside(
    large: ChosenModel, offers: Iterable[Offer], env: Mapping[str, str]
) -> ChosenModel:
    """The small model of the same provider, or the large one once more."""
    offer = _provider(large.provider.id, offers)
    model = offer.default("small") if offer is not None else None
    if offer is None or model is None:
        return large
    return _chosen(_Pick(offer, model), ModelChoice(), env)


def _provider(provider_id: str, offers: Iterable[Offer]) -> Offer | None:
    wanted = provider_id.casefold()
    return next((offer for offer in offers if offer.id.casefold() == wanted), None)


def _name(pick: _Pick) -> str:
    return f"{pick.offer.id}/{pick.model.id}"


def _names(picks: Sequence[_Pick]) -> str:
    shown = ", ".join(_name(pick) for pick in picks[:_MOST_CANDIDATES])
    more = len(picks) - _MOST_CANDIDATES
    return f"{shown} and {more} more" if more > 0 else shown


def _no_provider(env: Mapping[str, str]) -> NoProviderError:
    path = f"{paths.global_config_dir(env)}/crush.json"
    return NoProviderError(
        "no model to ask. Three ways to get one: set a key, such as ANTHROPIC_API_KEY or "
        f"OPENAI_API_KEY; describe a provider in {path}; or take the embedded model, which chats "
        f"but does not code: `crush models install {LOCAL}`, then `-m {LOCAL}/smollm2`"
    )
