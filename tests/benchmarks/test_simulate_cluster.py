"""The simulated cluster: exact where arithmetic says what comes out, monotonous where chance has a part."""

import json
from dataclasses import replace

import pytest

from benchmarks.cluster_model import Cluster, Load, simulate
from benchmarks.simulate_cluster import main, read_root, read_times

BARE = Cluster(start_s=0.0, stage_s=0.0, driver_s=0.0, latency_s=0.0)
EQUAL = Load("scenes", 12, (10.0,))


@pytest.mark.parametrize(("nodes", "workers", "rounds"), [(1, 1, 12), (1, 4, 3), (3, 2, 2), (5, 1, 3), (20, 1, 1)])
def test_equal_shards_take_as_many_rounds_as_workers_need(nodes, workers, rounds):
    out = simulate([EQUAL], replace(BARE, nodes=nodes, workers=workers))
    assert out.makespan_s == pytest.approx(10 * rounds)
    assert out.utilisation == pytest.approx(12 / (rounds * nodes * workers))
    assert (out.shards, out.busy_s, out.retries) == (12, pytest.approx(120), 0)


def test_stages_follow_one_another_and_each_has_its_start():
    cluster = replace(BARE, workers=4, start_s=7.0, stage_s=2.0)
    out = simulate([EQUAL, replace(EQUAL, name="edges", num_shards=4)], cluster)
    assert out.stage_s == {"scenes": pytest.approx(7 + 30), "edges": pytest.approx(2 + 10)}
    assert out.makespan_s == pytest.approx(49)


def test_requests_and_bytes_cost_time_and_are_counted():
    load = replace(EQUAL, num_shards=1, read_mb=200, write_mb=100, reads=3, writes=5)
    out = simulate([load], replace(BARE, node_mb_per_s=50, latency_s=0.5))
    assert out.makespan_s == pytest.approx(10 + 300 / 50 + 8 * 0.5)
    assert (out.requests, out.read_mb, out.written_mb) == (8, 200, 100)


def test_what_the_store_can_give_bounds_any_number_of_nodes():
    load = Load("shards", 400, (0.1,), read_mb=100)
    few, many = (simulate([load], replace(BARE, nodes=nodes, store_mb_per_s=1000)) for nodes in (10, 100))
    assert 40 <= many.makespan_s <= few.makespan_s <= 50
    assert many.utilisation < few.utilisation / 5


def test_the_process_that_runs_a_stage_bounds_it_too():
    out = simulate([replace(EQUAL, num_shards=1000)], replace(BARE, nodes=1000, driver_s=0.5))
    assert out.makespan_s == pytest.approx(1000 * 0.5 + 10)


def test_the_seed_decides_times_and_stragglers():
    load = Load("scenes", 50, (5.0, 10.0, 15.0))
    cluster = replace(BARE, nodes=3, straggler_share=0.2)
    assert simulate([load], cluster, 4) == simulate([load], cluster, 4) != simulate([load], cluster, 5)
    assert simulate([load], cluster, 4).busy_s > simulate([load], replace(cluster, straggler_share=0), 4).busy_s


@pytest.mark.parametrize(("num_shards", "busy_s"), [(3, {30.0}), (9, {90.0}), (4, {35.0, 40.0, 45.0})])
def test_each_measured_time_is_taken_as_often_as_the_others(num_shards, busy_s):
    load = Load("scenes", num_shards, (5.0, 10.0, 15.0))
    assert {simulate([load], BARE, seed).busy_s for seed in range(20)} == busy_s


def test_lost_machines_cost_time_and_no_shard():
    load = Load("scenes", 300, (60.0,))
    safe = replace(BARE, nodes=5, workers=2)
    lossy = replace(safe, hours_between_failures=0.5, recover_s=120, lease_s=60)
    whole, lost = simulate([load], safe, 1), simulate([load], lossy, 1)
    assert lost.failures and 0 < lost.retries <= 2 * lost.failures
    assert lost.shards == whole.shards == 300 and lost.busy_s == whole.busy_s
    assert 0 < lost.lost_s <= 60 * lost.retries and lost.makespan_s > whole.makespan_s


def test_a_lost_shard_waits_for_its_lease():
    """One shard, and two machines of which the one that has it is lost: the other takes it when the lease ran out."""
    load = Load("scenes", 1, (3600.0,))
    patient = replace(BARE, nodes=2, hours_between_failures=20, recover_s=1e6, lease_s=900)
    outcomes = ((seed, simulate([load], patient, seed)) for seed in range(1000))
    seed = next(seed for seed, out in outcomes if out.failures == out.retries == 1)
    soon, late = simulate([load], replace(patient, lease_s=0), seed), simulate([load], patient, seed)
    assert late.makespan_s == pytest.approx(soon.makespan_s + 900)


def test_machines_that_live_too_short_a_time_are_named_instead_of_simulated_without_end():
    load = Load("scenes", 1, (3600.0,))
    with pytest.raises(RuntimeError, match="'scenes' is never finished"):
        simulate([load], replace(BARE, hours_between_failures=0.01, recover_s=1, lease_s=0))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"nodes": 0}, "nodes must be above 0, got 0"), ({"lease_s": -1.0}, "lease_s must be at least 0, got -1"),
     ({"straggler_share": 1.5}, r"straggler_share must be in \[0, 1\], got 1.5")],
)  # fmt: skip
def test_impossible_clusters_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        Cluster(**change)


@pytest.fixture
def root(tmp_path):
    for stage, seconds in (("scenes", (4.0, 6.0)), ("edges", (1.0, 1.5)), ("shards", (0.5, 0.5))):
        (tmp_path / stage).mkdir()
        for shard, value in enumerate(seconds):
            manifest = {"seconds": value, "num_bytes": 3_000_000}
            (tmp_path / stage / f"{shard:05d}.json").write_text(json.dumps(manifest))
        (tmp_path / stage / "recipe.json").write_text("{}")
    return tmp_path


def test_a_runs_folder_gives_its_own_times_and_bytes(root):
    scenes, edges, shards = read_root(root)
    assert (scenes.name, scenes.num_shards, scenes.seconds, scenes.write_mb) == ("scenes", 2, (4.0, 6.0), 3.0)
    assert (scenes.read_mb, edges.read_mb, shards.read_mb) == (0, 3.0, 6.0)


def test_times_of_a_file_are_taken_as_they_stand(tmp_path):
    path = tmp_path / "times.json"
    path.write_text(json.dumps({"scenes": {"seconds": [1, 2], "write_mb": 5}, "edges": {"seconds": [3]}}))
    assert read_times(path) == [Load("scenes", 2, (1, 2), write_mb=5), Load("edges", 1, (3,))]
    path.write_text("[1]")
    with pytest.raises(ValueError, match="stages with `seconds` were expected"):
        read_times(path)


def test_the_command_prints_a_row_for_each_number_of_nodes(root, capsys):
    main([str(root), "--nodes", "1", "3", "--workers", "2", "--shards", "60"])
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["nodes", "workers", "hours"]
    assert [row.split()[:2] for row in rows] == [["1", "2"], ["3", "6"]]
    main([str(root), "--nodes", "3", "--workers", "2", "--shards", "60", "--json"])
    out = json.loads(capsys.readouterr().out)["nodes"]["3"]
    assert out["shards"] == 180 and 0 < out["utilisation"] < 1


def test_a_folder_without_manifests_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path)])
    assert left.value.code == 2 and "holds no manifest of any stage" in capsys.readouterr().err
