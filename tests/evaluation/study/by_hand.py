"""The study's figures from rows of `votes.csv`, with plain loops and nothing of the product."""

import math
from collections import Counter, defaultdict


def raters_who_count(rows, max_missed_share):
    missed, asked = Counter(), Counter()
    for row in rows:
        if row["kind"] == "attention":
            asked[row["rater"]] += 1
            missed[row["rater"]] += row["picked"] != "sound"
    return {rater for rater in asked if missed[rater] <= max_missed_share * asked[rater]}


def wins(rows):
    """(winner, loser) -> how often; rows of two panes."""
    found = defaultdict(float)
    for row in rows:
        first, second = row["panes"].split("|")
        if row["picked"] == "tie":
            found[first, second] += 0.5
            found[second, first] += 0.5
        elif row["picked"] != "not_sure":
            found[row["picked"], second if row["picked"] == first else first] += 1
    return found


def zermelo(won, methods, prior):
    """Bradley-Terry by Zermelo's iteration of 1929, as slow as it is plain; log strengths with mean 0."""
    strength = dict.fromkeys(methods, 1.0)
    for _ in range(5000):
        for own in methods:
            others = [other for other in methods if other != own]
            met = [
                (won[own, other] + won[other, own] + 2 * prior) / (strength[own] + strength[other]) for other in others
            ]
            strength[own] = sum(won[own, other] + prior for other in others) / sum(met)
    mean = sum(map(math.log, strength.values())) / len(methods)
    return {method: math.log(value) - mean for method, value in strength.items()}


def agreement_of_two(rows):
    """(Krippendorff's alpha, share of the same answers) of two raters; for two they are simple."""
    picked = defaultdict(list)
    for row in rows:
        if row["picked"] != "not_sure":
            picked[row["case"], frozenset(row["panes"].split("|"))].append(row["picked"])
    pairs = [answers for answers in picked.values() if len(answers) == 2]
    pool = Counter(answer for answers in pairs for answer in answers)
    total = sum(pool.values())
    observed = sum(first != second for first, second in pairs) / len(pairs)
    expected = 1 - sum(number * (number - 1) for number in pool.values()) / (total * (total - 1))
    return 1 - observed / expected, 1 - observed


def repeats(rows):
    """(asked again, answered the same)."""
    asked = [
        (row["kind"], (row["rater"], row["case"], frozenset(row["panes"].split("|"))), row["picked"]) for row in rows
    ]
    first = {what: picked for kind, what, picked in asked if kind == "plain"}
    again = [(what, picked) for kind, what, picked in asked if kind == "repeat"]
    return len(again), sum(first[what] == picked for what, picked in again)
