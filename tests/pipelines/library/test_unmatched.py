"""Lines that match nothing are told, with what they probably mean."""

from pipelines.library.unmatched import Unmatched, in_none, unmatched


def test_a_line_is_told_with_what_it_probably_means():
    known = {"good.jpg", "good2.jpg", "cafe\u0301.jpg", "a/b.jpg"}
    missed = unmatched(
        "list.csv", ["Good.JPG", "./good2.jpg", "caf\u00e9.jpg", "a\\b.jpg", "a/b.jpg", "x"], known, "no file"
    )
    assert missed.lines == {
        "Good.JPG": "good.jpg",
        "./good2.jpg": "good2.jpg",
        "caf\u00e9.jpg": "cafe\u0301.jpg",
        "a\\b.jpg": "a/b.jpg",
        "x": "",
    }
    assert missed.sentence == (
        "list.csv: 5 of 6 lines match no file: 'Good.JPG' (is 'good.jpg' meant?), "
        "'./good2.jpg' (is 'good2.jpg' meant?), "
        "'caf\u00e9.jpg' (is 'cafe\u0301.jpg' meant, which is spelled with other Unicode characters?), ..."
    )


def test_foreign_text_is_escaped():
    assert "\x1b" not in unmatched("list", ["\x1b[2J"], set(), "no id").sentence


def test_what_one_kind_matches_is_not_told():
    foregrounds = Unmatched("list", 3, {"a": "", "b": ""}, "no id")
    backgrounds = Unmatched("list", 3, {"b": "B", "c": ""}, "no id")
    assert in_none([foregrounds, backgrounds]) == [Unmatched("list", 3, {"b": "B"}, "no id")]
    assert in_none([foregrounds, Unmatched("list", 3, {"c": ""}, "no id")]) == []
