"""Shows a written list in the terminal."""

from rich.console import Console
from rich.table import Table

from pipelines.foregrounds.prompts.write import PromptsReport


def show(report: PromptsReport) -> None:
    """Categories with their numbers, then what it took."""
    table = Table("category", "prompts", "wanted")
    for name, number in report.by_category.items():
        table.add_row(name, str(number), str(report.wanted))
    console = Console()
    console.print(table)
    for title, counts in (("requests", report.requests), ("rejected", report.rejected)):
        told = ", ".join(f"{number} {name}" for name, number in counts.items())
        console.print(f"{title}: {told or 'none'}", highlight=False)
    cost = "" if report.cost_usd is None else f", {report.cost_usd:.4f} USD"
    console.print(f"tokens: {report.tokens_in} in, {report.tokens_out} out{cost}", highlight=False)
    console.print(f"{report.num_new} new by {report.model} in {report.seconds:.1f} s", highlight=False)
