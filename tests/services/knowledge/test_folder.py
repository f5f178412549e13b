"""The knowledge folder: which files are documents."""

import os
from pathlib import Path

import pytest

from infrastructure.errors import KnowledgeError
from services.knowledge.folder import FolderMissing, FoundFile, read, scan


def names(folder: Path) -> list[str]:
    return [file.name for file in scan(folder)]


def write(folder: Path, name: str, text: str = "text") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_names_are_paths_below_the_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.md", "a/c.txt", "a/d/e.yml"):
        write(tmp_path, name)
    assert names(tmp_path) == ["a/c.txt", "a/d/e.yml", "b.md"]


def test_hidden_files_and_unknown_types_are_left_out(tmp_path: Path) -> None:
    for name in (".a.md", ".git/a.md", "a.exe", "README", "good.md"):
        write(tmp_path, name)
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    assert names(tmp_path) == ["good.md"]


def test_links_that_leave_the_folder_are_left_out(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    secret = write(outside, "secret.md")
    good = write(inside, "good.md")
    (inside / "file.md").symlink_to(secret)
    (inside / "dir").symlink_to(outside)
    (inside / "sub").mkdir()
    (inside / "sub" / "up.md").symlink_to("../../out/secret.md")
    (inside / "same.md").symlink_to(good)
    (inside / "dangling.md").symlink_to("nowhere.md")
    assert names(inside) == ["good.md", "same.md"]


def test_a_link_to_a_folder_above_is_not_followed_for_ever(tmp_path: Path) -> None:
    write(tmp_path, "a/b.md")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert names(tmp_path) == ["a/b.md"]


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path, "real/a.md")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(tmp_path / "link") == ["a.md"]


def test_a_name_that_is_not_utf8_is_left_out(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.md")).write_text("a")
    assert names(tmp_path) == []


def test_a_missing_folder_is_told_from_an_empty_one(tmp_path: Path) -> None:
    assert names(tmp_path) == []
    with pytest.raises(FolderMissing):
        scan(tmp_path / "missing")


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "12345")
    (file,) = scan(tmp_path)
    assert read(file, 5) == b"12345"
    with pytest.raises(KnowledgeError, match="larger than 4"):
        read(file, 4)


def test_a_file_that_cannot_be_opened_or_is_gone_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="cannot be read"):
        read(FoundFile("a.md", tmp_path, 1, 0), 10)
    with pytest.raises(FileNotFoundError):
        read(FoundFile("a.md", tmp_path / "gone.md", 1, 0), 10)
