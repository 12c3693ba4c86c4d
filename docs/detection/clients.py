"""What could be found on real series: `python3 docs/detection/clients.py [FOLDER]` prints the tables of `docs/detection.md`.

Two judges know what kind of attack to look for, and look for nothing else. Both hold the sum of calls, the sum of tokens or the
tokens per call of a window, as they are or beyond the mean of that time of day; for each kind whichever is best on these very
series. The one sets a level for each series afterwards, where it costs the fewest false alerts. The other sets it beforehand: so
many times the most of what is known (of servegen's clients seven days, of single values a quarter), or so many of its ordinary
spreads above its median, with one factor for all series, chosen afterwards.
"""

import csv
import gzip
import json
import sys
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "tests/data/detection"
RATES = (0.1, 0.25, 0.5, 1.0)
HOURS = (0, 0.5, 1, 2, 4, 8, 12, 24, 48)
FALLS = {"outage", "usage_drop", "fall"}
EPISODE, GRACE, DAY, WEEK = 6 * 3600, 3600, 86_400, 604_800
NEVER = 1e9


class Series:
    """Labelled series: by name the seconds of a slot, calls and tokens of each, the scored span, and events."""

    def __init__(self):
        self.length, self.span, self.slots = {}, {}, {}
        self.events = defaultdict(list)

    def weeks(self):
        return sum(last - first for first, last in self.span.values()) / WEEK

    def kinds(self):
        return sorted({kind for events in self.events.values() for *_, kind, attack in events if attack})

    def clear(self, name, time):
        return not any(start < time <= end + DAY for start, end, *_ in self.events[name])

    def windows(self, name):
        """By way of looking: the value of each window, with the second it ends."""
        slots, length = self.slots[name], self.length[name]
        day = DAY // length
        mean = [sum(calls for calls, _ in slots[at::day]) / len(slots[at::day]) for at in range(day)]
        beyond = [(calls - mean[at % day], tokens) for at, (calls, tokens) in enumerate(slots)]
        above, below = ([(side * max(side * calls, 0.0), tokens) for calls, tokens in beyond] for side in (1, -1))
        for hours in HOURS:
            count = max(int(hours * 3600 / length), 1)
            for how, known in (("all", slots), ("above", above), ("below", below)):
                sums = calls, tokens = [0.0], [0.0]
                for slot in known:
                    for total, value in zip(sums, slot):
                        total.append(total[-1] + value)
                ends = [(at * length, max(at - count, 0), at) for at in range(1, len(slots) + 1)]
                yield (hours, how, "calls"), [(time, calls[end] - calls[start]) for time, start, end in ends]
                yield (hours, how, "fewer"), [(time, calls[start] - calls[end]) for time, start, end in ends]
                if how == "all" and tokens[-1] > 0:
                    yield (hours, how, "tokens"), [(time, tokens[end] - tokens[start]) for time, start, end in ends]
                    each = [(tokens[end] - tokens[start]) / max(calls[end] - calls[start], 1) for _, start, end in ends]
                    yield (hours, how, "each"), [(time, value) for (time, *_), value in zip(ends, each)]


