"""The paper's ablations side by side: rows, their figures with intervals, and the paper's own beside them."""
