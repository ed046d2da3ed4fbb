"""The configuration as classic clients read it: no secret in it, only a placeholder for a key."""

import re
from collections.abc import Mapping

from crush.config.choose import choose_model
from crush.config.connection import is_ready
from crush.config.load import Config
from crush.config.offers import Offer, list_offers
from crush.errors import ConfigError
from crush.wire.requests import ConfigView, OptionsView, ProviderView, SelectedModel

PLACEHOLDER = "********"

# Addresses with a password or a query are refused when they are used, but shown before that.
_SECRET_PARTS = re.compile(r"(?<=//)[^/]*@|[?#].*")


def config_view(config: Config, env: Mapping[str, str]) -> ConfigView:
    """What `GET …/config` and a workspace answer. Never raises: a wrong part is left out."""
    run_env = {**env, **config.env}
    ready = [offer for offer in list_offers(config, run_env) if is_ready(offer, run_env)]
    return ConfigView(
        models=_models(config, env),
        providers={offer.id: _provider(offer) for offer in ready},
        options=OptionsView(data_directory=config.data_dir, tui=config.options.tui),
    )


def _models(config: Config, env: Mapping[str, str]) -> dict[str, SelectedModel]:
    try:
        return {
            "large": choose_model(config, env).selected,
            "small": choose_model(config, env, kind="small").selected,
        }
    except ConfigError:
        return {}


def _provider(offer: Offer) -> ProviderView:
    entry = offer.config.entry if offer.config is not None else None
    address = (entry.base_url if entry else "") or (offer.known.base_url if offer.known else "")
    has_key = offer.known is not None or bool(entry and entry.api_key)
    return ProviderView(
        id=offer.id,
        name=offer.name,
        base_url=_SECRET_PARTS.sub("", address),
        type=offer.type,
        api_key=PLACEHOLDER if has_key else "",
        models=list(offer.models),
    )
