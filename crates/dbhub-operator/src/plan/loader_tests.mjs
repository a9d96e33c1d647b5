// Reads configurations with DBHub's own loader and connectors, and says what reached the database drivers. In: the
// folder of DBHub's compiled code as argument, then one JSON line per configuration ({file, environment}) on stdin.
// Out: one JSON line each.
import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const engines = ["postgres", "mysql", "mariadb", "sqlserver", "sqlite"];
const open = (file) => import(pathToFileURL(`${folder}/${file}`));

// The names of the bundler's chunks change with every release of DBHub; what they export does not.
const exporting = async (name) => {
  const has = (file) => readFileSync(`${folder}/${file}`, "utf8").split("export {").pop().includes(`  ${name}`);
  return (await open(readdirSync(folder).find((file) => file.startsWith("chunk-") && has(file))))[name];
};

const tls = ({ ssl, options }) => {
  if (options) return !options.encrypt ? "disable" : options.trustServerCertificate ? "require" : "verify-full";
  if (!ssl) return "disable";
  if (ssl.rejectUnauthorized === false) return "require";
  return ssl.checkServerIdentity ? "verify-ca" : "verify-full";
};

const loadTomlConfig = await exporting("loadTomlConfig");
const ConnectorManager = await exporting("ConnectorManager");
const ToolRegistry = await exporting("ToolRegistry");
const registry = await exporting("ConnectorRegistry");

let reached = {};
for (const engine of engines) {
  await open(readdirSync(folder).find((file) => file.startsWith(`${engine}-`)));
  // Everything is DBHub's but the connection itself.
  Object.getPrototypeOf(registry.getConnector(engine)).connect = async function (dsn, _, given) {
    const seen = await this.dsnParser.parse(dsn, given);
    reached[this.sourceId] = {
      type: this.id,
      host: seen.host ?? seen.server,
      port: seen.port,
      database: seen.database ?? seen.dbPath,
      user: seen.user,
      password: seen.password,
      tls: this.id === "sqlite" ? undefined : tls(seen),
      ca: seen.ssl?.ca?.toString().trim(),
      plugins: seen.authPlugins && Object.keys(seen.authPlugins),
      connection_timeout: given.connectionTimeoutSeconds,
      query_timeout: given.queryTimeoutSeconds,
    };
  };
}

const read = async ({ file, environment }) => {
  process.argv = [process.argv[0], "dbhub", "--config", file];
  Object.assign(process.env, environment);
  reached = {};
  try {
    const { sources, tools } = loadTomlConfig();
    const manager = new ConnectorManager();
    await manager.connectWithSources(sources);
    const early = Object.keys(reached);
    for (const { id } of sources) await manager.ensureConnected(id);
    const registered = new ToolRegistry({ sources, tools });
    const served = sources.map(({ id }) => [id, { ...reached[id], tools: registered.getEnabledToolConfigs(id) }]);
    return { early, sources: Object.fromEntries(served) };
  } catch (error) {
    return { error: String(error) };
  } finally {
    for (const name of Object.keys(environment)) delete process.env[name];
  }
};

console.error = () => {};
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await read(JSON.parse(line)))}\n`);
}
