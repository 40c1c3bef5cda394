"""What happens without a hand: inputs watched, stale assets made anew, people told of failures.

All of it is off until somebody switches it on in the UI. Nothing here knows how an asset is made.
"""
