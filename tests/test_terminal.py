"""Tables for people: what is wide folds, nothing is cut off, and a cell is what it was."""

import pytest

from foundation.terminal import PIPED_WIDTH, print_table


def printed(capsys, *table, **more):
    print_table(*table, **more)
    return capsys.readouterr().out.splitlines()


def test_numbers_are_set_to_the_right_and_what_is_absent_is_a_dash(capsys):
    lines = printed(capsys, ["rank", "subject"], [(1, "S1"), (12345, None)], title="Title")

    assert lines == ["Title", "  rank  subject", "------  ---------", "     1  S1", "12,345  -"]


def test_a_wide_table_folds_its_widest_cells_and_cuts_nothing(capsys):
    words, link = "long words that go on " * 10, "https://" + "z" * 300
    lines = printed(capsys, ["count", "text"], [(1223, words), (7, link), (10_000, " lead")])

    assert max(map(len, lines)) <= PIPED_WIDTH
    assert " ".join(words.split()) in " ".join(" ".join(lines).replace("1,223", "").split())
    assert link in "".join(line.strip() for line in lines)
    assert any(line.startswith("  1,223  ") for line in lines)
    assert any(line.endswith("10,000   lead") for line in lines)


@pytest.mark.parametrize("cell", ["1,223", "0x1F", "1e5", "+7", "nan", "  "])
def test_a_text_that_looks_like_a_number_stays_as_it_is(capsys, cell):
    lines = printed(capsys, ["subject", "note"], [(cell, "x" * 200), ("S2", "y")])

    assert lines[2].startswith(cell)


def test_control_characters_are_shown_and_do_nothing(capsys):
    assert printed(capsys, ["name"], [("a\x1b[2J\nb",)])[2] == "a\\x1b[2J\\nb"


def test_a_table_without_rows_has_its_columns(capsys):
    assert printed(capsys, ["a", "b"], []) == ["a    b", "---  ---"]
