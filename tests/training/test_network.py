"""Loading a base for training: quantised and still trainable; recomputed and compiled blocks change no result."""

import shutil

import pytest
import torch
from torch import nn

from decoupage.adapter import AdapterConfig, adapt, trainable
from decoupage.bases import find_base
from decoupage.bases.small import SmallFill, save_base
from decoupage.faults import BadSetup
from decoupage.sequences import predict_layers
from tests.decoupage.test_adapter import scene
from tests.decoupage.tiny import flux_fill, flux_transformer
from training import network as network_module
from training.config import ComputeConfig
from training.network import blocks, checkpoint_blocks, compile_blocks, compute_dtype, load_base

CPU = torch.device("cpu")
BASE = find_base("flux-fill")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fill")
    flux_fill().save_pretrained(path)
    return str(path)


def adapted(num_double=2, num_single=3):
    """As `flux_transformer`, with more blocks, an adapter that does something, and no flux-fill geometry beside it."""
    torch.manual_seed(0)
    shape = dict(flux_transformer(384).config) | {"num_layers": num_double, "num_single_layers": num_single}
    net = type(flux_transformer(384)).from_config(shape)
    adapt(net, BASE, AdapterConfig(rank=4))
    for parameter in trainable(net):
        nn.init.normal_(parameter, std=0.05)
    return net


def loss_and_gradients(net):
    noisy, condition = scene(BASE)
    layers = predict_layers(BASE, net, *noisy, condition, torch.tensor([0.5]), 1.0, "joint")
    loss = sum(layer.float().square().mean() for layer in layers)
    net.zero_grad()
    loss.backward()
    return loss.detach(), [parameter.grad.clone() for parameter in trainable(net)]


def test_a_cpu_computes_in_fp32_and_a_gpu_as_asked():
    assert compute_dtype(ComputeConfig(precision="bf16"), CPU) == torch.float32
    assert compute_dtype(ComputeConfig(precision="bf16"), torch.device("cuda")) == torch.bfloat16
    assert compute_dtype(ComputeConfig(precision="fp32"), torch.device("cuda")) == torch.float32


@pytest.mark.parametrize("kind", ["flux-fill", "small-fill"])
def test_an_unquantised_base_is_what_was_saved(kind, folder, tmp_path):
    base = find_base(kind)
    if kind == "small-fill":
        folder = str(tmp_path)
        save_base(SmallFill().new(), folder)
    components = load_base(base, folder, ComputeConfig(), CPU)
    saved = base.load(folder)["transformer"].state_dict()
    ours = components["transformer"].state_dict()
    assert ours.keys() == saved.keys() and all(torch.equal(ours[name], saved[name]) for name in saved)
    assert {tensor.dtype for tensor in ours.values()} == {torch.float32}


