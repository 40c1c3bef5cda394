"""Which simple method is the one to beat."""

from evaluation.methods.classical import classical_methods
from evaluation.rivals import SIMPLE, best_rivals, rivals_first


def methods(**psnr):
    found = {
        name: {"background": {"psnr_mask": None if mean is None else {"mean": mean}}, "foreground": {"soft_iou": None}}
        for name, mean in psnr.items()
    }
    found["given_mask"] = {"background": {"psnr_mask": None}, "foreground": {"soft_iou": {"mean": 0.7}}}
    return found


def test_the_best_simple_method_is_by_its_mean_and_no_model_and_no_control_is_one():
    given = methods(input=40.0, base=39.0, adapter=38.0, lama=37.0, telea=20.0, smooth=21.0, navier_stokes=None)
    assert best_rivals(given) == {"background": "smooth", "foreground": "given_mask"}
    given["telea"]["background"]["psnr_mask"]["mean"] = 21.5
    assert best_rivals(given)["background"] == "telea"


def test_a_part_that_no_simple_method_gives_has_no_rival():
    assert best_rivals({"adapter": methods(adapter=1.0)["adapter"]}) == {}
    assert best_rivals(methods(telea=None)) == {"foreground": "given_mask"}


def test_tables_begin_with_the_adapter_and_its_best_rivals():
    given = methods(input=40.0, telea=20.0, smooth=21.0, base=22.0, adapter=23.0)
    found = rivals_first(given)
    assert list(found) == ["adapter", "smooth", "given_mask", "input", "telea", "base"]
    assert all(found[name] is given[name] for name in given)


def test_every_fill_is_a_rival():
    fills = {method.name for method in classical_methods() if "background" in method.gives}
    assert fills - {"input"} == set(SIMPLE["background"])
