"""What could be found on real clients: `python3 docs/detection/clients.py [FOLDER]` prints the table of `docs/detection.md`.

Two judges know what kind of attack to look for, and look for nothing else. Both hold the sum of calls, the sum of tokens or the
tokens per call of a window, as they are or beyond the mean of that time of day; for each kind whichever is best on these very
series. The one sets a level for each series afterwards, where it costs the fewest false alerts. The other sets it beforehand: so
many times the most of the seven days that are known, with one factor for all series, chosen afterwards.
"""

import csv
import gzip
import json
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "tests/data/detection"
RATES = (0.1, 0.25, 0.5, 1.0)
HOURS = (0, 0.5, 1, 2, 4, 8, 12, 24, 48)
FALLS = {"outage", "usage_drop"}
EPISODE, DAY, WEEK = 6 * 3600, 86_400, 604_800
NEVER = 1e9


class Clients:
    def __init__(self, folder):
        info = json.loads((folder / "servegen_info.json").read_text())
        self.length, self.count = info["slot_seconds"], info["slots"]
        self.span = info["score_from"], info["score_to"]
        self.weeks = info["series"] * (self.span[1] - self.span[0]) / WEEK
        self.slots = defaultdict(lambda: [(0.0, 0.0)] * self.count)
        with gzip.open(folder / "servegen.csv.gz", "rt") as lines:
            for row in csv.DictReader(lines):
                tokens = float(row["tokens_in"]) + float(row["tokens_out"])
                self.slots[row["series"]][int(row["slot"])] = float(row["requests"]), tokens
        self.events = defaultdict(list)
        for row in csv.DictReader((folder / "servegen_labels.csv").open()):
            event = float(row["start"]), float(row["end"]) + 3600, row["type"], row["kind"] == "attack"
            self.events[row["series"]].append(event)
        self.names = [row["series"] for row in csv.DictReader((folder / "servegen_meta.csv").open())]

    def kinds(self):
        return sorted({kind for events in self.events.values() for *_, kind, attack in events if attack})

    def clear(self, name, time):
        return not any(start < time <= end + DAY for start, end, *_ in self.events[name])

    def windows(self, name):
        """By way of looking: the value of each window, with the second it ends."""
        slots, day = self.slots[name], DAY // self.length
        mean = [sum(slots[at][0] for at in range(first, self.count, day)) * day / self.count for first in range(day)]
        beyond = [(calls - mean[at % day], tokens) for at, (calls, tokens) in enumerate(slots)]
        above, below = ([(side * max(side * calls, 0.0), tokens) for calls, tokens in beyond] for side in (1, -1))
        for hours in HOURS:
            count = max(int(hours * 3600 / self.length), 1)
            for how, known in (("all", slots), ("above", above), ("below", below)):
                sums = calls, tokens = [0.0], [0.0]
                for slot in known:
                    for total, value in zip(sums, slot):
                        total.append(total[-1] + value)
                ends = [(at * self.length, max(at - count, 0), at) for at in range(1, self.count + 1)]
                yield (hours, how, "calls"), [(time, calls[end] - calls[start]) for time, start, end in ends]
                yield (hours, how, "fewer"), [(time, calls[start] - calls[end]) for time, start, end in ends]
                if how == "all":
                    yield (hours, how, "tokens"), [(time, tokens[end] - tokens[start]) for time, start, end in ends]
                    each = [(tokens[end] - tokens[start]) / max(calls[end] - calls[start], 1) for _, start, end in ends]
                    yield (hours, how, "each"), [(time, value) for (time, *_), value in zip(ends, each)]


def episodes(times):
    count, until = 0, -1
    for time in times:
        if time >= until:
            count, until = count + 1, time + EPISODE
    return count


def afterwards(clients):
    """Recall by kind and rate, where each attack costs what its own series raises at that level."""
    costs = defaultdict(lambda: defaultdict(list))
    for name in clients.names:
        attacks = [event for event in clients.events[name] if event[3]]
        for way, values in clients.windows(name) if attacks else ():
            clear = [(time, value) for time, value in values if clients.clear(name, time)]
            weeks = len(clear) * clients.length / WEEK
            for start, end, kind, _ in attacks:
                if (kind in FALLS) == (way[2] == "fewer"):
                    most = max(value for time, value in values if start < time <= end)
                    costs[kind][way].append(episodes([time for time, value in clear if value >= most]) / weeks)
    for kind, ways in costs.items():
        best = min(ways.values(), key=lambda found: sum(min(cost, 20) for cost in found))
        for rate in RATES:
            left, found = rate * clients.weeks, 0
            for cost in sorted(best):
                left -= cost
                found += left >= 0
            yield kind, rate, found / len(best)


def beforehand(clients):
    """Recall by kind and rate, where levels are so many times the most of the days before the scored ones."""
    first, last = clients.span
    told, reached = defaultdict(list), defaultdict(lambda: defaultdict(list))
    for name in clients.names:
        for way, values in clients.windows(name):
            known = [value for time, value in values if time <= first]
            yardstick = (lambda value, most: value - most) if way[2] == "fewer" else (lambda value, most: value / max(most, 1e-9))
            most = max(known)
            scored = [(time, yardstick(value, most)) for time, value in values if first < time <= last]
            told[way] += [(score, name, time) for time, score in scored if clients.clear(name, time)]
            for start, end, kind, attack in clients.events[name]:
                if attack and (kind in FALLS) == (way[2] == "fewer"):
                    reached[kind][way].append(max(score for time, score in scored if start < time <= end))
    levels = {way: list(falling(found, clients.weeks)) for way, found in told.items()}
    for kind, ways in reached.items():
        for place, rate in enumerate(RATES):
            yield kind, rate, max(sum(score > levels[way][place] for score in found) / len(found) for way, found in ways.items())


def falling(found, weeks):
    """The lowest level at which no more episodes than these rates allow lie above it."""
    found.sort(reverse=True)
    until, count, places = defaultdict(lambda: -NEVER), 0, iter(RATES)
    allowed = next(places)
    for score, name, time in found:
        if abs(time - until[name]) >= EPISODE:
            until[name], count = time, count + 1
        while count > allowed * weeks:
            yield score
            allowed = next(places, None)
            if allowed is None:
                return
    while allowed is not None:
        yield -NEVER
        allowed = next(places, None)


def main():
    clients = Clients(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
    kinds = clients.kinds()
    weight = {kind: sum(k == kind and attack for events in clients.events.values() for *_, k, attack in events) for kind in kinds}
    print("| level | false alerts a week | all | " + " | ".join(kinds) + " |\n|---|---|---|" + "---|" * len(kinds))
    for name, judge in (("afterwards", afterwards), ("beforehand", beforehand)):
        found = {(kind, rate): recall for kind, rate, recall in judge(clients)}
        for rate in RATES:
            whole = sum(found[kind, rate] * weight[kind] for kind in kinds) / sum(weight.values())
            cells = " | ".join(f"{found[kind, rate]:.2f}" for kind in kinds)
            print(f"| {name} | {rate} | {whole:.3f} | {cells} |")


if __name__ == "__main__":
    main()
