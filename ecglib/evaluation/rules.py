"""The numbers that verdicts are decided by; `make verdict-check` simulates their error rates."""

# The smallest gain worth having, unless said otherwise.
DEFAULT_MARGIN = 0.01
# One-sided: a claim is wrong in at most this fraction of comparisons.
ALPHA = 0.025
# With fewer seeds the variance between trainings is too poorly known for a verdict.
MIN_SEEDS = 5
# The number of patients that is said to be needed would show a gain of the margin this often.
POWER = 0.8
