// What Foxglove's and Lichtblick's parsers read of an MCAP file: `node lichtblick_reader.mjs FILE TOPIC/FIELD...` prints JSON.
// @mcap/core, @mcap/support and protobufjs, called as Lichtblick's mcap-support calls them.
import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { McapIndexedReader, McapStreamReader } from "@mcap/core";
import { loadDecompressHandlers } from "@mcap/support";
import protobufjs from "protobufjs";
import descriptor from "protobufjs/ext/descriptor/index.js";

const [path, ...curves] = process.argv.slice(2);
const file = await open(path, "r");
const size = (await file.stat()).size;
const read = async (offset, length) => {
  const bytes = new Uint8Array(Number(length));
  await file.read(bytes, 0, Number(length), Number(offset));
  return bytes;
};
const decompressHandlers = await loadDecompressHandlers();

// The whole file where it has its summary, else record by record up to where it was cut.
async function* records() {
  let reader;
  try {
    const readable = { size: async () => BigInt(size), read };
    reader = await McapIndexedReader.Initialize({ readable, decompressHandlers });
  } catch {
    const stream = new McapStreamReader({ decompressHandlers });
    stream.append(await read(0, size));
    for (let record; (record = stream.nextRecord()); ) yield record;
    return;
  }
  yield* reader.schemasById.values();
  yield* reader.channelsById.values();
  for await (const metadata of reader.readMetadata()) yield metadata;
  yield* reader.readMessages();
}

const schemas = new Map(), channels = new Map(), units = {};
const found = Object.fromEntries(curves.map((curve) => [curve, { time_ns: [], value: [], unit: "" }]));
for await (const record of records()) {
  if (record.type === "Schema" && !schemas.has(record.id)) {
    const root = protobufjs.Root.fromDescriptor(descriptor.FileDescriptorSet.decode(record.data));
    root.resolveAll();
    schemas.set(record.id, root.lookupType(record.name));
  } else if (record.type === "Channel") {
    channels.set(record.id, [record.topic, schemas.get(record.schemaId)]);
  } else if (record.type === "Metadata" && record.name.startsWith("units ")) {
    units[record.name.slice("units ".length)] = Object.fromEntries(record.metadata);
  } else if (record.type === "Message") {
    const [topic, type] = channels.get(record.channelId);
    const message = type.toObject(type.decode(record.data), { defaults: true });
    for (const curve of curves) {
      const at = curve.indexOf("/");
      if (curve.slice(0, at) !== topic) continue;
      const value = curve.slice(at + 1).split(".").reduce((inner, name) => inner[name], message);
      found[curve].time_ns.push(String(record.logTime)); // more digits than a number has
      found[curve].value.push(Number.isNaN(value) ? null : value);
    }
  }
}
for (const curve of curves) {
  const at = curve.indexOf("/");
  found[curve].unit = units[curve.slice(0, at)]?.[curve.slice(at + 1)] ?? "";
}
const { version } = JSON.parse(readFileSync(new URL("node_modules/@mcap/core/package.json", import.meta.url)));
console.log(JSON.stringify({ reader: `Lichtblick's parsers (@mcap/core ${version})`, curves: found }));