@pytest.mark.parametrize("form", ["int8", "fp8"])
@pytest.mark.parametrize("kind", ["flux-fill", "small-fill"])
def test_an_adapter_learns_on_a_quantised_base_as_on_the_weights_that_it_holds(form, kind, folder, tmp_path):
    pytest.importorskip("torchao")
    from torchao.utils import TorchAOBaseTensor

    base = find_base(kind)
    if kind == "small-fill":
        folder = str(tmp_path)
        save_base(SmallFill().new(), folder)
    net = load_base(base, folder, ComputeConfig(base_quantisation=form), CPU)["transformer"]
    quantised = {name for name, parameter in net.named_parameters() if isinstance(parameter.data, TorchAOBaseTensor)}
    linears = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    assert quantised == linears - {"x_embedder.weight"}
    if kind == "small-fill":
        return
    plain = flux_transformer(384)
    rounded = {
        name: (tensor.dequantize() if name in quantised else tensor).float()
        for name, tensor in net.state_dict().items()
    }
    assert any(not torch.equal(rounded[name], tensor) for name, tensor in plain.state_dict().items())
    plain.load_state_dict(rounded)
    for model in (net, plain):
        adapt(model, base, AdapterConfig(rank=4))
        torch.manual_seed(1)
        for parameter in trainable(model):
            nn.init.normal_(parameter, std=0.05)
    for mine, theirs in zip(loss_and_gradients(net)[1], loss_and_gradients(plain)[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=1e-5)


def test_a_lora_learns_on_a_four_bit_layer_as_on_the_weights_that_it_holds():
    """diffusers loads nf4 on a GPU only; the layer that it puts in place runs on a CPU."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from diffusers.quantizers.bitsandbytes.utils import replace_with_bnb_linear

    setting = network_module.quantisation(BASE, "nf4", torch.float32)
    net, plain = flux_transformer(384), flux_transformer(384)
    state = dict(net.state_dict())
    net = replace_with_bnb_linear(
        net, modules_to_not_convert=setting.llm_int8_skip_modules, quantization_config=setting
    )
    for name, module in net.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            options = {"quant_type": "nf4", "compress_statistics": True, "requires_grad": False}
            module.weight = bitsandbytes.nn.Params4bit(state[f"{name}.weight"].clone(), **options)
            module.bias = nn.Parameter(state[f"{name}.bias"].clone())
    net.to("cpu")
    net.is_loaded_in_4bit, net.is_quantized = True, True
    assert type(net.x_embedder) is nn.Linear
    held = {}
    for name, module in net.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight = module.weight
            held[f"{name}.weight"] = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
    assert {"transformer_blocks.0.attn.to_q.weight", "single_transformer_blocks.0.proj_out.weight"} <= held.keys()
    plain.load_state_dict(state | held)
    for model in (net, plain):
        adapt(model, BASE, AdapterConfig(rank=4))
        torch.manual_seed(1)
        for parameter in trainable(model):
            nn.init.normal_(parameter, std=0.05)
    assert type(net.transformer_blocks[0].attn.to_q).__module__ == "peft.tuners.lora.bnb"
    for mine, theirs in zip(loss_and_gradients(net)[1], loss_and_gradients(plain)[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["int8", "fp8", "nf4"])
def test_a_quantised_base_learns_on_a_gpu(form, folder):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip(network_module.LIBRARIES[form])
    device = torch.device("cuda")
    net = load_base(BASE, folder, ComputeConfig(base_quantisation=form), device)["transformer"]
    adapt(net, BASE, AdapterConfig(rank=4))
    noisy, condition = scene(BASE)
    with torch.device(device), torch.autocast("cuda", torch.bfloat16):
        tokens = torch.cat([noisy[0], condition.contexts.background_BNK, noisy[0]], dim=-1).to(device)
        text = type(condition.text)(*(part.to(device) for part in vars(condition.text).values()))
        ids = BASE.ids("background", *condition.grid).to(device)
        BASE.predict(net, tokens, ids, text, torch.tensor([0.5]), 1.0).float().square().mean().backward()
    assert all(parameter.grad is not None for parameter in trainable(net))


@pytest.mark.parametrize("form", ["int8", "fp8", "nf4"])
def test_an_absent_library_is_named_with_the_extra_that_brings_it(form, monkeypatch):
    monkeypatch.setattr(network_module, "find_spec", lambda name: None)
    with pytest.raises(BadSetup, match=rf"base_quantisation = {form} needs {network_module.LIBRARIES[form]}.*\[gpu\]"):
        network_module.quantisation(BASE, form, torch.float32)


def test_nf4_without_a_gpu_is_refused_in_a_sentence(folder):
    with pytest.raises(BadSetup, match="nf4 needs a GPU; set it to none, int8 or fp8"):
        load_base(BASE, folder, ComputeConfig(base_quantisation="nf4"), CPU)


def test_blocks_are_those_that_repeat_in_their_order():
    net = adapted()
    assert blocks(net) == [*net.transformer_blocks, *net.single_transformer_blocks]
    with pytest.raises(ValueError, match="Linear names no repeated blocks"):
        blocks(nn.Linear(1, 1))


@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_every_nth_block_is_recomputed_and_nothing_else_changes(every):
    net = adapted()
    loss, gradients = loss_and_gradients(net)
    counts = [0] * len(blocks(net))
    for i, block in enumerate(blocks(net)):
        # A forward hook runs each time, in the recomputation too.
        block.register_forward_pre_hook(lambda *_, i=i: counts.__setitem__(i, counts[i] + 1))
    checkpoint_blocks(net, every)
    again, gradients_again = loss_and_gradients(net)
    assert counts == [2 if i % every == 0 else 1 for i in range(len(counts))]
    assert torch.equal(again, loss)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(gradients_again, gradients, strict=True))


def test_recomputation_can_be_taken_back():
    net = adapted()
    checkpoint_blocks(net, 1)
    checkpoint_blocks(net, 0)
    calls = []
    blocks(net)[0].register_forward_pre_hook(lambda *_: calls.append(1))
    loss_and_gradients(net)
    assert len(calls) == 1


def test_a_recomputed_block_keeps_less_for_the_backward_pass():
    kept = {}
    for every in (0, 2, 1):
        net = adapted()
        checkpoint_blocks(net, every)
        kept[every] = kept_bytes(net)
    assert kept[1] < kept[2] < kept[0]


def kept_bytes(net):
    """Bytes that autograd keeps for the backward pass, without parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    noisy, condition = scene(BASE)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layers = predict_layers(BASE, net, *noisy, condition, torch.tensor([0.5]), 1.0, "joint")
    assert all(layer.requires_grad for layer in layers)
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize(
    ("backend", "every"),
    [("eager", 2), ("aot_eager", 0), *(pytest.param("inductor", n, marks=pytest.mark.slow) for n in (0, 2))],
)
def test_compiled_blocks_give_the_same(backend, every):
    if backend == "inductor" and not shutil.which("g++"):
        pytest.skip("no C++ compiler")
    torch.compiler.reset()
    net = adapted(1, 2)
    loss, gradients = loss_and_gradients(net)
    checkpoint_blocks(net, every)
    compile_blocks(net, backend)
    again, gradients_again = loss_and_gradients(net)
    torch.testing.assert_close(again, loss)
    for mine, theirs in zip(gradients_again, gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
