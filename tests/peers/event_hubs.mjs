// What Microsoft's JavaScript client sees of an event hub, for tests/it/hub_peers.rs
// (@azure/event-hubs 6.0.4).
//
// usage: node event_hubs.mjs MODULES CONNECTION EVENTS [--only CASE | --write HUB | --read HUB]
//
// MODULES is the folder with node_modules, CONNECTION a connection string without a hub, EVENTS the
// JSON file of the events that every language writes and reads. Runs every case, each on a hub of
// its own name that starts empty; prints `ok NAME` for each that holds and what differed for one
// that does not. `--write` sends the events of the file; `--read` expects them.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [folder, connection, eventsFile, option, value] = process.argv.slice(2);
// The client wants Node 20; Debian 12 has 18, which lacks this alone.
globalThis.crypto ??= webcrypto;
const modules = join(resolve(folder), "node_modules");
const require = createRequire(join(modules, "here"));
const {
  EventHubBufferedProducerClient,
  EventHubConsumerClient,
  EventHubProducerClient,
  earliestEventPosition,
  latestEventPosition,
} = require("@azure/event-hubs");
// Not part of the public interface, but what the client uses itself.
const inside = (file) => require(join(modules, "@azure/event-hubs/dist/commonjs", file));
const { InMemoryCheckpointStore } = inside("inMemoryCheckpointStore.js");
const { mapPartitionKeyToId } = inside("impl/partitionKeyToIdMapper.js");

const LIMIT_MS = 60_000;
const IDS = ["0", "1", "2", "3"];
const shared = JSON.parse(readFileSync(eventsFile, "utf8"));
const retryOptions = { maxRetries: 0 };

async function within(what, promise) {
  const timer = new AbortController();
  const late = sleep(LIMIT_MS, null, { signal: timer.signal }).then(() => {
    throw new Error(`${what} takes too long`);
  });
  return Promise.race([promise, late]).finally(() => {
    timer.abort();
    late.catch(() => {});
  });
}

async function using(client, act) {
  try {
    return await within("a case", act(client));
  } finally {
    await within("close", client.close());
  }
}

const withProducer = (hub, act, options = {}) =>
  using(new EventHubProducerClient(connection, hub, { retryOptions, ...options }), act);

const withConsumer = (hub, act, group = "$Default") =>
  using(new EventHubConsumerClient(group, connection, hub, { retryOptions }), act);

/** What a subscription delivers, to be waited for. */
class Inbox {
  events = [];
  errors = [];
  waiting = [];

  handlers() {
    return {
      processEvents: async (events, context) => {
        this.events.push(...events.map((event) => ({ event, context })));
        this.#wake();
      },
      processError: async (error) => {
        this.errors.push(error);
        this.#wake();
      },
    };
  }

  #wake() {
    this.waiting.splice(0).forEach((go) => go());
  }

  async #until(what, holds) {
    while (!holds()) await within(what, new Promise((go) => this.waiting.push(go)));
  }

  /** The next `count` events, each with its context. */
  async take(count) {
    await this.#until(`${count} events`, () => this.events.length >= count || this.errors.length);
    if (this.errors.length) throw this.errors[0];
    return this.events.splice(0, count);
  }

  async failure() {
    await this.#until("an error", () => this.errors.length);
    return this.errors.shift();
  }
}

function subscribe(client, partition, options = {}) {
  const inbox = new Inbox();
  client.subscribe(partition, inbox.handlers(), {
    startPosition: earliestEventPosition,
    skipParsingBodyAsJson: true,
    maxBatchSize: 300,
    ...options,
  });
  return inbox;
}

/** The next `count` events from a position on. */
const read = (hub, count, partition = "0", options = {}) =>
  withConsumer(hub, async (client) => {
    const taken = await subscribe(client, partition, options).take(count);
    return taken.map(({ event }) => event);
  });

const send = (hub, bodies, target) =>
  withProducer(hub, (client) =>
    client.sendBatch(
      bodies.map((body) => ({ body: Buffer.from(body) })),
      target,
    ),
  );

