"""TLS contexts, one per CA configuration of an asking client, built in a thread on first need.

The server's own SSL_CERT_FILE must not decide for a client, so nothing here uses OpenSSL's reading
of the environment: the compiled-in places are loaded by name.
"""

import os
import ssl
import sys
from collections.abc import Mapping

import anyio
from anyio import to_thread
from msgspec import Struct

from crush.errors import ConfigError

_FILE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_DIRECTORY_VARIABLE = "SSL_CERT_DIR"
_SYSTEM_FILES = (  # for a Python whose compiled-in place does not exist on this system
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


class CaFiles(Struct, frozen=True):
    """What a client trusts; all empty for the system's own certificates."""

    file: str = ""
    directory: str = ""
    variable: str = ""


def ca_files(env: Mapping[str, str]) -> CaFiles:
    """The CA configuration of an environment; the first variable that is set wins."""
    directory = env.get(_DIRECTORY_VARIABLE, "")
    for variable in _FILE_VARIABLES:
        if file := env.get(variable, ""):
            return CaFiles(file, directory, variable)
    return CaFiles("", directory, _DIRECTORY_VARIABLE if directory else "")


class TlsContexts:
    """Contexts by CA configuration; a changed file is loaded again."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._contexts: dict[CaFiles, tuple[int, ssl.SSLContext]] = {}

    async def prepare(self, ca: CaFiles) -> None:
        """Build a context that was never asked for. Raises ConfigError as `context` does."""
        if ca not in self._contexts:
            await self.context(ca)

    async def context(self, ca: CaFiles) -> ssl.SSLContext:
        """A context that trusts what `ca` says. Raises ConfigError if that cannot be loaded."""
        async with self._lock:
            return await to_thread.run_sync(self._load, ca)

    def _load(self, ca: CaFiles) -> ssl.SSLContext:
        try:
            changed_ns = os.stat(ca.file).st_mtime_ns if ca.file else 0
            known = self._contexts.get(ca)
            if known is None or known[0] != changed_ns:
                known = self._contexts[ca] = (changed_ns, _build(ca))
        except (OSError, ssl.SSLError) as exc:
            reason = exc.strerror or str(exc)
            raise ConfigError(
                f"the certificates that {ca.variable or 'the system'} names cannot be loaded: "
                f"{ca.file or ca.directory!r}: {reason}"
            ) from exc
        return known[1]


def _build(ca: CaFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if ca.file and os.path.isdir(ca.file):  # REQUESTS_CA_BUNDLE may be one
        context.load_verify_locations(capath=ca.file)
    elif ca.file or ca.directory:
        context.load_verify_locations(cafile=ca.file or None, capath=ca.directory or None)
    elif sys.platform == "win32":
        context.load_default_certs()
    else:
        _load_system(context)
    return context


def _load_system(context: ssl.SSLContext) -> None:
    compiled_in = ssl.get_default_verify_paths()
    files = [f for f in (compiled_in.openssl_cafile, *_SYSTEM_FILES) if os.path.isfile(f)]
    directory = compiled_in.openssl_capath
    if not files and not os.path.isdir(directory):
        raise ConfigError(
            "this system has no CA certificates in any usual place",
            hint="Install its ca-certificates package, or set SSL_CERT_FILE.",
        )
    context.load_verify_locations(
        cafile=files[0] if files else None,
        capath=directory if os.path.isdir(directory) else None,
    )
