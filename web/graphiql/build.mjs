// Bundles GraphiQL: see ../bundle.mjs.
import { build } from 'esbuild';
import { bundle } from '../bundle.mjs';

await bundle({
  build,
  url: import.meta.url,
  page: 'graphiql',
  entry: 'src/main.jsx',
  options: {
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    loader: { '.woff2': 'dataurl', '.ttf': 'dataurl', '.svg': 'dataurl' },
  },
});
