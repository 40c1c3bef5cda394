"""Retry-After in all its forms."""

from pipelines.retry_after import retry_after_s


def test_times_to_come_back_are_read_in_all_their_forms() -> None:
    assert retry_after_s({"retry-after": "3"}) == 3.0
    assert retry_after_s({"retry-after-ms": "250", "retry-after": "3"}) == 0.25
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert (retry_after_s({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}) or 0) > 1e8
    for nonsense in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "-5"}):
        assert retry_after_s(nonsense) is None
