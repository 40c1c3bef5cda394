"""The report for people: `report.html`, which opens from disk and holds all that it shows, and `report.md`.

Only how things are shown; what is said comes from `report.json` and `gallery.json`.
"""
