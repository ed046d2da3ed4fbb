"""Machines without a sandbox, and with one."""

from crush.sandbox.sandbox import Sandbox
from crush.sandbox.walls import BubblewrapWall

REMEDY = "install bubblewrap"


async def no_sandbox() -> Sandbox:
    return Sandbox(wall=None, hidden=(), reason="there is none here", remedy=REMEDY)


async def untried_sandbox() -> Sandbox:
    """One that counts as holding; nothing is started in it."""
    wall = BubblewrapWall("bwrap", binds_descriptors=False)
    return Sandbox(wall=wall, hidden=(), reason="", remedy="")
