"""Where the prompts of generated foregrounds come from, and how a language model is asked for them."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from decoupage.settings import Section


def _plain_address(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError(f"must be empty or an http(s) address such as http://127.0.0.1:8000/v1, got {url!r}")
    if parts.username or parts.password or parts.query:
        raise ValueError("must hold no name, password or query; a key comes from OPENAI_API_KEY")
    return url.rstrip("/")


Price = Annotated[float, Field(ge=0.0, le=10_000.0)]


class PromptsConfig(Section):
    """Prompts: built in, or written by a language model. How many is `generated.prompts_per_category`."""

    source: Literal["builtin", "written"] = "builtin"
    """`written`: by `decoupage prompts write`, kept under `sources/prompts/` in the root."""
    model: str = Field("gpt-5.4-mini-2026-03-17", min_length=1, description="a dated name keeps its meaning")
    base_url: Annotated[str, AfterValidator(_plain_address)] = Field(
        "", description="of a server that speaks OpenAI's chat completions; empty = OpenAI's own"
    )
    temperature: float | None = Field(None, ge=0.0, le=2.0, description="none = not sent: reasoning models refuse it")
    seed: int = Field(0, ge=0, lt=2**31, description="sent with each request, which adds its own number")
    per_request: int = Field(50, ge=1, le=500, description="prompts asked for at once")
    max_answer_tokens: int = Field(8192, ge=64, le=131_072, description="of one answer, reasoning included")
    max_requests: int = Field(400, ge=1, le=100_000, description="answers paid for one list, over all runs")
    timeout_s: float = Field(120.0, gt=0.0, le=3600.0, description="of one request")
    max_wait_s: float = Field(1800.0, ge=0.0, le=86_400.0, description="that one request may be kept waiting in all")
    batch: bool = Field(False, description="through the Batch API: cheaper, within 24 hours")
    poll_s: float = Field(30.0, ge=0.01, le=3600.0, description="between two looks at a batch")
    usd_per_million_tokens_in: Price | None = Field(None, description="for the report; none = cost is not told")
    usd_per_million_tokens_out: Price | None = Field(None, description="for the report; none = cost is not told")
