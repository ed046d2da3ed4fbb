"""When the temporary directory of a session goes."""

import os
from pathlib import Path

from crush.tools.session_tmp import make_session_tmp, remove_unused, session_tmp


def test_what_no_command_has_used_for_long_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    old, used, kept = (Path(session_tmp(str(tmp_path), name)) for name in ("old", "used", "new"))
    for directory in (old, used, kept):
        make_session_tmp(str(directory))
        (directory / "sub").mkdir()
        (directory / "sub" / "link").symlink_to(kept)
    for directory in (old, used):
        os.utime(directory, (1000, 1000))
    make_session_tmp(str(used))
    remove_unused(str(tmp_path), before=2000)
    assert sorted(tmp_path.iterdir()) == sorted([used, kept])
    assert (kept / "sub").is_dir()


def test_files_and_links_beside_them_are_left(tmp_path: Path) -> None:
    base, outside = tmp_path / "base", tmp_path / "outside"
    base.mkdir()
    outside.mkdir()
    (base / "output").touch()
    (base / "link").symlink_to(outside)
    for path in (base / "output", outside):
        os.utime(path, (1000, 1000))
    remove_unused(str(base), before=2000)
    assert {path.name for path in base.iterdir()} == {"output", "link"}
    assert outside.is_dir()
    remove_unused(str(tmp_path / "none"), before=2000)
