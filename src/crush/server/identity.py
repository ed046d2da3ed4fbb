"""Who this server is: for `GET /v1/version`, for other builds, and as the owner of its runs."""

import sys

from msgspec import Struct

from crush import __version__
from crush.launch.protocol import PROTOCOL_MAX, PROTOCOL_MIN
from crush.wire.problems import ProtocolRange
from crush.wire.requests import Version


class Identity(Struct, frozen=True, kw_only=True):
    """Who this server is."""

    instance_id: str
    build_id: str
    pid: int

    def version(self) -> Version:
        return Version(
            version=__version__,
            commit="",
            build_id=self.build_id,
            go_version=f"python{sys.version.split()[0]}",
            platform=sys.platform,
            protocol=ProtocolRange(min=PROTOCOL_MIN, max=PROTOCOL_MAX),
            instance_id=self.instance_id,
            pid=self.pid,
        )