/** Number of events in each partition. */
const counts = (hub) =>
  withProducer(hub, async (client) => {
    const seen = await Promise.all(IDS.map((id) => client.getPartitionProperties(id)));
    return seen.map((one) => one.lastEnqueuedSequenceNumber + 1);
  });

/** Every event with the number of its partition. */
async function readAll(hub) {
  const found = await counts(hub);
  const lists = found.map(async (count, partition) => {
    const events = count ? await read(hub, count, String(partition)) : [];
    return events.map((event) => ({ partition, event }));
  });
  return (await Promise.all(lists)).flat();
}

async function rejects(code, promise) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.code, code, `${error}`);
    return true;
  });
}

// --- cases -----------------------------------------------------------------------------------

async function hub_properties(hub) {
  for (const wrap of [withProducer, withConsumer]) {
    await wrap(hub, async (client) => {
      const seen = await client.getEventHubProperties();
      assert.equal(seen.name, hub);
      assert.deepEqual(seen.partitionIds, IDS);
      const age = Date.now() - seen.createdOn.getTime();
      assert.ok(age >= 0 && age < 3_600_000, `created ${age} ms ago`);
      assert.deepEqual(await client.getPartitionIds(), IDS);
    });
  }
}

async function partition_properties(hub) {
  await withProducer(hub, async (client) => {
    const empty = await client.getPartitionProperties("1");
    assert.equal(empty.isEmpty, true);
    assert.equal(empty.lastEnqueuedSequenceNumber, -1);
    assert.equal(empty.lastEnqueuedOffset, "-1");
    await client.sendBatch([{ body: "one" }, { body: "two" }], { partitionId: "1" });
    const seen = await client.getPartitionProperties("1");
    const [, last] = await read(hub, 2, "1");
    assert.equal(seen.eventHubName, hub);
    assert.equal(seen.partitionId, "1");
    assert.equal(seen.beginningSequenceNumber, 0);
    assert.equal(seen.lastEnqueuedSequenceNumber, 1);
    assert.equal(seen.isEmpty, false);
    assert.equal(seen.lastEnqueuedOffset, last.offset);
    assert.deepEqual(seen.lastEnqueuedOnUtc, last.enqueuedTimeUtc);
    assert.ok(Math.abs(Date.now() - last.enqueuedTimeUtc) < 3_600_000);
  });
}

async function send_to_partition(hub) {
  await send(hub, ["zero"], { partitionId: "0" });
  await send(hub, ["three", "3"], { partitionId: "3" });
  assert.deepEqual(await counts(hub), [1, 0, 0, 2]);
  const seen = await read(hub, 2, "3");
  assert.deepEqual(seen.map((event) => event.body.toString()), ["three", "3"]);
  assert.deepEqual(seen.map((event) => event.sequenceNumber), [0, 1]);
  assert.equal(seen[0].partitionKey, undefined);
}

async function send_by_key(hub) {
  const keys = ["tenant", "a", "klíč", "subscriptions/7/contoso-prod"];
  for (let round = 0; round < 3; round++) {
    // A producer each time: the key decides, not the connection.
    for (const key of keys) await send(hub, [key, key], { partitionKey: key });
  }
  const homes = {};
  for (const { partition, event } of await readAll(hub)) {
    assert.equal(event.partitionKey, event.body.toString());
    (homes[event.partitionKey] ??= []).push(partition);
  }
  // The broker and the client's own buffered producer choose the same partition.
  const wanted = keys.map((key) => [key, Array(6).fill(mapPartitionKeyToId(key, IDS.length))]);
  assert.deepEqual(homes, Object.fromEntries(wanted));
}

async function send_in_turn(hub) {
  await withProducer(hub, async (client) => {
    for (let number = 0; number < 4; number++) await client.sendBatch([{ body: "one" }]);
    assert.deepEqual(await counts(hub), [1, 1, 1, 1]);
    await client.sendBatch([{ body: "two" }, { body: "three" }]);
  });
  assert.deepEqual((await counts(hub)).sort(), [1, 1, 1, 3]);
}

