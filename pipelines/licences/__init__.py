"""The licences of sources, models and pictures, and what they permit.

Two tables hold the facts (`terms.csv`: what a licence permits; `ledger.csv`: the licence of a source, a model or its
weights); for a single asset, the licence that it records itself takes precedence. No legal advice.
"""
