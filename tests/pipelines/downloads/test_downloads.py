"""Files come whole or not at all, whatever the server does."""

import hashlib
import logging
import os

import pytest

from decoupage.faults import BadSetup
from pipelines.downloads.item import Download
from pipelines.downloads.run import download_all

MIB = 1 << 20


def get(files, folder, *names, **options):
    """Fetch names from the server; sums may be given as `sums={name: sha256}`."""
    sums = options.pop("sums", {})
    downloads = [Download(f"{files.url}/{name}", name, sha256=sums.get(name)) for name in names]
    options = {
        "workers": 4,
        "timeout_s": 5.0,
        "max_attempts": 3,
        "first_wait_s": 0.01,
        "trusted": [files.url],
    } | options
    return download_all(downloads, folder, **options)


def there(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "lock"}


def reasons(report):
    return {drop["id"]: drop["reason"] for drop in report.drops}


def test_files_come_in_folders_and_are_not_asked_for_twice(files, tmp_path):
    files.content = {"a.jpg": os.urandom(3 * MIB), "deep/b.jpg": b"b", "empty": b""}
    report = get(files, tmp_path, *files.content)
    assert there(tmp_path) == files.content
    assert (report.paths, report.num_fetched, report.num_bytes) == (list(files.content), 3, 3 * MIB + 1)
    again = get(files, tmp_path, *files.content)
    assert (again.paths, again.num_fetched, again.num_bytes) == (report.paths, 0, report.num_bytes)
    assert set(files.num_asked.values()) == {1}


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_what_may_pass_is_tried_again(files, tmp_path, status):
    files.content = {"a": b"a"}
    files.faults["a"].extend([status, status])
    assert get(files, tmp_path, "a").paths == ["a"]
    assert files.num_asked["a"] == 3


def test_retry_after_is_obeyed_by_all_workers(files, tmp_path):
    files.content = {"a": b"a", "b": b"b"}
    files.faults["a"].append(429)
    files.retry_after = "1"
    report = get(files, tmp_path, "a", "b", workers=1)
    assert report.seconds >= 1.0 and len(report.paths) == 2


@pytest.mark.parametrize(("status", "reason"), [(404, "gone"), (410, "gone"), (403, "refused"), (503, "unreachable")])
def test_what_cannot_be_had_is_dropped_and_the_others_come(files, tmp_path, status, reason):
    files.content = {"a": b"a", "b": b"b"}
    files.faults["a"].extend([status] * 3)
    report = get(files, tmp_path, "a", "b")
    assert reasons(report) == {"a": reason} and report.paths == ["b"]
    assert files.num_asked["a"] == (3 if reason == "unreachable" else 1)
    assert there(tmp_path) == {"b": b"b"}


def test_a_cut_connection_goes_on_where_it_ended(files, tmp_path):
    files.content = {"a": os.urandom(4 * MIB)}
    files.faults["a"].extend([("cut", MIB), ("cut", MIB), ("cut", 100)])
    get(files, tmp_path, "a")
    assert there(tmp_path) == files.content
    starts = [int(asked.removeprefix("bytes=").rstrip("-") or 0) for _, asked in files.asked]
    assert starts == sorted(starts) and starts[1] > 0


def test_progress_counts_for_no_failure_and_its_absence_does(files, tmp_path):
    files.content = {"long": os.urandom(12 * MIB), "stuck": os.urandom(4 * MIB)}
    files.faults["long"].extend([("cut", 2 * MIB)] * 5)
    files.faults["stuck"].extend([("cut", 100)] * 5)
    report = get(files, tmp_path, "long", "stuck", max_attempts=2)
    assert report.paths == ["long"] and reasons(report) == {"stuck": "unreachable"}
    assert files.num_asked == {"long": 6, "stuck": 2}


def test_a_server_that_knows_no_ranges_or_tags_sends_all_of_it_again(files, tmp_path):
    for etags, ranges, name in ((True, False, "a"), (False, True, "b")):
        files.etags, files.ranges = etags, ranges
        files.content[name] = os.urandom(2 * MIB)
        files.faults[name].append(("cut", MIB))
        get(files, tmp_path, name)
    assert there(tmp_path) == files.content


def test_a_file_that_changed_meanwhile_is_not_mixed(files, tmp_path):
    old, new = os.urandom(2 * MIB), os.urandom(2 * MIB)
    files.content = {"a": new}
    files.faults["a"].append(("body", old))
    real = files.content["a"]
    # The first answer is the old version, cut by this run's end; the rest is asked for by another run.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.downloads.partial.find_fault", lambda *_: "as if killed here")
        patch.setattr("pipelines.downloads.partial.PartialFile.remove", lambda *_: None)
        get(files, tmp_path, "a", max_attempts=1)
    part = next((tmp_path / ".partial").glob("*.part"))
    assert part.read_bytes() == old
    part.write_bytes(old[:MIB])
    get(files, tmp_path, "a")
    assert files.asked[-1] == ("a", f"bytes={MIB}-")
    assert there(tmp_path) == {"a": real}


