"""What Microsoft's Python client sees of an event hub, for tests/it/hub_peers.rs.

Needs azure-eventhub 5.15.1. Takes a connection string without a hub and the JSON file of the events
that every language writes and reads. Runs every case, each on a hub of its own name that starts
empty; prints `ok NAME` for each that holds and what differed for one that does not. `--write HUB`
sends the events of the file; `--read HUB` expects them there.
"""

import argparse
import asyncio
import base64
import contextlib
import faulthandler
import json
import logging
import queue
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

from azure.eventhub import (
    EventData,
    EventHubConsumerClient,
    EventHubProducerClient,
    LoadBalancingStrategy,
)
from azure.eventhub._eventprocessor.in_memory_checkpoint_store import InMemoryCheckpointStore
from azure.eventhub.aio import EventHubConsumerClient as AsyncConsumer
from azure.eventhub.aio import EventHubProducerClient as AsyncProducer
from azure.eventhub.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.eventhub.exceptions import EventDataSendError

# Longest wait for one thing, and for everything: some failures make the client wait for ever.
LIMIT_S = 60
ALL_LIMIT_S = 300
connection = ""


def equal(what, seen, wanted):
    if seen != wanted:
        raise AssertionError(f"{what}: {seen!r:.400}, not {wanted!r:.400}")


def check(what, holds):
    if not holds:
        raise AssertionError(what)


def producer(hub, **options):
    options.setdefault("retry_total", 0)
    return EventHubProducerClient.from_connection_string(connection, eventhub_name=hub, **options)


def consumer(hub, group="$Default", **options):
    return EventHubConsumerClient.from_connection_string(
        connection, group, eventhub_name=hub, retry_total=0, **options
    )


class Reader:
    """Receives in a thread of its own from one partition, or as an event processor from all."""

    def __init__(self, client, position="-1", **options):
        self.client, self.events, self.errors = client, queue.Queue(), queue.Queue()
        options.setdefault("partition_id", "0")
        self.thread = threading.Thread(
            target=client.receive_batch,
            args=(self._keep,),
            kwargs={
                "starting_position": position,
                "on_error": lambda _context, error: self.errors.put(error),
                **options,
            },
            daemon=True,
        )

    def _keep(self, context, events):
        for event in events:
            self.events.put((context, event))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.client.close()
        self.thread.join(LIMIT_S)
        check("the receiver ends", not self.thread.is_alive())

    def next(self):
        for _ in range(LIMIT_S * 10):
            with contextlib.suppress(queue.Empty):
                return self.events.get(timeout=0.1)
            if not self.errors.empty():
                raise AssertionError(f"receives {self.errors.get()!r}")
        raise AssertionError("no event")

    def take(self, count):
        return [self.next()[1] for _ in range(count)]

    def failure(self):
        try:
            return self.errors.get(timeout=LIMIT_S)
        except queue.Empty:
            raise AssertionError("no error") from None


def read(hub, count, partition="0", position="-1", **options):
    """The next `count` events from a position on."""
    with Reader(consumer(hub), position, partition_id=partition, **options) as reader:
        return reader.take(count)


def read_all(hub):
    """Every event with the number of its partition."""
    found = counts(hub)

    def read_count(one):
        return read(hub, found[one], str(one)) if found[one] else []

    with ThreadPoolExecutor() as pool:
        lists = pool.map(read_count, range(4))
        return [(one, event) for one, events in enumerate(lists) for event in events]


def send(hub, bodies, **target):
    with producer(hub) as client:
        client.send_batch([EventData(body) for body in bodies], **target)


def body(event):
    return b"".join(event.body)


def counts(hub):
    """Number of events in each partition."""

    def count(partition):
        with producer(hub) as client:
            return client.get_partition_properties(partition)["last_enqueued_sequence_number"] + 1

    with ThreadPoolExecutor() as pool:
        return list(pool.map(count, "0123"))


def failure(act):
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("nothing failed")


# --- cases -----------------------------------------------------------------------------------


