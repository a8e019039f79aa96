// Bundles the chat page: see ../bundle.mjs.
import { build } from 'esbuild';
import { bundle } from '../bundle.mjs';

await bundle({ build, url: import.meta.url, page: 'chat', entry: 'src/main.js' });
