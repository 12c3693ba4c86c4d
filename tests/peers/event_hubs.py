"""What Microsoft's Python client sees of an event hub, for tests/it/hub_peers.rs (azure-eventhub 5.15.1).

Takes a connection string without a hub and runs every case, each on a hub of its own name that
starts empty; prints `ok NAME` for each that holds and what differed for one that does not.
`--write HUB` sends the events of the file `--events` names; `--read HUB` expects them there.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import logging
import queue
import sys
import threading
import time
import traceback
from datetime import datetime, timedelta, timezone

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient, TransportType
from azure.eventhub.aio import EventHubConsumerClient as AsyncConsumer
from azure.eventhub.aio import EventHubProducerClient as AsyncProducer
from azure.eventhub.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.eventhub.exceptions import EventHubError

LIMIT_S = 60
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


def send(hub, bodies, **target):
    with producer(hub) as client:
        client.send_batch([EventData(body) for body in bodies], **target)


def body(event):
    return b"".join(event.body)


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


CASES = [
    hub_properties,
    partition_properties,
]


def main():
    global connection
    logging.disable()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("connection")
    parser.add_argument("--only", help="the name of one case")
    arguments = parser.parse_args()
    connection = arguments.connection
    failed = 0
    for case in CASES:
        if arguments.only not in (None, case.__name__):
            continue
        try:
            case(case.__name__)
            print(f"ok {case.__name__}", flush=True)
        except Exception as error:
            failed += 1
            print(f"failed {case.__name__}: {error!r}", flush=True)
            traceback.print_exc()
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
