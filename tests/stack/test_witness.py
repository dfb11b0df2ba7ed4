"""Whether a data directory is a copy."""

import shutil
from pathlib import Path

import pytest

from app.stack.running.witness import is_copy, mark


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    (directory / "postgres" / "data").mkdir(parents=True)
    mark(directory)
    return directory


def test_a_new_directory_is_none(tmp_path: Path) -> None:
    assert not is_copy(tmp_path)


def test_the_directory_itself_is_none_however_often_it_starts(marked: Path) -> None:
    for _ in range(3):
        assert not is_copy(marked)
        mark(marked)
    moved = marked.rename(marked.with_name("moved"))
    assert not is_copy(moved), "a renamed directory is the same"


def test_a_copy_is_one_also_when_it_is_put_in_the_place_of_the_first(marked: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(marked, copy)
    assert is_copy(copy)
    mark(marked)
    shutil.rmtree(marked)
    copy.rename(marked)
    assert is_copy(marked)
    mark(marked)
    assert not is_copy(marked)


def test_files_that_are_overwritten_in_place_are_a_copy(marked: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(marked, copy)
    shutil.copytree(copy, marked, dirs_exist_ok=True)
    assert is_copy(marked)


def test_a_database_without_the_mark_is_a_copy(marked: Path) -> None:
    (marked / "witness.json").unlink()
    assert is_copy(marked)
    mark(marked)
    (marked / "witness").unlink()
    assert is_copy(marked)
