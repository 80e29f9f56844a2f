"""What the documents say of the code is so: the picture of the imports, the files they name, the links they follow."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ROOT / "docs"
if not DOCUMENTS.is_dir():
    pytest.skip("needs the source tree", allow_module_level=True)
ALL = [*DOCUMENTS.glob("*.md"), ROOT / "README.md", *(ROOT / ".github").glob("*.md"), ROOT / "BENCHMARKS.md"]


def test_the_picture_of_the_imports_is_true():
    pytest.importorskip("grimp")  # of import-linter
    spec = importlib.util.spec_from_file_location("architecture", DOCUMENTS / "architecture.py")
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    text = drawing.DOCUMENT.read_text(encoding="utf-8")
    assert drawing.drawn(text, drawing.imports()) == text, "run: .venv/bin/python docs/architecture.py"


def test_every_room_is_in_the_picture():
    text = (DOCUMENTS / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "tristage_ros").glob("*/__init__.py")}
    assert set(re.findall(r'^    (\w+)_\["', text, re.M)) == rooms | {"cli"}


def test_every_file_that_the_page_of_the_rooms_names_is_there():
    text = (DOCUMENTS / "architecture.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w/.]+\.(?:py|yaml|msg))`", text) if "YOURS" not in name}
    folders = [ROOT, ROOT / "tristage_ros", *(path for path in (ROOT / "tristage_ros").rglob("*") if path.is_dir())]
    # A bare name stands beside one with its folder.
    lost = {name for name in named if not any((folder / name).exists() for folder in folders)}
    assert len(named) > 30 and not lost


@pytest.mark.parametrize("document", ALL, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document):
    text = document.read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    assert {link for link in links if link and not (document.parent / link).exists()} == set()


def test_every_test_that_a_document_names_is_there():
    written = {
        name for path in (ROOT / "test").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = {name for path in ALL for name in re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8"))}
    assert len(named) > 30 and named - written == set()


def test_the_index_lists_every_document_and_example():
    index = (DOCUMENTS / "README.md").read_text(encoding="utf-8")
    files = [*DOCUMENTS.glob("*.md"), *(ROOT / "examples").glob("*.py")]
    assert [path.name for path in files if f"{path.name})" not in index and path.name != "README.md"] == []
