"""A home and a checkout for each test."""

import os

import pytest

from tests.config.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: os.PathLike[str]) -> Checkout:
    return Checkout(os.fspath(tmp_path))
