"""The embedding of the empty prompt in a published folder, so that nobody who gives no prompt loads text encoders."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from decoupage.bases.spec import Text
from decoupage.publishing.folder import TEXT, listed_files


def write_text(folder: Path, text: Text) -> None:
    """Write the embedding of one prompt: `tokens` [1, L, D], `pooled` [1, P] and `ids` [L, A], in their own format."""
    named = {"tokens": text.tokens_BLD[:1], "pooled": text.pooled_BP[:1], "ids": text.ids_LA}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}, folder / TEXT)


def has_text(folder: Path) -> bool:
    """Whether a published folder has the embedding. Raises ValueError: its `adapter.json` is damaged or missing."""
    return TEXT in listed_files(folder)


def read_text(folder: Path) -> Text:
    """The embedding that `write_text` wrote. Raises ValueError: the file is damaged."""
    try:
        named = load_file(folder / TEXT)
        return Text(named["tokens"], named["pooled"], named["ids"])
    except (SafetensorError, KeyError, OSError) as error:
        raise ValueError(f"{folder}: {TEXT} is damaged: {error}") from error
