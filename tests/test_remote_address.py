from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from wssend.remote.address import Place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def test_a_file_that_nobody_listens_on_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
        gone.listen()
    before = path.stat().st_ino
    place = Place(str(path), 0o600)
    assert path.stat().st_ino != before or stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    place.leave()
    assert not path.exists()


def test_one_that_somebody_listens_on_is_left_alone(path: Path) -> None:
    place = Place(str(path), 0o600)
    with pytest.raises(OSError, match="cannot listen: Address already in use") as it:
        Place(str(path), 0o600)
    assert it.value.filename == str(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    place.leave()


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(OSError, match="Address already in use"):
        Place(str(path), 0o600)
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Place(str(path / "deeper"), 0o600)
    assert caught.value.filename == str(path / "deeper")


def test_a_file_that_is_somebody_elses_by_now_stays(path: Path) -> None:
    place = Place(str(path), 0o600)
    os.unlink(path)
    path.write_text("of somebody else")
    place.leave()
    assert path.exists()


def test_the_umask_takes_nothing_away(path: Path) -> None:
    old = os.umask(0o077)
    try:
        place = Place(str(path), 0o666)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    place.leave()
