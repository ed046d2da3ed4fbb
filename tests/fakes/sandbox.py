"""A machine without a sandbox."""

from crush.sandbox.sandbox import Sandbox

REMEDY = "install bubblewrap"


async def no_sandbox() -> Sandbox:
    return Sandbox(wall=None, hidden=(), reason="there is none here", remedy=REMEDY)
