"""How good a policy is: episodes, pushes, comparisons, films."""
