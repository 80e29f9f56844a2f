from tristage_ros.bench.model.table import Table, show, write_chapter

TABLE = Table("Rows", ("method", "ms"), [("none", "2.0")], note="A note.")


def test_markdown():
    assert TABLE.markdown() == "### Rows\n\n| method | ms |\n| --- | --: |\n| none | 2.0 |\n\nA note.\n"


def test_a_chapter_replaces_its_own_and_no_other(tmp_path):
    path = tmp_path / "BENCHMARKS.md"
    for heading, body in (("mini on cpu", "old"), ("7b on cuda", "gpu"), ("mini on cpu", "new")):
        write_chapter(path, heading, body)
    text = path.read_text()
    assert text.startswith("# Benchmarks\n") and "old" not in text
    assert text.index("## mini on cpu\n\nnew") < text.index("## 7b on cuda\n\ngpu"), "a chapter keeps its place"


def test_tables_fit_into_100_columns(capsys):
    show([TABLE])
    printed = capsys.readouterr().out
    assert "none" in printed and "A note." in printed
    assert max(map(len, printed.splitlines())) <= 100
