"""Tiny random-weight text encoders of SD-XL and FLUX.1 with tokenizers that know single letters."""

from tokenizers.pre_tokenizers import ByteLevel
from torch import manual_seed, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer


def clip(kind: type = CLIPTextModel) -> nn.Module:
    """Words as in `clip_tokenizer`; the same weights at each call."""
    manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        projection_dim=32,
    )
    return kind(config).eval()


def clip_tokenizer() -> CLIPTokenizer:
    """Every byte, alone and as a word's end."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def t5() -> T5EncoderModel:
    """Words as in `t5_tokenizer`; the same weights at each call."""
    manual_seed(0)
    config = T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, relative_attention_num_buckets=8
    )
    return T5EncoderModel(config).eval()


def t5_tokenizer() -> T5Tokenizer:
    """Small letters and the comma."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz,"]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)
