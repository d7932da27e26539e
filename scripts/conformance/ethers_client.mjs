// The official ethers client, unmodified, told what to do by a JSON job on stdin.
//
// The job names the folder that the client is installed in. `play` uses each method against a
// devnet; `record` makes the given calls and nothing else.

import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const job = JSON.parse(await text(process.stdin));
const require = createRequire(join(job.modules, "package.json"));
const { JsonRpcProvider, Network, Wallet, keccak256 } = require("ethers");
const { FlashbotsBundleProvider, FlashbotsBundleResolution, FlashbotsTransactionResolution } =
  require("@flashbots/ethers-provider-bundle");

const WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2";
const WITHDRAW_TOO_MUCH = "0x2e1a7d4d" + "ff".repeat(32);
const PAYEE = "0x" + "42".repeat(20);
const GWEI = 10n ** 9n;
const NETWORK = { name: "", chainId: 1n };
const POLLING_MS = 20;
const MOST_SLOTS = 100;

/** One account of the devnet and a client of its relay. */
class Desk {
  static async open(key) {
    const desk = new Desk();
    desk.node = new JsonRpcProvider(job.rpc, 1, { staticNetwork: Network.from(1), cacheTimeout: -1 });
    desk.node.pollingInterval = POLLING_MS;
    desk.account = new Wallet(key, desk.node);
    desk.client = await clientOf(desk.node);
    desk.target = (await desk.node.getBlockNumber()) + 1;
    return desk;
  }

  /** A transfer of one wei, or of what is said, that the client is to sign. */
  own(nonce, fields = {}) {
    const fees = { type: 2, maxFeePerGas: 50n * GWEI, maxPriorityFeePerGas: GWEI };
    const transfer = { to: PAYEE, value: 1n, gasLimit: 21_000n, nonce, chainId: 1n };
    return { signer: this.account, transaction: { ...transfer, ...fees, ...fields } };
  }

  /** The same, signed already. */
  async raw(nonce, fields = {}) {
    const { transaction } = this.own(nonce, fields);
    return { signedTransaction: await this.account.signTransaction(transaction) };
  }

  /** Let the devnet seal the next slot. */
  async mine() {
    await this.node.send("evm_mine", []);
  }

  /** What a wait ends with. Its first poll only learns where the chain is, so slots go on. */
  async mineUntil(waiting) {
    const late = Symbol("late");
    for (let slot = 0; slot < MOST_SLOTS; slot++) {
      await this.mine();
      const pause = new Promise((done) => setTimeout(done, 5 * POLLING_MS, late));
      const outcome = await Promise.race([waiting, pause]);
      if (outcome !== late) return outcome;
    }
    throw new Error(`no end after ${MOST_SLOTS} slots`);
  }

  async isKnown(hash) {
    return (await this.node.getTransactionReceipt(hash)) !== null;
  }
}

function clientOf(node, relay = job.relay) {
  return FlashbotsBundleProvider.create(node, new Wallet(job.key), relay, NETWORK);
}

/** Fail with both values unless they are equal. */
function equal(expected, found) {
  const [one, other] = [expected, found].map((value) =>
    JSON.stringify(value, (_, item) => (typeof item === "bigint" ? `${item}n` : item)),
  );
  if (one !== other) throw new Error(`expected ${one}, found ${other}`);
}

/** What was asked for, unless the client says that the relay refused. */
function taken(answer) {
  if (answer.error) throw new Error(`${answer.error.message} (${answer.error.code})`);
  return answer;
}