def hub_properties(hub):
    before = datetime.now(timezone.utc) - timedelta(hours=1)
    for client in (producer(hub), consumer(hub)):
        with client:
            seen = client.get_eventhub_properties()
            equal("name", seen["eventhub_name"], hub)
            equal("ids", seen["partition_ids"], ["0", "1", "2", "3"])
            check("created lately", before < seen["created_at"] <= datetime.now(timezone.utc))
            equal("ids alone", client.get_partition_ids(), ["0", "1", "2", "3"])


def partition_properties(hub):
    with producer(hub) as client:
        empty = client.get_partition_properties("1")
        equal("empty", empty["is_empty"], True)
        equal("last of none", empty["last_enqueued_sequence_number"], -1)
        equal("offset of none", empty["last_enqueued_offset"], "-1")
        client.send_batch([EventData("one"), EventData("two")], partition_id="1")
        seen = client.get_partition_properties("1")
    equal("hub", seen["eventhub_name"], hub)
    equal("id", seen["id"], "1")
    equal("first", seen["beginning_sequence_number"], 0)
    equal("last", seen["last_enqueued_sequence_number"], 1)
    equal("empty", seen["is_empty"], False)
    last = read(hub, 2, "1")[1]
    equal("offset", seen["last_enqueued_offset"], last.offset)
    equal("time", seen["last_enqueued_time_utc"], last.enqueued_time)
    check("time is now", abs(datetime.now(timezone.utc) - last.enqueued_time) < timedelta(hours=1))


def send_to_partition(hub):
    send(hub, ["zero"], partition_id="0")
    send(hub, ["three", "3"], partition_id="3")
    equal("events", counts(hub), [1, 0, 0, 2])
    seen = read(hub, 2, "3")
    equal("bodies", [body(event) for event in seen], [b"three", b"3"])
    equal("numbers", [event.sequence_number for event in seen], [0, 1])
    equal("key", seen[0].partition_key, None)


def send_by_key(hub):
    keys = ["tenant", "a", "klíč", "subscriptions/7/contoso-prod"]
    for _ in range(3):
        # A producer each time: the key decides, not the connection.
        for key in keys:
            send(hub, [key] * 2, partition_key=key)
    homes = {}
    for partition, event in read_all(hub):
        equal("key", event.partition_key.decode(), event.body_as_str())
        homes.setdefault(event.body_as_str(), []).append(partition)
    equal("events", {key: len(found) for key, found in homes.items()}, dict.fromkeys(keys, 6))
    for key, found in homes.items():
        equal(f"partitions of {key}", len(set(found)), 1)
    check("not all keys in one partition", len({found[0] for found in homes.values()}) > 1)


def send_in_turn(hub):
    with producer(hub) as client:
        for _ in range(4):
            client.send_event(EventData("one"))
        equal("events", counts(hub), [1, 1, 1, 1])
        client.send_batch([EventData("two"), EventData("three")])
    equal("a batch stays together", sorted(counts(hub)), [1, 1, 1, 3])


def full_batch(hub):
    with producer(hub) as client:
        batch = client.create_batch(partition_id="0")
        equal("limit", batch.max_size_in_bytes, 1_048_576)
        with contextlib.suppress(ValueError):
            while True:
                batch.add(EventData(f"{len(batch)} ".encode().ljust(1_000, b".")))
        check("hardly more fits", batch.size_in_bytes > 1_046_000)
        client.send_batch(batch)
    count = len(batch)
    seen = read(hub, count)
    equal("order", [int(body(event).split()[0]) for event in seen], list(range(count)))
    equal("sizes", {len(body(event)) for event in seen}, {1_000})


def too_large(hub):
    with producer(hub) as client:
        batch = client.create_batch()
        failure(lambda: batch.add(EventData(bytes(1_048_576))))
        error = failure(lambda: client.send_event(EventData(bytes(1_048_577)), partition_id="0"))
        equal("error", type(error), EventDataSendError)
        check(f"{error!r} names the limit", "exceeds the limit (1048576 bytes)" in str(error))
        # The largest that fits is stored, and read whole.
        largest = bytes(range(256)) * 4_090
        client.send_event(EventData(largest), partition_id="0")
    check("the largest comes back", body(read(hub, 1)[0]) == largest)
    equal("events", counts(hub), [1, 0, 0, 0])


def round_trip(hub):
    send_all(hub)
    expect_all(hub)


