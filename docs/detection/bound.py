"""What could be found: recall of oracles that know every law a fleet was drawn from, beside that of the program.

    for seed in 1 2; do
        tokenwatch simulate --series fleets/$seed --track fleet --seed $seed --oracle
        tokenwatch backtest --data fleets/$seed --track fleet --out fleets/$seed/alerts.csv --min-score 0.1
    done
    python3 docs/detection/bound.py fleets/1 fleets/2

`oracle.py` says what an oracle computes, `docs/detection.md` what the columns mean. Without `alerts.csv` there is no column of
the program. Draws `bound.svg` too. The same fleets give the same table: in minutes with `pypy3`, in most of an hour with `python3`.
"""

import csv
import gzip
import json
import math
import sys
from array import array
from multiprocessing import Pool
from pathlib import Path

from oracle import DAY, FITS, HOUR, KINDS, WEEK, Laws, Ordinary, mean_length, watcher
from plot import BLUE, GREEN, ORANGE, Chart, Picture

SLOT = 300  # seconds
FIRST, LAST = 21 * DAY, 35 * DAY  # scored slots
RATES = (0.1, 0.25)  # false alerts per deployment and week
QUIET = 0.5  # statistics whose logarithm is below this are not kept


def table(path):
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else open(path, encoding="utf-8")
    with opened as lines:
        yield from csv.DictReader(lines)


class Deployment:
    def __init__(self, folder, name, profile, laws):
        self.folder, self.name, self.profile, self.laws = folder, name, profile, laws
        self.rows, self.events, self.alerts = {}, [], []

    def seen(self, slot):
        return self.rows.get(slot, (0, 0, 0, 0))

    def growth(self):
        return next(((start, times) for start, _, kind, times in self.events if kind == "growth"), (LAST, 1.0))

    def attacks(self):
        return [event for event in self.events if event[2] != "growth"]

    def usual_callers(self, slot):
        """Of a slot in the day before."""
        return sum(self.seen(s)[1] for s in range(slot - DAY, slot)) / DAY

    def verdicts(self):
        """Of an alert at the end of each scored slot: 1 is wrong, as the benchmark's scorer has it."""
        wrong = bytearray([1]) * (LAST - FIRST)
        for start, end, kind, _ in self.events:
            after = end if kind == "growth" else end + HOUR + DAY
            for slot in range(max(start, FIRST), min(after, LAST)):
                wrong[slot - FIRST] = 0
        return wrong