async function full_batch(hub) {
  const batch = await withProducer(hub, async (client) => {
    const filled = await client.createBatch({ partitionId: "0" });
    assert.equal(filled.maxSizeInBytes, 1_048_576);
    while (filled.tryAdd({ body: Buffer.alloc(1_000, `${filled.count} `.padEnd(20, ".")) }));
    assert.ok(filled.sizeInBytes > 1_046_000, "hardly more fits");
    await client.sendBatch(filled);
    return filled;
  });
  const seen = await read(hub, batch.count);
  const numbers = seen.map((event) => parseInt(event.body.toString(), 10));
  assert.deepEqual(numbers, [...Array(batch.count).keys()]);
  assert.ok(seen.every((event) => event.body.length === 1_000));
}

async function too_large(hub) {
  const largest = Buffer.alloc(1_047_040, "0123456789abcdef");
  await withProducer(hub, async (client) => {
    const batch = await client.createBatch();
    assert.equal(batch.tryAdd({ body: Buffer.alloc(1_048_576) }), false);
    const large = [{ body: Buffer.alloc(1_048_577) }];
    await rejects("MessageTooLargeError", client.sendBatch(large, { partitionId: "0" }));
    await assert.rejects(client.createBatch({ maxSizeInBytes: 1_048_577 }));
    // The largest that fits is stored, and read whole.
    await client.sendBatch([{ body: largest }], { partitionId: "0" });
  });
  const [event] = await read(hub, 1);
  assert.ok(largest.equals(event.body));
  assert.deepEqual(await counts(hub), [1, 0, 0, 0]);
}

async function round_trip(hub) {
  await sendAll(hub);
  await expectAll(hub);
}

/** Bodies that are not data: values of all kinds and sequences. */
async function bodies(hub) {
  const values = [null, true, 7, -1.5, "text", ["list", 1], { map: { in: "map" } }];
  const sequences = [[], ["one", 2]];
  const events = [
    ...values.map((body) => ({ body, bodyType: "value" })),
    ...sequences.map((body) => ({ body, bodyType: "sequence" })),
  ];
  await withProducer(hub, async (client) => {
    for (const event of events) await client.sendBatch([event], { partitionId: "0" });
  });
  const seen = await read(hub, events.length);
  seen.forEach((event, number) => {
    assert.equal(event.getRawAmqpMessage().bodyType, events[number].bodyType, `${number}`);
    assert.deepEqual(event.body, events[number].body);
  });
}

async function positions(hub) {
  await withProducer(hub, async (client) => {
    for (let number = 0; number < 5; number++) {
      await client.sendBatch([{ body: String(number) }], { partitionId: "0" });
    }
  });
  const at = (await read(hub, 5))[2];
  const cases = [
    [earliestEventPosition, 0],
    [{ sequenceNumber: -1 }, 0],
    [{ sequenceNumber: 2 }, 3],
    [{ sequenceNumber: 2, isInclusive: true }, 2],
    [{ offset: at.offset }, 3],
    [{ offset: at.offset, isInclusive: true }, 2],
    [{ enqueuedOn: at.enqueuedTimeUtc }, 3],
    [{ enqueuedOn: at.enqueuedTimeUtc.getTime() - 1 }, 2],
    [{ enqueuedOn: new Date(0) }, 0],
  ];
  await Promise.all(
    cases.map(async ([startPosition, first]) => {
      const [event] = await read(hub, 1, "0", { startPosition });
      assert.equal(event.sequenceNumber, first, JSON.stringify(startPosition));
    }),
  );
  await withConsumer(hub, async (client) => {
    const inbox = subscribe(client, "0", { startPosition: latestEventPosition });
    // The receiver attaches some time later; what is sent before is not for it.
    while (!inbox.events.length) await send(hub, ["late"], { partitionId: "0" });
    const [{ event }] = await inbox.take(1);
    assert.ok(event.sequenceNumber > 4, "only new ones");
    assert.equal(event.body.toString(), "late");
  });
}