def clients(folder):
    found, info = Series(), json.loads((folder / "servegen_info.json").read_text())
    for row in csv.DictReader((folder / "servegen_meta.csv").open()):
        found.length[row["series"]] = info["slot_seconds"]
        found.span[row["series"]] = info["score_from"], info["score_to"]
        found.slots[row["series"]] = [(0.0, 0.0)] * info["slots"]
    with gzip.open(folder / "servegen.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            tokens = float(row["tokens_in"]) + float(row["tokens_out"])
            found.slots[row["series"]][int(row["slot"])] = float(row["requests"]), tokens
    for row in csv.DictReader((folder / "servegen_labels.csv").open()):
        event = float(row["start"]), float(row["end"]) + GRACE, row["type"], row["kind"] == "attack"
        found.events[row["series"]].append(event)
    return found


def values(folder):
    """Single values: runs of labels with gaps of up to three rows are events, a rise or a fall as their mean lies."""
    found, rows = Series(), defaultdict(list)
    with gzip.open(folder / "msft.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            rows[row["series"]].append((datetime.fromisoformat(row["timestamp"][:19]), float(row["value"] or 0), row["label"] == "1"))
    for name, known in rows.items():
        begin, length = known[0][0], int(median((b[0] - a[0]).total_seconds() for a, b in zip(known, known[1:])))
        seconds = [(time - begin).total_seconds() for time, *_ in known]
        found.length[name], found.span[name] = length, (seconds[len(known) // 4], seconds[-1])
        found.slots[name] = [(0.0, 0.0)] * (int(seconds[-1] / length) + 1)
        for second, (_, value, _) in zip(seconds, known):
            found.slots[name][int(second / length)] = value, 0.0
        usual, odd = median(value for _, value, _ in known), []
        for at, (_, value, label) in enumerate(known):
            if label and at >= len(known) // 4:
                if not odd or at - odd[-1][-1] > 3:
                    odd.append([])
                odd[-1].append(at)
        for run in odd:
            kind = "rise" if sum(known[at][1] for at in run) / len(run) >= usual else "fall"
            found.events[name].append((seconds[run[0]], seconds[run[-1]] + length + GRACE, kind, True))
    return found


def episodes(times):
    count, until = 0, -1
    for time in times:
        if time >= until:
            count, until = count + 1, time + EPISODE
    return count


def afterwards(series):
    """Recall by kind and rate, where each attack costs what its own series raises at that level."""
    costs = defaultdict(lambda: defaultdict(list))
    for name in series.slots:
        attacks = [event for event in series.events[name] if event[3]]
        for way, values in series.windows(name) if attacks else ():
            clear = [(time, value) for time, value in values if series.clear(name, time)]
            weeks = len(clear) * series.length[name] / WEEK
            for start, end, kind, _ in attacks:
                if (kind in FALLS) == (way[2] == "fewer"):
                    most = max(value for time, value in values if start < time <= end)
                    costs[kind][way].append(episodes([time for time, value in clear if value >= most]) / weeks)
    for kind, ways in costs.items():
        best = min(ways.values(), key=lambda found: sum(min(cost, 20) for cost in found))
        for rate in RATES:
            left, found = rate * series.weeks(), 0
            for cost in sorted(best):
                left -= cost
                found += left >= 0
            yield kind, rate, found / len(best)


def beforehand(series):
    """Recall by kind and rate, where levels are made of the days before the scored ones, the same way for all series."""
    told, reached = defaultdict(list), defaultdict(lambda: defaultdict(list))
    for name in series.slots:
        first, last = series.span[name]
        for way, values in series.windows(name):
            for how, score in yardsticks([value for time, value in values if time <= first], way[2] == "fewer"):
                scored = [(time, score(value)) for time, value in values if first < time <= last]
                told[way, how] += [(score, name, time) for time, score in scored if series.clear(name, time)]
                for start, end, kind, attack in series.events[name]:
                    if attack and (kind in FALLS) == (way[2] == "fewer"):
                        reached[kind][way, how].append(max(score for time, score in scored if start < time <= end))
    levels = {way: list(falling(found, series.weeks())) for way, found in told.items()}
    for kind, ways in reached.items():
        for place, rate in enumerate(RATES):
            yield kind, rate, max(sum(score > levels[way][place] for score in found) / len(found) for way, found in ways.items())


def yardsticks(known, fewer):
    """So many times the most that is known, and so many of its ordinary spreads (median absolute deviations) above its median."""
    most, middle = max(known), median(known)
    spread = max(median(abs(value - middle) for value in known), 0.05 * abs(middle), 1e-9)
    yield "most", (lambda value: value - most) if fewer else (lambda value: value / max(most, 1e-9))
    yield "spread", lambda value: (value - middle) / spread


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


def show(title, series):
    kinds = series.kinds()
    weight = {kind: sum(k == kind and attack for events in series.events.values() for *_, k, attack in events) for kind in kinds}
    print(f"{title}: {sum(weight.values())} attacks, {series.weeks():.0f} weeks\n")
    print("| level | false alerts a week | all | " + " | ".join(kinds) + " |\n|---|---|---|" + "---|" * len(kinds))
    for name, judge in (("afterwards", afterwards), ("beforehand", beforehand)):
        found = {(kind, rate): recall for kind, rate, recall in judge(series)}
        for rate in RATES:
            whole = sum(found[kind, rate] * weight[kind] for kind in kinds) / sum(weight.values())
            cells = " | ".join(f"{found[kind, rate]:.2f}" for kind in kinds)
            print(f"| {name} | {rate} | {whole:.3f} | {cells} |")
    print()


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    show("servegen", clients(folder))
    show("msft", values(folder))


if __name__ == "__main__":
    main()
