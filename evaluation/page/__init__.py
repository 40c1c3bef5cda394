"""The report for people: `report.html`, which opens from disk and holds all that it shows, and `report.md`.

Presentation only; the contents come from `report.json` and `gallery.json`.
"""
