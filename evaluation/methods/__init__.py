"""What is compared: each method behind one small interface (`spec.py`), model or not."""