async function owner_levels(hub) {
  await send(hub, ["one"], { partitionId: "0" });
  await withConsumer(hub, (one) =>
    withConsumer(hub, async (two) => {
      const low = subscribe(one, "0", { ownerLevel: 1 });
      await low.take(1);
      const high = subscribe(two, "0", { ownerLevel: 2 });
      await high.take(1);
      assert.equal((await low.failure()).code, "ReceiverDisconnectedError");
      for (const ownerLevel of [1, undefined]) {
        await withConsumer(hub, async (late) => {
          const refused = await subscribe(late, "0", { ownerLevel }).failure();
          assert.equal(refused.code, "ReceiverDisconnectedError");
        });
      }
      await send(hub, ["two"], { partitionId: "0" });
      const [{ event }] = await high.take(1);
      assert.equal(event.body.toString(), "two");
    }),
  );
}

async function consumer_groups(hub) {
  await send(hub, ["one", "two"], { partitionId: "0" });
  const texts = (taken) => taken.map(({ event }) => event.body.toString());
  const reads = async (group, ownerLevel, others) =>
    withConsumer(
      hub,
      async (client) => {
        const inbox = subscribe(client, "0", { ownerLevel });
        assert.deepEqual(texts(await inbox.take(2)), ["one", "two"]);
        await others();
        assert.deepEqual(texts(await inbox.take(1)), ["three"]);
      },
      group,
    );
  await reads("$Default", 7, () =>
    reads("second", 1, () =>
      reads("third", undefined, () => send(hub, ["three"], { partitionId: "0" })),
    ),
  );
}

async function last_enqueued(hub) {
  await send(hub, ["one", "two", "three"], { partitionId: "0" });
  const last = (await read(hub, 3))[2];
  const told = (trackLastEnqueuedEventProperties) =>
    withConsumer(hub, async (client) => {
      const inbox = subscribe(client, "0", { trackLastEnqueuedEventProperties });
      return (await inbox.take(1))[0].context.lastEnqueuedEventProperties;
    });
  const seen = await told(true);
  assert.equal(seen.sequenceNumber, last.sequenceNumber);
  assert.equal(seen.offset, last.offset);
  assert.deepEqual(seen.enqueuedOn, last.enqueuedTimeUtc);
  assert.ok(seen.retrievedOn >= last.enqueuedTimeUtc);
  assert.equal((await told(false))?.sequenceNumber, undefined);
}

async function buffered_producer(hub) {
  const failures = [];
  let confirmed = 0;
  const client = new EventHubBufferedProducerClient(connection, hub, {
    retryOptions,
    onSendEventsErrorHandler: async ({ error }) => failures.push(error),
    onSendEventsSuccessHandler: async ({ events }) => (confirmed += events.length),
    maxWaitTimeInMs: 200,
  });
  await using(client, async () => {
    for (let number = 0; number < 40; number++) {
      await client.enqueueEvent({ body: "keyed" }, { partitionKey: "tenant" });
      await client.enqueueEvent({ body: "placed" }, { partitionId: "0" });
      await client.enqueueEvent({ body: "any" });
    }
    await client.flush();
  });
  assert.deepEqual(failures, []);
  assert.equal(confirmed, 120);
  // The client sends to the partition of the key and leaves the key behind.
  const homes = {};
  for (const { partition, event } of await readAll(hub)) {
    (homes[JSON.parse(event.body)] ??= []).push(partition);
  }
  assert.deepEqual(homes.keyed, Array(40).fill(mapPartitionKeyToId("tenant", IDS.length)));
  assert.deepEqual(homes.placed, Array(40).fill(0));
  assert.equal(homes.any.length, 40);
  assert.deepEqual([...new Set(homes.any)].sort(), [0, 1, 2, 3]);
}

