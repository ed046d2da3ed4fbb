"""A hostile project, made once for all that look at it."""

import pytest

from tests.permissions.hostile_project import HostileProject


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> HostileProject:
    """Only to look at: who changes it works on a copy."""
    project = HostileProject(tmp_path_factory.mktemp("hostile"))
    project.make()
    return project