def bodies(hub):
    """Bodies that are not data: values of all kinds and sequences."""
    values = [None, True, 7, -1.5, "text", b"bytes", ["list", 1], {"map": {"in": "map"}}]
    sequences = [[[]], [["one", 2, b"three"]], [["more"], ["than", "one"]]]
    with producer(hub) as client:
        for value in values:
            client.send_event(AmqpAnnotatedMessage(value_body=value), partition_id="0")
        for sequence in sequences:
            client.send_event(AmqpAnnotatedMessage(sequence_body=sequence), partition_id="0")
        client.send_event(AmqpAnnotatedMessage(data_body=[b"two", b"sections"]), partition_id="0")
        batch = client.create_batch(partition_id="0")
        batch.add(AmqpAnnotatedMessage(value_body="in a batch"))
        client.send_batch(batch)
    seen = read(hub, len(values) + len(sequences) + 2)
    for event, value in zip(seen, values):
        equal("kind", event.body_type, AmqpMessageBodyType.VALUE)
        equal("value", plain(event.body), plain(value))
    for event, sequence in zip(seen[len(values) :], sequences):
        equal("kind", event.body_type, AmqpMessageBodyType.SEQUENCE)
        equal("sequence", plain(list(event.body)), plain(sequence))
    equal("sections", list(seen[-2].body), [b"two", b"sections"])
    equal("value in a batch", plain(seen[-1].body), b"in a batch")


