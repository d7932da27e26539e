// Uniswap's own SDKs, unmodified, as the quotes benchmark's peer; see quotes_degenbot.py for the
// conversation. The folder of their environment is the first argument.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const load = createRequire(`${process.argv[2]}/`);
const { CurrencyAmount, Token } = load("@uniswap/sdk-core");
const { Pair } = load("@uniswap/v2-sdk");
const { Pool } = load("@uniswap/v3-sdk");

const token0 = new Token(1, `0x${"a".repeat(40)}`, 18);
const token1 = new Token(1, `0x${"b".repeat(40)}`, 18);

function pairs(job) {
  const made = job.few.map(([amount, into, out]) => [
    new Pair(CurrencyAmount.fromRawAmount(token0, into), CurrencyAmount.fromRawAmount(token1, out)),
    CurrencyAmount.fromRawAmount(token0, amount),
  ]);
  return made.map(([pair, amount]) => async () => pair.getOutputAmount(amount)[0]);
}

function ticked(job, work) {
  const { price, liquidity, tick, ticks, fee } = job.ticked;
  const pool = new Pool(
    token0,
    token1,
    fee,
    price,
    liquidity,
    tick,
    ticks.map(([index, net]) => ({
      index,
      liquidityNet: net,
      liquidityGross: net.replace("-", ""),
    })),
  );
  const token = work.zero_for_one ? token0 : token1;
  return work.few.map((amount) => {
    const given = CurrencyAmount.fromRawAmount(token, amount);
    return async () => (await pool.getOutputAmount(given))[0];
  });
}

let job = null;
for await (const line of createInterface({ input: process.stdin })) {
  if (job === null) {
    job = JSON.parse(line);
    continue;
  }
  const works = line === "pairs" ? pairs(job) : ticked(job, job[line]);
  const start = process.hrtime.bigint();
  const answers = [];
  for (const work of works) answers.push(await work());
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const amounts = answers.map((answer) => answer.quotient.toString());
  console.log(JSON.stringify({ seconds, amounts }));
}
