"""A bench for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with Bench(tmp_path) as opened:
        yield opened