def test_a_wrong_hash_is_fetched_again_and_then_refused(files, tmp_path):
    right, wrong = os.urandom(1000), os.urandom(1000)
    sums = {name: hashlib.sha256(right).hexdigest() for name in ("a", "b")}
    files.content = {"a": right, "b": wrong}
    files.faults["a"].append(("body", wrong))
    report = get(files, tmp_path, "a", "b", sums=sums)
    assert there(tmp_path) == {"a": right}
    assert reasons(report) == {"b": "wrong_content"}
    (tmp_path / "a").write_bytes(wrong)
    get(files, tmp_path, "a", sums=sums)
    assert there(tmp_path) == {"a": right}


def test_an_end_that_nobody_can_see_is_refused(files, tmp_path):
    files.content, files.lengths = {"a": b"whole", "b": b"whole"}, False
    report = get(files, tmp_path, "a", "b", sums={"b": hashlib.sha256(b"whole").hexdigest()})
    assert reasons(report) == {"a": "unknown_length"} and there(tmp_path) == {"b": b"whole"}


def test_no_file_is_larger_than_allowed(files, tmp_path):
    files.content = {"a": bytes(2000), "b": bytes(1000)}
    report = get(files, tmp_path, "a", "b", max_file_bytes=1000)
    assert reasons(report) == {"a": "too_large"} and set(there(tmp_path)) == {"b"}


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_the_byte_budget_ends_the_list_at_one_place(files, tmp_path, workers):
    files.content = {f"{i:02d}": bytes(1000 + i) for i in range(20)}
    files.faults["00"].append(("slow", 0.2))
    report = get(files, tmp_path, *files.content, workers=workers, max_bytes=5500)
    assert report.paths == ["00", "01", "02", "03", "04"]
    assert report.num_left == 15
    assert len(there(tmp_path)) <= 6 + workers
    asked = len(files.asked)
    again = get(files, tmp_path, *files.content, workers=workers, max_bytes=5500)
    assert (again.paths, len(files.asked)) == (report.paths, asked)
    more = get(files, tmp_path, *files.content, workers=workers, max_bytes=10**9)
    assert more.paths == list(files.content) and more.num_left == 0


def test_redirects_stay_on_the_web(files, tmp_path):
    files.content = {"a": b"a", "b": b"b", "c": b"c"}
    files.faults["a"].append(("redirect", f"{files.url}/b"))
    files.faults["b"].extend([("redirect", "file:///etc/passwd")])
    files.faults["c"].extend([("redirect", f"{files.url}/c")] * 9)
    report = get(files, tmp_path, "a", "c", workers=1)
    assert reasons(report) == {"a": "bad_redirect", "c": "bad_redirect"}
    assert get(files, tmp_path, "a").paths == ["a"]


def test_a_dripping_server_is_given_up(files, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.downloads.attempt._SLOWEST_BYTES_PER_S", 10**9)
    files.content = {"a": os.urandom(64 * MIB)}
    report = get(files, tmp_path, "a", timeout_s=0.01, max_attempts=1)
    assert reasons(report) == {"a": "unreachable"}


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", ".hidden", "a//b", "a\\b", "", "a\nb", ".partial/lock"])
def test_paths_stay_in_the_folder(path):
    with pytest.raises(ValueError, match="must stay inside"):
        Download("http://127.0.0.1/a", path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a", "http:///a", "//host/a", "a"])
def test_only_web_addresses_are_taken(url):
    with pytest.raises(ValueError, match="must begin with http"):
        Download(url, "a")


def test_links_do_not_lead_out(files, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train").symlink_to(outside)
    with pytest.raises(BadSetup, match="leads out of"):
        get(files, folder, "train/a")


def test_a_dead_network_ends_the_run(files, tmp_path):
    files.faults["*"].append(503)
    with pytest.raises(BadSetup, match="files in a row could not be reached"):
        get(files, tmp_path, *map(str, range(100)), workers=2, max_attempts=1)
    assert len(files.asked) < 20


def test_one_run_at_a_time(files, tmp_path):
    import fcntl

    (tmp_path / ".partial").mkdir()
    with (tmp_path / ".partial" / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BadSetup, match="another run"):
            get(files, tmp_path, "a")


def test_leftovers_of_other_lists_go(files, tmp_path):
    files.content = {"a": b"a", "b": os.urandom(MIB)}
    files.faults["b"].append(("cut", 1000))
    get(files, tmp_path, "b", max_attempts=1)
    assert list((tmp_path / ".partial").glob("*.part"))
    get(files, tmp_path, "a")
    assert [path.name for path in (tmp_path / ".partial").iterdir()] == ["lock"]


def test_secrets_in_addresses_are_told_to_nobody(files, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    address = files.url.replace("http://", "http://user:geheim@")
    downloads = [Download(f"{address}/{name}?token=geheim", name) for name in ("a", "b")]
    files.content = {"a": os.urandom(1000)}
    files.faults["a"].append(("cut", 10))
    report = download_all(downloads, tmp_path, max_attempts=1, trusted=[files.url])
    written = "".join(path.read_text() for path in (tmp_path / ".partial").glob("*.json"))
    assert len(report.drops) == 2 and written
    assert "geheim" not in caplog.text + str(report.drops) + written
