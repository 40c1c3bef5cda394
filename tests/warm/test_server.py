"""Which programs run warm: all whose libraries would read the same variables at their import."""

from tests.warm.server import read_at_import


def test_what_our_commands_set_does_not_make_later_programs_cold():
    fresh = {"OMP_NUM_THREADS": "1", "HOME": "/home"}
    assert read_at_import({**fresh, "TRANSFORMERS_VERBOSITY": "error"}) == read_at_import(fresh)
    assert read_at_import({**fresh, "HF_HUB_OFFLINE": "1"}) != read_at_import(fresh)
    assert read_at_import({**fresh, "HOME": "/other"}) == read_at_import(fresh)
