"""Pictures come out as the publishers' own loop makes them, and each from its own seed."""

import pickle

import numpy as np
import pytest
import torch

from decoupage.faults import BadItem, BadSetup
from pipelines.foregrounds.generated_stage import make_generator
from pipelines.foregrounds.generator import Request
from pipelines.foregrounds.layerdiffuse.flux import load_flux, read_decoder, unpack
from pipelines.foregrounds.layerdiffuse.memory import MOST, pictures_in
from pipelines.foregrounds.layerdiffuse.sdxl import SdxlPainter, load_sdxl
from pipelines.foregrounds.layerdiffuse.settings import settings
from pipelines.foregrounds.layerdiffuse.transparent import SDXL, decode
from pipelines.foregrounds.layerdiffuse.weights import find_weights
from pipelines.foregrounds.prompts import Prompt
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import config
from tests.pipelines.foregrounds.layerdiffuse.upstream import karras_sigmas, sample_dpmpp_2m

TEXTS = ["dog", "glass vase", "a very old tree", "cup"]
SEEDS = [5, 2**64 - 1, 0, 77]


def _requests(texts=TEXTS, seeds=SEEDS):
    pairs = zip(texts, seeds, strict=True)
    return [Request(f"id-{i}", Prompt("x", text), i, seed) for i, (text, seed) in enumerate(pairs)]


def _sdxl(weights, **changes):
    wanted = settings(config(weights, **changes))
    return load_sdxl(wanted, find_weights(wanted))


def _predict(pipe, text, negative, guidance, height_px, width_px):
    """The publisher's guided prediction: two passes of the network, sizes as both prompts' conditions."""
    sizes = torch.tensor([[height_px, width_px, 0, 0, height_px, width_px]], dtype=torch.float32)
    conditions = []
    for words in (text, negative):
        states = []
        for tokenizer, encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)):
            ids = tokenizer(words, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
            out = encoder(ids, output_hidden_states=True)
            states.append(out.hidden_states[-2])
        conditions.append((torch.cat(states, -1), out.text_embeds))

    def predict(x, t):
        wanted, unwanted = (
            pipe.unet(x, t, encoder_hidden_states=c, added_cond_kwargs={"text_embeds": p, "time_ids": sizes}).sample
            for c, p in conditions
        )
        return unwanted + guidance * (wanted - unwanted)

    return predict


@pytest.mark.parametrize("num_steps", [1, 4, 25])
def test_sdxl_walks_as_the_publisher_does(weights, monkeypatch, num_steps):
    painter = _sdxl(weights, num_steps=num_steps, guidance=7.0, height_px=64, width_px=128)
    seen = []
    path = "pipelines.foregrounds.layerdiffuse.sdxl.decode"
    monkeypatch.setattr(path, lambda latents, *_: seen.append(latents) or [])
    painter.paint(["dog"], [5])
    noise = torch.randn(4, 8, 16, generator=torch.Generator().manual_seed(5))[None]
    with torch.inference_mode():
        predict = _predict(painter.pipe, "dog, high quality", "bad, ugly", 7.0, 64, 128)
        wanted = sample_dpmpp_2m(predict, noise, num_steps)
    torch.testing.assert_close(seen[0].double(), wanted, rtol=1e-3, atol=2e-3)


def test_the_walk_starts_at_the_highest_level(weights):
    start = _sdxl(weights)._start([5])
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(5))
    sigma = karras_sigmas(25)[0][0]
    assert round(sigma.item(), 3) == 14.615
    torch.testing.assert_close(start[0].double(), noise.double() * sigma / (sigma**2 + 1).sqrt())
    assert not torch.equal(start[0], noise)


def test_deltas_and_decoder_come_from_the_files(weights):
    painter = _sdxl(weights)
    assert painter.pipe.unet.config["layerdiffuse"] == "ld_diffusers_sdxl_attn.safetensors"
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    picture = decode(latents, painter.pipe.vae, painter.decoder, SDXL)[0]
    assert picture[..., :3].std() > 10 and 0 < picture[..., 3].mean() < 128


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_a_picture_is_the_same_in_any_batch(weights, family):
    """Up to the last bits of floats: on these weights, less than one value in a thousand, and that by one level."""
    generator = make_generator(config(weights, family))
    together = generator.generate_many(_requests())
    reversed_ = generator.generate_many(_requests(TEXTS[::-1], SEEDS[::-1]))[::-1]
    alone = [generator.generate(Prompt("x", text), seed) for text, seed in zip(TEXTS, SEEDS, strict=True)]
    for picture, other, single in zip(together, reversed_, alone, strict=True):
        assert picture.shape == (64, 64, 4)
        for again in (other, single):
            differences = np.abs(picture.astype(int) - again.astype(int))
            assert differences.max() <= 1 and (differences > 0).mean() < 1e-3
    assert len({picture.tobytes() for picture in together}) == len(TEXTS)


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_the_same_batch_gives_the_same_bytes(weights, family):
    first, second = (make_generator(config(weights, family)).generate_many(_requests()) for _ in range(2))
    assert [picture.tobytes() for picture in first] == [picture.tobytes() for picture in second]


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_pictures_need_not_be_square(weights, family):
    generator = make_generator(config(weights, family, height_px=128, width_px=64))
    assert generator.generate(Prompt("x", "dog"), 1).shape == (128, 64, 4)


