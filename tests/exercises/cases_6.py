"""Right and wrong answers to the exercises of chapter 6."""

import math
from itertools import combinations
from statistics import fmean, stdev

from scipy.stats import t


def interval(gains, quantile=0.975, freedom=1, root=math.sqrt):
    reach = t.ppf(quantile, len(gains) - freedom) * stdev(gains) / root(len(gains))
    return fmean(gains), fmean(gains) - reach, fmean(gains) + reach


def gains(better, worse):
    return [b - a for a, b in zip(better, worse, strict=True)]


def unpaired(better, worse):
    reach = t.ppf(0.975, len(better) - 1) * math.sqrt((stdev(better) ** 2 + stdev(worse) ** 2) / len(better))
    mean = fmean(worse) - fmean(better)
    return mean, mean - reach, mean + reach


def column(intervals):
    if any(high < 0 for _, high in intervals):
        return "fails"
    return "holds" if all(low > 0 for low, _ in intervals) else "open"


def verdict(plain, oracle):
    return column(plain) if column(plain) == column(oracle) else "oracle"


def lenient(plain, oracle):
    return "holds" if any(low > 0 for low, _ in plain) else column(plain)


def best_of(errors, n):
    return fmean(min(some) for some in combinations(errors, n))


def seeds_needed(gain, spread):
    n = 2
    while t.ppf(0.975, n - 1) * spread / math.sqrt(n) >= gain:
        n += 1
    return n


def over_actions(actions):
    views = sum(a["views"] for a in actions.values())
    return (
        sum(a["views"] * a["no_oracle"] for a in actions.values()) / views,
        fmean(a["no_oracle"] for a in actions.values()),
    )


RIGHT = {
    "6.1": [lambda a, b: interval(gains(a, b))],
    "6.2": [verdict],
    "6.3": [best_of],
    "6.4": [seeds_needed],
    "6.5": [over_actions],
}
WRONG = {
    "6.1": [
        (lambda a, b: interval(gains(b, a)), "other way round"),
        (unpaired, "strangers"),
        (lambda a, b: interval(gains(a, b), root=lambda n: 1), "square root of n"),
        (lambda a, b: interval(gains(a, b), quantile=0.95), "on either side"),
        (lambda a, b: interval(gains(a, b), freedom=0), "degrees of freedom"),
        (lambda a, b: fmean(gains(a, b)), "three numbers"),
    ],
    "6.2": [
        (lambda plain, oracle: column(plain), "columns contradict|one column alone"),
        (lenient, "refutes"),
        (lambda plain, oracle: "holds" if column(plain) != "fails" else "fails", "clear of zero"),
    ],
    "6.3": [
        (lambda errors, n: min(errors), "best of all seeds"),
        (lambda errors, n: min(errors[:n]), "first n"),
        (lambda errors, n: fmean(max(some) for some in combinations(errors, n)), "largest|smaller"),
    ],
    "6.4": [
        (lambda gain, spread: next(n for n in range(2, 999) if 1.96 * spread / math.sqrt(n) < gain), "Student's t"),
        (lambda gain, spread: seeds_needed(gain, spread) - 1, "too few|Student's t"),
        (lambda gain, spread: seeds_needed(gain, spread) + 1, "too many"),
    ],
    "6.5": [
        (lambda actions: over_actions(actions)[::-1], "order is views"),
        (lambda actions: (over_actions(actions)[0],) * 2, "counts the same"),
        (lambda actions: over_actions(actions)[0], "two numbers"),
    ],
}
