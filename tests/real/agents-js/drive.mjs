// What the drivers of both SDKs have in common.
import {createInterface} from 'node:readline';

function write(value) {
  console.log(JSON.stringify(value));
}

async function run(call, {cancel, ...asked}) {
  const outcome = {progress: []};
  const controller = new AbortController();
  const onprogress = ({progress, total, message}) => {
    outcome.progress.push([progress, total ?? null, message ?? null]);
    if (cancel) {
      controller.abort('no longer wanted');
    }
  };
  try {
    outcome.result = await call(asked, {onprogress, signal: controller.signal});
  } catch (error) {
    if (controller.signal.aborted) {
      outcome.cancelled = true;
    } else {
      outcome.error = {code: error.code, message: error.message};
    }
  }
  return outcome;
}

export async function drive(client, transport, protocol, call) {
  const start = performance.now();
  await client.connect(transport);
  const seconds = (performance.now() - start) / 1000;
  const {tools} = await client.listTools();
  await client.ping();
  write({
    protocol: protocol(), server: client.getServerVersion(),
    instructions: client.getInstructions(), seconds, tools,
  });
  for await (const line of createInterface({input: process.stdin})) {
    write(await run(call, JSON.parse(line)));
  }
  await client.close();
}
