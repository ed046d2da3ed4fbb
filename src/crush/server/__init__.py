"""The aiohttp application: routes, event streams, authentication, claims, lifetime."""