/** Two processors share the partitions and a third goes on where they stopped. */
async function event_processor(hub) {
  const store = new InMemoryCheckpointStore();
  const withProcessor = (act) => {
    const client = new EventHubConsumerClient("$Default", connection, hub, store, {
      retryOptions,
      loadBalancingOptions: { strategy: "balanced", updateIntervalInMs: 500 },
    });
    const inbox = new Inbox();
    client.subscribe(inbox.handlers(), {
      startPosition: earliestEventPosition,
      skipParsingBodyAsJson: true,
    });
    return using(client, () => act(inbox));
  };
  const shares = async () => {
    const owned = await store.listOwnership("localhost", hub, "$Default");
    const owners = owned.map((one) => one.ownerId);
    return [...new Set(owners)].map((owner) => owners.filter((one) => one === owner).length);
  };
  await withProcessor((first) =>
    withProcessor(async (second) => {
      while ((await shares()).sort().join() !== "2,2") await sleep(50);
      for (const partitionId of IDS) await send(hub, ["a", "b"], { partitionId });
      const seen = [...(await first.take(4)), ...(await second.take(4))];
      for (const { event, context } of seen) await context.updateCheckpoint(event);
      const texts = seen.map(({ event, context }) => `${context.partitionId} ${event.body}`);
      assert.deepEqual(texts.sort(), IDS.flatMap((id) => [`${id} a`, `${id} b`]));
    }),
  );
  await send(hub, ["c"], { partitionId: "2" });
  await withProcessor(async (third) => {
    const [{ event, context }] = await third.take(1);
    assert.equal(`${context.partitionId} ${event.body}`, "2 c");
  });
}

/** Hubs and partitions that do not exist. */
async function missing(hub) {
  const code = "MessagingEntityNotFoundError";
  await withProducer(hub, async (client) => {
    await rejects(code, client.getPartitionProperties("4"));
    await rejects(code, client.sendBatch([{ body: "lost" }], { partitionId: "4" }));
  });
  await withProducer("nowhere", async (client) => {
    await rejects(code, client.getEventHubProperties());
    await rejects(code, client.sendBatch([{ body: "lost" }]));
  });
  for (const [name, partition] of [[hub, "4"], ["nowhere", "0"]]) {
    await withConsumer(name, async (client) => {
      assert.equal((await subscribe(client, partition).failure()).code, code);
    });
  }
  assert.deepEqual(await counts(hub), [0, 0, 0, 0]);
}

// --- events that every language writes and reads ---------------------------------------------

const sendAll = (hub) =>
  withProducer(hub, async (client) => {
    for (const wanted of shared) {
      const event = {
        body: Buffer.from(wanted.body, "base64"),
        properties: wanted.properties,
        contentType: wanted.content_type,
        messageId: wanted.message_id,
        correlationId: wanted.correlation_id,
      };
      const target = wanted.key ? { partitionKey: wanted.key } : { partitionId: "0" };
      await client.sendBatch([event], target);
    }
  });

async function expectAll(hub) {
  const found = {};
  for (const { event } of await readAll(hub)) found[event.body.toString("base64")] = event;
  assert.deepEqual(Object.keys(found).sort(), shared.map((one) => one.body).sort());
  for (const wanted of shared) {
    const event = found[wanted.body];
    assert.equal(event.partitionKey, wanted.key);
    assert.equal(event.contentType, wanted.content_type);
    assert.equal(event.messageId, wanted.message_id);
    assert.equal(event.correlationId, wanted.correlation_id);
    assert.deepEqual(event.properties ?? {}, wanted.properties ?? {});
  }
}

const CASES = [
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
];

async function run(test) {
  try {
    await test(test.name);
    console.log(`ok ${test.name}`);
    return true;
  } catch (error) {
    console.error(error);
    console.log(`failed ${test.name}: ${error.message}`);
    return false;
  }
}

if (option === "--write") {
  await sendAll(value);
} else if (option === "--read") {
  await expectAll(value);
} else {
  const cases = CASES.filter((one) => option !== "--only" || one.name === value);
  const held = await Promise.all(cases.map(run));
  // Without waiting for the timers of closed clients.
  process.exit(held.every(Boolean) ? 0 : 1);
}