def read(folder):
    folder = Path(folder)
    fleet = {}
    profiles = {row["series"]: row["profile"] for row in table(folder / "fleet_meta.csv")}
    with open(folder / "fleet_oracle.jsonl", encoding="utf-8") as lines:
        for line in lines:
            laws = json.loads(line)
            fleet[laws["series"]] = Deployment(folder, laws["series"], profiles[laws["series"]], laws)
    for row in table(folder / "fleet.csv.gz"):
        if int(row["slot"]) >= FIRST - 8 * DAY:
            values = tuple(int(row[column]) for column in ("requests", "callers", "tokens_in", "tokens_out"))
            fleet[row["series"]].rows[int(row["slot"])] = values
    for row in table(folder / "fleet_labels.csv"):
        span = int(row["start"]) // SLOT, int(row["end"]) // SLOT
        fleet[row["series"]].events.append((*span, row["type"], float(row["magnitude"])))
    if (folder / "alerts.csv").exists():
        for row in table(folder / "alerts.csv"):
            fleet[row["series"]].alerts.append((int(row["timestamp"]) // SLOT - 1, float(row["score"])))
    return list(fleet.values())


def judge(deployment):
    """Statistics of every kind in every scored slot, and how soon each attack is found by who knows when it begins."""
    laws = Laws(deployment.laws, deployment.growth())
    usual = sum(deployment.usual_callers(14 * DAY + day * DAY) for day in range(7)) / 7
    strengths = {kind: (KINDS[kind][0], usual) for kind in KINDS if kind in FITS[deployment.profile]}
    strengths |= {kind: (times, deployment.usual_callers(start)) for start, _, kind, times in deployment.attacks()}
    watch = lambda: {kind: watcher(kind, times, laws, callers) for kind, (times, callers) in strengths.items()}
    watchers = watch()
    stay = {kind: 1 - 1 / mean_length(kind) for kind in watchers}
    found = {kind: array("f") for kind in watchers}
    told, timed = [], {}
    ordinary = Ordinary(laws)
    for slot in range(FIRST - 2 * DAY, LAST):
        for start, end, kind, times in deployment.attacks():
            # What happened is told in the end, so that one attack does not pass for the next.
            if slot == end + HOUR:
                ordinary, watchers = Ordinary(laws), watch()
            if slot == start:
                told.append((watcher(kind, times, laws, strengths[kind][1], start), start, end, kind))
        seen, before = deployment.seen(slot), ordinary.advance(slot)
        known = before, ordinary.see(slot, seen)
        for kind, each in watchers.items():
            each.see(slot, seen, known, 1.0, stay[kind])
            if slot >= FIRST:
                found[kind].append(math.log(max(each.weight, 1e-300)))
        time_told(told, timed, slot, seen, known)
    return found, timed, told_all(deployment, strengths)


def time_told(told, timed, slot, seen, known):
    """Who knows the beginning asks once, and is wrong as often as once in 1/rate weeks where the ratio may reach that
    (Ville 1939)."""
    for each, start, end, kind in told:
        if start <= slot < end + HOUR:
            each.see(slot, seen, known, float(slot == start), 1.0)
            for rate in RATES:
                if each.weight >= 1 / rate:
                    timed.setdefault((kind, start, rate), slot + 1 - start)


def told_all(deployment, strengths):
    """The same with the level known as well."""
    timed = {}
    laws = Laws(deployment.laws, deployment.growth(), told=True) if deployment.attacks() else None
    for start, end, kind, times in deployment.attacks():
        told = [(watcher(kind, times, laws, strengths[kind][1], start), start, end, kind)]
        ordinary = Ordinary(laws)
        for slot in range(start - DAY, min(end + HOUR, LAST)):
            before, seen = ordinary.advance(slot), deployment.seen(slot)
            time_told(told, timed, slot, seen, (before, ordinary.see(slot, seen)))
    return timed


def false_alerts(stream, wrong, level):
    """Episodes of six hours that begin outside attacks."""
    count, last = 0, -(10**9)
    for slot, value in stream:
        if value >= level and slot >= last + 6 * HOUR:
            last = slot
            count += wrong[slot - FIRST]
    return count


def first_alert(stream, start, end, level):
    """Slots from the beginning to the first alert that counts."""
    return next((slot + 1 - start for slot, value in stream if start <= slot < end + HOUR and value >= level), None)


def level_for(streams, wrong, budget):
    """The lowest level that keeps all false alerts within the budget."""
    low, high = 0.0, 1e-9 + max((value for stream in streams for _, value in stream), default=0.0)
    for _ in range(40):
        middle = (low + high) / 2
        total = sum(false_alerts(stream, bad, middle) for stream, bad in zip(streams, wrong))
        low, high = (low, middle) if total <= budget else (middle, high)
    return high


def sparse(values, least):
    return [(FIRST + place, value) for place, value in enumerate(values) if value >= least]


def by_oracles(fleet, judged):
    """How many slots each attack was there when it was found, None where it is missed: by oracle and rate."""
    weeks = len(fleet) * (LAST - FIRST) / WEEK
    wrong = [deployment.verdicts() for deployment in fleet]
    attacks = [(place, *event[:3]) for place, deployment in enumerate(fleet) for event in deployment.attacks()]
    streams = {kind: [sparse(each[0].get(kind, ()), QUIET) for each in judged] for kind in KINDS}
    streams["laws"] = [sparse(map(max, zip(*each[0].values())), QUIET) for each in judged]
    streams["program"] = [[(s, v) for s, v in sorted(d.alerts) if FIRST <= s < LAST] for d in fleet]
    found = {}
    for rate in RATES:
        level = {name: level_for(each, wrong, rate * weeks) for name, each in streams.items()}
        told = lambda which: {key: judged[key[0]][which].get((key[3], key[1], rate)) for key in attacks}
        heard = lambda name_of: {
            key: first_alert(streams[name_of(key)][key[0]], key[1], key[2], level[name_of(key)]) for key in attacks
        }
        found["everything", rate], found["start", rate] = told(2), told(1)
        found["kind", rate], found["laws", rate] = heard(lambda key: key[3]), heard(lambda _: "laws")
        if any(streams["program"]):
            found["program", rate] = heard(lambda _: "program")
    return found


def median(values):
    values = sorted(values)
    return (values[len(values) // 2] + values[(len(values) - 1) // 2]) / 2 if values else math.nan


def share(times):
    return f"{sum(slots is not None for slots in times.values()) / max(len(times), 1):.2f}"


def burn(times):
    """Of each attack's length, what was over when it was found."""
    parts = [1.0 if slots is None else min(1.0, slots / (end - start)) for (_, start, end, _), slots in times.items()]
    return f"{sum(parts) / len(parts):.2f}"


def minutes(times):
    return f"{5 * median([slots for slots in times.values() if slots is not None]):g}"


def report(found):
    oracles = [oracle for oracle, rate in found if rate == RATES[0]]

    def head(*names):
        print("| " + " | ".join((*names, *oracles)) + " |\n" + "|---" * (len(names) + len(oracles)) + "|")

    print(f"Recall and minutes to detect (median) at {RATES[1]}:\n")
    head("attack", "number")
    for kind in KINDS:
        of = [{key: slots for key, slots in found[oracle, RATES[1]].items() if key[3] == kind} for oracle in oracles]
        print(f"| {kind} | {len(of[0])} | " + " | ".join(f"{share(times)}, {minutes(times)}" for times in of) + " |")
    print("\nAll attacks:\n")
    head("", "rate")
    for name, measure in (("recall", share), ("burn", burn), ("minutes to detect, median", minutes)):
        for rate in RATES:
            print(f"| {name} | {rate} | " + " | ".join(measure(found[oracle, rate]) for oracle in oracles) + " |")
    attacks = found[oracles[0], RATES[0]]
    print(f"\nAll found when their first slot closes: burn {burn(dict.fromkeys(attacks, 1))}, 5 minutes.")


def draw(found):
    """Recall by kind: the program, and above it what the oracles find more."""
    picture = Picture(f"Recall at {RATES[1]} false alerts per deployment and week", height=360)
    chart = Chart(picture, (0, len(KINDS)), (0, 1), at=(70, 76, 760, 214))
    chart.axes([], [(value / 4, f"{value / 4:g}") for value in range(5)], yname="recall")
    columns = [("program", BLUE, "tokenwatch"), ("laws", ORANGE, "knows the laws"), ("kind", GREEN, "and the kind")]
    columns = [column for column in columns if (column[0], RATES[1]) in found]
    for place, (oracle, colour, _) in enumerate(columns):
        bars = []
        for at, kind in enumerate(KINDS):
            of = {key: slots for key, slots in found[oracle, RATES[1]].items() if key[3] == kind}
            left = at + 0.14 + 0.24 * place
            bars.append((left, left + 0.22, float(share(of))))
        chart.bars(bars, colour, 0.6)
    for at, kind in enumerate(KINDS):
        x, _ = chart.place(at + 0.5, 0)
        for line, word in enumerate(kind.split("_")):
            picture.text(x, 310 + 17 * line, word, "middle")
    chart.legend(*((text, colour, "bar") for _, colour, text in columns))
    picture.save(Path(__file__).resolve().parent / "bound.svg")


def main():
    fleet = [deployment for folder in sys.argv[1:] for deployment in read(folder)]
    with Pool() as pool:
        judged = pool.map(judge, fleet, chunksize=1)
    found = by_oracles(fleet, judged)
    report(found)
    draw(found)


if __name__ == "__main__":
    main()
