// What the scripts have in common. The plan and the results are those of ../python/plan.py.

export const LEGACY = "2025-11-25";

export const plan = JSON.parse(process.argv[2]);

export async function follow(client, call) {
  const { tools } = await client.listTools();
  const told = { instructions: client.getInstructions(), tools, results: [] };
  for (const step of plan.steps) {
    if (step.pause !== undefined) {
      await new Promise((wake) => setTimeout(wake, step.pause * 1000));
      continue;
    }
    const calls = Array.from({ length: step.times ?? 1 }, () => one(call, step));
    told.results.push(...(await Promise.all(calls)));
  }
  console.log(JSON.stringify(told));
}

async function one(call, step) {
  const progress = [];
  try {
    const heard = ({ progress: done, total, message }) => progress.push([done, total, message]);
    const result = await call(step.call, step.arguments ?? {}, heard);
    const text = (result.content ?? []).map((part) => part.text ?? "").join("");
    return { error: Boolean(result.isError), text, progress };
  } catch (error) {
    return { failure: String(error), progress };
  }
}
