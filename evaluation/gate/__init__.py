"""The gate: whether a new adapter replaces the champion, what was decided and why, and the way back."""