def plain(value):
    """The client returns text of an AMQP value as bytes."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def positions(hub):
    with producer(hub) as client:
        for number in range(5):
            client.send_event(EventData(str(number)), partition_id="0")
    events = read(hub, 5)
    at = events[2]
    wanted = [
        ("-1", False, 0),
        (-1, False, 0),
        (2, False, 3),
        (2, True, 2),
        (at.offset, False, 3),
        (at.offset, True, 2),
        (at.enqueued_time, False, 3),
        (at.enqueued_time, True, 2),
        (at.enqueued_time - timedelta(days=1), False, 0),
    ]

    def first_from(position, inclusive, _):
        seen = read(hub, 1, position=position, starting_position_inclusive=inclusive)
        return position, inclusive, seen[0].sequence_number

    with ThreadPoolExecutor(len(wanted)) as pool:
        equal("first events", list(pool.map(first_from, *zip(*wanted))), wanted)
    with Reader(consumer(hub), "@latest") as reader, producer(hub) as client:
        # The receiver attaches some time later; what is sent before is not for it. It hands on
        # what it has only when nothing came for 0.2 s.
        while reader.events.empty():
            client.send_event(EventData("late"), partition_id="0")
            time.sleep(0.5)
        first = reader.take(1)[0]
        check("only new ones", first.sequence_number > 4)
        equal("body", body(first), b"late")


def owner_levels(hub):
    send(hub, ["one"], partition_id="0")
    with Reader(consumer(hub), owner_level=1) as low:
        low.take(1)
        with Reader(consumer(hub), owner_level=2) as high:
            high.take(1)
            stolen(low)
            for level in (1, None):
                with Reader(consumer(hub), owner_level=level) as late:
                    stolen(late)
            send(hub, ["two"], partition_id="0")
            equal("the owner goes on", body(high.take(1)[0]), b"two")


def stolen(reader):
    error = reader.failure()
    check(f"{error!r} says why", "amqp:link:stolen" in str(error) and "epoch" in str(error))


def consumer_groups(hub):
    send(hub, ["one", "two"], partition_id="0")
    with (
        Reader(consumer(hub), owner_level=7) as first,
        Reader(consumer(hub, "second"), owner_level=1) as second,
        Reader(consumer(hub, "third")) as third,
    ):
        for reader in (first, second, third):
            equal("events", [body(event) for event in reader.take(2)], [b"one", b"two"])
        send(hub, ["three"], partition_id="0")
        for reader in (first, second, third):
            equal("event", body(reader.take(1)[0]), b"three")


def last_enqueued(hub):
    send(hub, ["one", "two", "three"], partition_id="0")
    last = read(hub, 3)[2]
    with Reader(consumer(hub), track_last_enqueued_event_properties=True) as reader:
        context, _ = reader.next()
        told = context.last_enqueued_event_properties
    equal("number", told["sequence_number"], last.sequence_number)
    equal("offset", told["offset"], last.offset)
    equal("time", told["enqueued_time"], last.enqueued_time)
    check("told lately", told["retrieval_time"] >= last.enqueued_time)
    with Reader(consumer(hub)) as reader:
        context, _ = reader.next()
        check("not told unasked", not context.last_enqueued_event_properties)


def buffered_producer(hub):
    sent, failures = queue.Queue(), queue.Queue()
    client = producer(
        hub,
        buffered_mode=True,
        max_wait_time=1,
        on_success=lambda events, partition: sent.put((len(events), partition)),
        on_error=lambda _events, _partition, error: failures.put(error),
    )
    with client:
        for number in range(40):
            client.send_event(EventData(str(number)), partition_key="tenant")
            client.send_event(EventData(str(number)), partition_id="0")
            client.send_event(EventData(str(number)))
        client.flush()
    check("no failure", failures.empty())
    equal("confirmed", sum(count for count, _ in sent.queue), 120)
    keyed = {}
    for partition, event in read_all(hub):
        keyed.setdefault(event.partition_key, []).append(partition)
    equal("keys", {key: len(homes) for key, homes in keyed.items()}, {None: 80, b"tenant": 40})
    equal("partitions of the key", len(set(keyed[b"tenant"])), 1)


def event_processor(hub):
    """Two processors share the partitions and a third goes on where they stopped."""
    store = InMemoryCheckpointStore()

    def processor():
        client = consumer(
            hub,
            checkpoint_store=store,
            load_balancing_interval=1,
            load_balancing_strategy=LoadBalancingStrategy.BALANCED,
        )
        return Reader(client, partition_id=None)

    with processor() as first, processor() as second:
        seen = []
        until("each of two has two partitions", lambda: sorted(shares(store, hub)) == [2, 2])
        for partition in range(4):
            send(hub, ["a", "b"], partition_id=str(partition))
        for _ in range(8):
            context, event = next_of(first, second)
            seen.append((context.partition_id, body(event)))
            context.update_checkpoint(event)
        wanted = [(str(partition), text) for partition in range(4) for text in (b"a", b"b")]
        equal("each event once", sorted(seen), wanted)
    send(hub, ["c"], partition_id="2")
    with processor() as third:
        context, event = third.next()
        equal("after the checkpoint", (context.partition_id, body(event)), ("2", b"c"))


def shares(store, hub):
    owners = {}
    for owned in store.list_ownership(host(), hub, "$Default"):
        if owned["owner_id"]:
            owners[owned["owner_id"]] = owners.get(owned["owner_id"], 0) + 1
    return list(owners.values())


def host():
    return connection.split("sb://")[1].split(";")[0].rstrip("/")


def next_of(*readers):
    until("an event", lambda: any(not reader.events.empty() for reader in readers))
    return next(reader for reader in readers if not reader.events.empty()).next()


def until(what, holds):
    for _ in range(LIMIT_S * 20):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"it does not happen that {what}")


def missing(hub):
    """Hubs and partitions that do not exist."""
    with producer(hub) as client:
        not_found(lambda: client.get_partition_properties("4"))
        # The client asks for the partitions before it sends.
        error = failure(lambda: client.send_event(EventData("lost"), partition_id="4"))
        check(f"{error!r} names the partition", "Invalid partition 4" in str(error))
    with producer("nowhere") as client:
        not_found(client.get_eventhub_properties)
        not_found(lambda: client.send_event(EventData("lost")))
    with Reader(consumer("nowhere")) as reader:
        check("not found", is_not_found(reader.failure()))
    with Reader(consumer(hub), partition_id="4") as reader:
        check("the client asks first", "Wrong partition id:4" in str(reader.failure()))
    equal("events", counts(hub), [0, 0, 0, 0])


def not_found(act):
    error = failure(act)
    check(f"{error!r} is amqp:not-found", is_not_found(error))


def is_not_found(error):
    return "amqp:not-found" in str(error) or "NotFound" in str(error)


def asynchronous(hub):
    """The client that speaks through asyncio, which has a transport of its own."""
    asyncio.run(asyncio.wait_for(async_round_trip(hub), LIMIT_S))


async def async_round_trip(hub):
    async with AsyncProducer.from_connection_string(connection, eventhub_name=hub) as client:
        equal("ids", await client.get_partition_ids(), ["0", "1", "2", "3"])
        batch = await client.create_batch(partition_key="tenant")
        batch.add(EventData("one"))
        batch.add(EventData(bytes(300_000)))
        await client.send_batch(batch)
    home = counts(hub).index(2)
    client = AsyncConsumer.from_connection_string(connection, "$Default", eventhub_name=hub)
    seen, enough = [], asyncio.Event()

    async def keep(_context, event):
        seen.append(event)
        if len(seen) == 2:
            enough.set()

    async with client:
        receives = asyncio.create_task(
            client.receive(keep, partition_id=str(home), starting_position="-1")
        )
        await enough.wait()
        receives.cancel()
    equal("bodies", [len(body(event)) for event in seen], [3, 300_000])
    equal("key", seen[1].partition_key, b"tenant")


# --- events that every language writes and reads ---------------------------------------------

shared = []


def send_all(hub):
    with producer(hub) as client:
        for wanted in shared:
            event = EventData(base64.b64decode(wanted["body"]))
            event.properties = wanted.get("properties", {})
            for field in ("content_type", "message_id", "correlation_id"):
                if field in wanted:
                    setattr(event, field, wanted[field])
            if "key" in wanted:
                client.send_event(event, partition_key=wanted["key"])
            else:
                client.send_event(event, partition_id="0")


def expect_all(hub):
    found = {body(event): event for _, event in read_all(hub)}
    equal("bodies", sorted(found), sorted(base64.b64decode(one["body"]) for one in shared))
    for wanted in shared:
        event = found[base64.b64decode(wanted["body"])]
        key = event.partition_key
        equal("key", key and key.decode(), wanted.get("key"))
        for field in ("content_type", "message_id", "correlation_id"):
            equal(field, getattr(event, field), wanted.get(field))
        seen = {name.decode(): value for name, value in (event.properties or {}).items()}
        texts = {name: text(one) for name, one in seen.items()}
        properties = wanted.get("properties", {})
        equal("properties", texts, properties)
        # For Python, True equals 1.
        kinds = {name: type(one) for name, one in texts.items()}
        equal("kinds", kinds, {name: type(one) for name, one in properties.items()})


def text(value):
    return value.decode() if isinstance(value, bytes) else value


CASES = [
    hub_properties,
    partition_properties,
    send_to_partition,
    send_by_key,
    send_in_turn,
    full_batch,
    too_large,
    round_trip,
    bodies,
    positions,
    owner_levels,
    consumer_groups,
    last_enqueued,
    buffered_producer,
    event_processor,
    missing,
    asynchronous,
]


def main():
    global connection
    # Refused links are what some cases are about.
    logging.disable()
    faulthandler.dump_traceback_later(ALL_LIMIT_S, exit=True)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("connection", help="connection string without a hub")
    parser.add_argument("events", help="JSON file of the events that all write and read")
    parser.add_argument("--only", metavar="CASE", help="run this case alone")
    parser.add_argument("--write", metavar="HUB", help="send the events of the file")
    parser.add_argument("--read", metavar="HUB", help="expect the events of the file")
    arguments = parser.parse_args()
    connection = arguments.connection
    with open(arguments.events, encoding="utf-8") as file:
        shared.extend(json.load(file))
    if arguments.write:
        return send_all(arguments.write)
    if arguments.read:
        return expect_all(arguments.read)
    cases = [case for case in CASES if arguments.only in (None, case.__name__)]
    failed = False
    # The client sleeps between any two frames of a handshake: side by side it takes as long as
    # the longest case. Only this thread prints, so that lines stay whole.
    with ThreadPoolExecutor(len(cases)) as pool:
        for case, problem in zip(cases, pool.map(run, cases)):
            print(f"failed {problem}" if problem else f"ok {case.__name__}", flush=True)
            failed = failed or problem is not None
    return failed


def run(case):
    """What is wrong, or None."""
    try:
        case(case.__name__)
    except Exception:
        return f"{case.__name__}: {traceback.format_exc()}"
    return None


if __name__ == "__main__":
    sys.exit(main())
