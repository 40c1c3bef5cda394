// Takes the pictures of docs/operations.md from a running UI (`make ui` after `make demo`):
//   npm install playwright-core && node docs/pictures/take.mjs http://127.0.0.1:3000 docs/pictures [NAME...]
// NAMEs: lineage materialization launchpad failed_check backfill automation; all of them where none is given. `backfill`
// starts one of edge_maps, which makes nothing anew. For `failed_check` one must have failed: materialize
// foreground_library under DECOUPAGE__CHECKS__MIN_FOREGROUNDS=500, and without it again before `lineage`.
// Of the App, which `make inspect` has just started (it keeps what was opened last):
//   node docs/pictures/take.mjs http://127.0.0.1:5151 docs/pictures grid group
// Chromium is looked for where CHROMIUM says, else in /usr/bin/chromium.
import { chromium } from 'playwright-core';
import path from 'path';

const [base, out, ...wanted] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});

async function ask(page, query, variables) {
  const answer = await page.request.post(`${base}/graphql`, { data: { query, variables } });
  return (await answer.json()).data;
}

async function edges(page) {
  const keys = await ask(page, '{assetNodeOrError(assetKey: {path: ["edge_maps"]}) {... on AssetNode {partitionKeys}}}');
  const started = await ask(
    page,
    'mutation ($params: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $params) ' +
      '{... on LaunchBackfillSuccess {backfillId}}}',
    { params: { assetSelection: [{ path: ['edge_maps'] }], partitionNames: keys.assetNodeOrError.partitionKeys } },
  );
  const id = started.launchPartitionBackfill.backfillId;
  const status = 'query ($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}}';
  while ((await ask(page, status, { id })).partitionBackfillOrError.status === 'REQUESTED') await page.waitForTimeout(5000);
  return `/runs/b/${id}`;
}

const shown = async (page) => {
  const advice = page.getByText('Dismiss');
  if (await advice.count()) await advice.first().click();
};
const graph = { x: 540, y: 150, width: 1060, height: 640 };
const pictures = {
  lineage: {
    at: '/asset-groups',
    then: async (page) => {
      await page.keyboard.press('Alt+KeyE');
      await page.addStyleTag({ content: '[class*=zoomSlider] { display: none }' }); // It lies over the last assets.
    },
    clip: graph,
    scale: 1.5,
    settled: 30000,
  },
  materialization: {
    at: '/assets/dataset?view=events',
    then: (page) => page.getByText('[Show Markdown]').first().click(),
  },
  launchpad: { at: '/locations/assets_defs.definitions/jobs/train/playground' },
  failed_check: { at: '/assets/foreground_library?view=checks&checkDetail=enough_foregrounds' },
  backfill: { at: edges },
  automation: { at: '/automation' },
};
const app = {
  grid: { at: '/', then: shown },
  group: {
    at: '/datasets/decoupage-demo?view=worst-of-the-adapter',
    then: async (page) => {
      await shown(page);
      await page.mouse.click(420, 240); // The first picture.
    },
    settled: 9000,
  },
};
Object.assign(pictures, app);

const all = Object.keys(pictures).filter((name) => !(name in app));
for (const name of wanted.length ? wanted : all) {
  const { at, then, clip, scale, settled } = pictures[name];
  const context = await browser.newContext({ viewport: { width: 1600, height: 900 }, deviceScaleFactor: scale || 1 });
  const page = await context.newPage();
  const where = typeof at === 'string' ? at : await at(page);
  await page.goto(base + where, { waitUntil: 'domcontentloaded', timeout: 120000 });
  await page.waitForTimeout(10000);
  if (then) {
    await then(page);
    await page.waitForTimeout(settled || 4000); // The lineage's colours come last.
  }
  await page.screenshot({ path: path.join(out, `ui_${name}.jpg`), type: 'jpeg', quality: 80, clip });
  console.log('took', name);
  await context.close();
}
await browser.close();
