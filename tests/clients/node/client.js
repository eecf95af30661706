// What test_node.py plays: one part of the story, its findings as JSON on stdout.
const { Client, Pool, Query } = require("pg");

const parts = {
  async reads(client) {
    const text = await client.query("SELECT count(*)::int AS n FROM orders WHERE id <= 200");
    const parameter = await client.query("SELECT $1::int + 1 AS n", [41]);
    const named = [];
    for (const value of [1, 2, 3]) {
      const found = await client.query({ name: "one", text: "SELECT $1::int AS n", values: [value] });
      named.push(found.rows[0].n);
    }
    const pool = new Pool({ max: 2 });
    const found = await Promise.all([0, 1, 2, 3].map((n) => pool.query("SELECT $1::int AS n", [n])));
    await pool.end();
    return { text: text.rows[0].n, parameter: parameter.rows[0].n, named, pool: found.map((one) => one.rows[0].n) };
  },
  async writes(client) {
    const alone = await client.query("UPDATE orders SET total = $1 WHERE id = 51", [81]);
    await client.query("BEGIN");
    const inside = await client.query("UPDATE orders SET total = 82 WHERE id = 52");
    await client.query("COMMIT");
    return { alone: alone.rowCount, inside: inside.rowCount };
  },
  async denied(client) {
    try {
      await client.query("DELETE FROM orders WHERE id = $1", [54]);
    } catch (error) {
      const after = await client.query("SELECT 1 AS n");
      return { code: error.code, message: error.message, after: after.rows[0].n };
    }
    throw new Error("it was not denied");
  },
  async cancelled(client) {
    const held = new Promise((resolve) => client.once("notice", resolve));
    const query = new Query("UPDATE orders SET total = 99 WHERE id = 55");
    const ended = new Promise((resolve) => query.once("error", resolve));
    client.query(query);
    await held;
    new Client().cancel(client, query);
    const error = await ended;
    const after = await client.query("SELECT 1 AS n");
    return { code: error.code, after: after.rows[0].n };
  },
  async gone(client) {
    client.on("error", () => {});
    const held = new Promise((resolve) => client.once("notice", resolve));
    client.query("UPDATE orders SET total = 99 WHERE id = 53").catch(() => {});
    await held;
    client.connection.stream.destroy();
    return { gone: true };
  },
};

(async () => {
  const client = new Client();
  await client.connect();
  console.log(JSON.stringify(await parts[process.argv[2]](client)));
  await client.end().catch(() => {});
})().then(() => process.exit(0));
