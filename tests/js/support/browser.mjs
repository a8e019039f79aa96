// Chromium, which reaches nothing but this machine. CHROMIUM names the browser.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const chromiumOptions = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
  ],
};

/** A browser; each context of it is a person of its own. */
export const launch = () => chromium.launch(chromiumOptions);

/** A browser with one context, whose profile is thrown away when it is closed. */
export async function launchContext(options) {
  const profile = await mkdtemp(join(tmpdir(), 'madang-chromium-'));
  const context = await chromium.launchPersistentContext(profile, { ...chromiumOptions, ...options });
  context.once('close', () => rm(profile, { recursive: true, force: true }));
  return context;
}

/** Where screenshots go: MADANG_SCREENSHOTS, or a temporary folder. */
export const screenshots = async () =>
  process.env.MADANG_SCREENSHOTS ?? mkdtemp(join(tmpdir(), 'madang-screenshots-'));
