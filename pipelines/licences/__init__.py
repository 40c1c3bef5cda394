"""What sources, models and pictures are licensed under, and what that permits a build to do.

Facts lie in two tables beside the code (`terms.csv`: what a licence permits; `ledger.csv`: which licence a source, a
model or its weights come under); what an asset itself records stays the truth about that asset. No legal advice.
"""