def test_seed_words_negative_and_variant_matter(weights):
    def paint(text="dog", seed=1, **changes):
        return make_generator(config(weights, **changes)).generate(Prompt("x", text), seed).tobytes()

    first = paint()
    others = [
        paint(text="cat"),
        paint(seed=2),
        paint(negative_prompt="blurry"),
        paint(variant="lora"),
        paint(guidance=2.0),
    ]
    assert len({first, *others}) == 6


def test_half_precision_keeps_the_vae_in_bfloat16(weights):
    painter = _sdxl(weights, dtype="float16")
    assert painter.pipe.unet.dtype == painter.pipe.text_encoder.dtype == torch.float16
    assert painter.pipe.vae.dtype == torch.bfloat16
    assert next(painter.decoder.parameters()).dtype == torch.float16


def test_flux_tokens_unpack_as_diffusers_does(weights):
    from diffusers import FluxPipeline

    tokens = torch.randn(2, 8 * 4, 64)
    assert torch.equal(unpack(tokens, 128, 64), FluxPipeline._unpack_latents(tokens, 128, 64, 8))


class Hostile:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("held", [Hostile(), {"decoder.a": Hostile()}, [1, 2], {"decoder.a": "text"}])
def test_a_pickle_that_holds_anything_but_tensors_is_refused(tmp_path, held, capsys):
    torch.save(held, tmp_path / "TransparentVAE.pth")
    with pytest.raises(BadSetup, match=r"TransparentVAE\.pth (cannot be read as plain tensors|holds something other)"):
        read_decoder(tmp_path / "TransparentVAE.pth")
    assert "run" not in capsys.readouterr().out


def test_a_damaged_pickle_is_told(tmp_path, weights):
    data = (weights / "layerdiffuse" / "TransparentVAE.pth").read_bytes()
    (tmp_path / "TransparentVAE.pth").write_bytes(data[:-500])
    with pytest.raises(BadSetup, match="cannot be read as plain tensors"):
        read_decoder(tmp_path / "TransparentVAE.pth")


def test_a_flux_decoder_with_a_tensor_missing_is_refused(tmp_path, weights):
    held = torch.load(weights / "layerdiffuse" / "TransparentVAE.pth", weights_only=True)
    del held["decoder.conv_out.bias"]
    for path in (weights / "layerdiffuse").glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    torch.save(held, tmp_path / "TransparentVAE.pth")
    wanted = settings(config(weights, "flux", weights=str(tmp_path)))
    with pytest.raises(BadSetup, match=r"1 tensors missing.*conv_out\.bias"):
        load_flux(wanted, find_weights(wanted))


def test_a_generator_travels_without_its_weights(weights):
    generator = make_generator(config(weights))
    picture = generator.generate(Prompt("x", "dog"), 1)
    sent = pickle.dumps(generator)
    assert len(sent) < 2000
    assert np.array_equal(pickle.loads(sent).generate(Prompt("x", "dog"), 1), picture)


def test_a_batch_that_does_not_fit_is_halved(weights, monkeypatch):
    sizes, paint = [], SdxlPainter.paint

    def narrow(self, texts, seeds):
        sizes.append(len(texts))
        if len(texts) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return paint(self, texts, seeds)

    monkeypatch.setattr(SdxlPainter, "paint", narrow)
    generator, limit = make_generator(config(weights)), 1
    pictures = generator.generate_many(_requests()[:3])
    assert sizes == [3, 1, 2, 1, 1]
    assert [p.tobytes() for p in pictures] == [generator.generate(r.prompt, r.seed).tobytes() for r in _requests()[:3]]
    limit = 0
    with pytest.raises(BadSetup, match="does not fit cpu's memory"):
        generator.generate(Prompt("x", "dog"), 1)


def test_an_overflow_is_a_bad_item(weights, monkeypatch):
    monkeypatch.setattr(SdxlPainter, "paint", lambda *_: [BadItem("not_finite", "overflow")])
    with pytest.raises(BadItem, match="not_finite"):
        make_generator(config(weights)).generate(Prompt("x", "dog"), 1)


def test_batches_follow_the_free_memory(weights):
    large = settings(config(weights, size_px=1024, dtype="float16"))
    assert pictures_in(140.0, large) == MOST
    assert pictures_in(24.0, large) == 6  # (24 - 7.5 - 6.3) / 1.57
    assert pictures_in(8.0, large) == 1
    assert pictures_in(48.0, settings(config(weights, "flux", size_px=1024, dtype="bfloat16"))) == 3
    assert pictures_in(48.0, settings(config(weights, size_px=1024, dtype="float32"))) == 6