const methods = {
  async signBundle(desk) {
    const nonceless = desk.own(0);
    delete nonceless.transaction.nonce;
    const signed = await desk.client.signBundle([nonceless, await desk.raw(1), desk.own(2)]);
    equal([await desk.raw(0), await desk.raw(1), await desk.raw(2)].map(rawOf), signed);
    return "3 transactions, the missing nonce filled";
  },

  async simulate(desk) {
    const signed = [await desk.raw(0), await desk.raw(1, { value: 2n })].map(rawOf);
    const answer = taken(await desk.client.simulate(signed, desk.target, desk.target - 1));
    equal([21_000, 21_000], answer.results.map((row) => row.gasUsed));
    equal(2n * 21_000n * GWEI, answer.coinbaseDiff);
    equal(undefined, answer.firstRevert);
    equal([42_000, desk.target - 1], [answer.totalGasUsed, answer.stateBlockNumber]);
    const hash = FlashbotsBundleProvider.generateBundleHash(signed.map((raw) => keccak256(raw)));
    equal(hash, answer.bundleHash);
    return "2 transactions, exact builder revenue, the client's own bundle hash";
  },

  async simulateRevert(desk) {
    const failing = { to: WETH, value: 0n, data: WITHDRAW_TOO_MUCH, gasLimit: 60_000n };
    const signed = [await desk.raw(0), await desk.raw(1, failing)].map(rawOf);
    const answer = taken(await desk.client.simulate(signed, desk.target));
    equal(keccak256(signed[1]), answer.firstRevert?.txHash);
    equal(true, "error" in answer.firstRevert);
    return "the second transaction is the first that reverts";
  },

  async sendBundle(desk) {
    const bundle = [desk.own(0), await desk.raw(1), desk.own(2)];
    const sent = taken(await desk.client.sendBundle(bundle, desk.target));
    const hashes = sent.bundleTransactions.map((one) => one.hash);
    equal(FlashbotsBundleProvider.generateBundleHash(hashes), sent.bundleHash);
    equal(63_000, taken(await sent.simulate()).totalGasUsed);
    const outcome = await desk.mineUntil(sent.wait());
    equal("BundleIncluded", FlashbotsBundleResolution[outcome]);
    const receipts = await sent.receipts();
    const first = receipts[0].index;
    equal([1, 1, 1], receipts.map((one) => one.status));
    equal(Array(3).fill(desk.target), receipts.map((one) => one.blockNumber));
    equal([first, first + 1, first + 2], receipts.map((one) => one.index));
    return `simulate, wait, receipts: 3 in order in block ${desk.target}`;
  },

  async revertingTxHashes(desk) {
    const failing = { to: WETH, value: 0n, data: WITHDRAW_TOO_MUCH, gasLimit: 60_000n };
    const bundle = [await desk.raw(0, failing), await desk.raw(1)];
    const options = { revertingTxHashes: [keccak256(rawOf(bundle[0]))] };
    const sent = taken(await desk.client.sendBundle(bundle, desk.target, options));
    await desk.mine();
    equal([0, 1], (await sent.receipts()).map((one) => one.status));
    return "status 0 and 1";
  },

  async replacementUuid(desk) {
    const options = { replacementUuid: "d2b9b5d1-7a34-4f0e-9a1c-52f6f0a7c4b8" };
    const better = [desk.own(0, { maxPriorityFeePerGas: 2n * GWEI })];
    const first = taken(await desk.client.sendBundle(better, desk.target, options));
    const second = taken(await desk.client.sendBundle([desk.own(0)], desk.target, options));
    await desk.mine();
    equal([1], (await second.receipts()).map((one) => one.status));
    equal(false, await desk.isKnown(first.bundleTransactions[0].hash));
    return "only the second landed";
  },

  async cancelBundles(desk) {
    const uuid = "4c8f8b53-3f0e-4e9d-8a5b-9d1f6f2f7e90";
    const options = { replacementUuid: uuid };
    const sent = taken(await desk.client.sendBundle([desk.own(0)], desk.target, options));
    equal([sent.bundleHash], taken(await desk.client.cancelBundles(uuid)).bundleHashes);
    const outcome = await desk.mineUntil(sent.wait());
    equal("BlockPassedWithoutInclusion", FlashbotsBundleResolution[outcome]);
    equal([], await sent.receipts());
    return "named, and its block passed without it";
  },

  async sendPrivateTransaction(desk) {
    const options = { maxBlockNumber: desk.target + 20 };
    const sent = taken(await desk.client.sendPrivateTransaction(desk.own(0), options));
    const outcome = await desk.mineUntil(sent.wait());
    equal("TransactionIncluded", FlashbotsTransactionResolution[outcome]);
    equal([1], (await sent.receipts()).map((one) => one.status));
    return "wait, receipts: mined";
  },

  async cancelPrivateTransaction(desk) {
    const sent = taken(await desk.client.sendPrivateTransaction(desk.own(0)));
    equal(true, await desk.client.cancelPrivateTransaction(sent.transaction.hash));
    await desk.mine();
    equal(false, await desk.isKnown(sent.transaction.hash));
    return "not mined";
  },

  async refusals(desk) {
    const late = await desk.client.sendBundle([desk.own(0)], desk.target - 1);
    equal(-32000, late.error?.code);
    const nonce = await desk.client.simulate([rawOf(await desk.raw(7))], desk.target);
    equal(true, nonce.error?.message.startsWith("err: nonce too high"));
    const dead = await desk.client.getUserStatsV2().catch((error) => error.message);
    equal(true, /403/.test(String(dead)));
    return "a past block, a nonce too high, statistics that are gone";
  },
};

function rawOf(transaction) {
  return transaction.signedTransaction;
}

/** Use every method with an account of its own; one line each, the number of failures. */
async function play() {
  let failures = 0;
  for (const [index, name] of Object.keys(methods).entries()) {
    let desk = null;
    try {
      desk = await Desk.open(job.accounts[index]);
      console.log(`ok    ethers ${name}: ${await methods[name](desk)}`);
    } catch (error) {
      failures += 1;
      console.log(`FAIL  ethers ${name}: ${error}`);
    } finally {
      desk?.node.destroy();
    }
  }
  return failures;
}

/** Make each given call with a fresh client, so that every request has the same id. */
async function record() {
  for (const { method, inputs } of job.cases) {
    const node = new JsonRpcProvider(job.rpc, 1, { staticNetwork: Network.from(1) });
    const client = await clientOf(node);
    if (method === "eth_sendBundle") {
      await client.sendRawBundle(inputs.transactions, inputs.block, inputs.options);
    } else if (method === "eth_callBundle") {
      const { transactions, block, state_block, timestamp } = inputs;
      await client.simulate(transactions, block, state_block, timestamp ?? undefined);
    } else if (method === "eth_cancelBundle") {
      await client.cancelBundles(inputs.uuid);
    } else if (method === "eth_cancelPrivateTransaction") {
      await client.cancelPrivateTransaction(inputs.tx_hash);
    } else {
      const [signedTransaction] = inputs.transactions;
      const options = { maxBlockNumber: inputs.max_block };
      await client.sendPrivateTransaction({ signedTransaction }, options);
    }
    node.destroy();
  }
  return 0;
}

process.exitCode = await { play, record }[job.task]();
