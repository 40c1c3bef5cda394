"""How near an answer is to the truth: pictures, alphas, and which of it is reported under which name."""
