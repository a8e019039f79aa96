// Chromium, which reaches nothing but this machine. CHROMIUM names the browser.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** A browser with a profile of its own, which is thrown away; each context of it is a person. */
export const launch = () =>
  chromium.launch({
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
  });

/** Where screenshots go: MADANG_SCREENSHOTS, or a temporary folder. */
export const screenshots = async () =>
  process.env.MADANG_SCREENSHOTS ?? mkdtemp(join(tmpdir(), 'madang-screenshots-'));
