import { runBrowserSync } from '../support/browser-sync.js';
import { findChromium, launchChromium, servePage } from '../support/chromium.js';
import { Restartable } from '../support/restartable.js';
import { Refusal, type SoakContext } from './context.js';

const COUNT = 10_000;

/** 10,000 documents from one Chromium to another, through a stop and a kill of the server. */
export async function browser(context: SoakContext): Promise<boolean> {
  if ((await findChromium()) === undefined) throw new Refusal('needs Chromium (apt-get install chromium)');
  await context.needDisk(2e9);
  const site = await servePage();
  const gateway = await Restartable.start({ args: ['--cors', site.origin] });
  const chromium = await launchChromium();
  try {
    await runBrowserSync({ gateway, browser: chromium, site, count: COUNT, ceiling: 7 * 60_000 });
    await context.record({ documents: COUNT, seconds: context.seconds });
  } finally {
    await chromium.close();
    await gateway.remove();
    await site.close();
  }
  return true;
}
