// GraphiQL for this server: HTTP and graphql-transport-ws on /graphql of the same host, nothing from anywhere else.
import 'graphiql/style.css';
import './page.css';

import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { createRoot } from 'react-dom/client';

const STARTER = `# Welcome to madang. Ctrl+Enter runs this;
# the book on the left has the docs.
#
# To act as somebody, sign in:
#
# mutation {
#   login(input: {
#     nameOrEmail: "…", password: "…", delivery: BODY
#   }) { accessToken }
# }
#
# and put the token into the tab Headers below:
#
# { "Authorization": "Bearer …" }
#
# Subscriptions use it, too. Then ask for more:
#
# { boards(first: 5) { nodes { name postCount } } }

query Viewer {
  viewer {
    id
    name
  }
}
`;

const url = new URL('/graphql', location.href).href;

/** The Authorization that the headers editor holds, whatever its case. */
function authorization(headers) {
  const entry = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'authorization');
  return entry?.[1];
}

// A socket acts for who opened it, so each other token gets a socket of its own; the last one is closed when it is idle.
let socket;
function socketFor(token) {
  if (!socket || socket.token !== token) {
    socket?.client.dispose();
    const client = createClient({
      url: url.replace(/^http/, 'ws'),
      connectionParams: token ? { authorization: token } : {},
      lazyCloseTimeout: 10_000,
      retryAttempts: 2,
    });
    socket = { token, client };
  }
  return socket.client;
}

const fetcher = (params, options) => {
  const wsClient = socketFor(authorization(options?.headers));
  return createGraphiQLFetcher({ url, wsClient })(params, options);
};

createRoot(document.getElementById('graphiql')).render(
  <GraphiQL
    fetcher={fetcher}
    defaultQuery={STARTER}
    defaultEditorToolsVisibility="headers"
    isHeadersEditorEnabled
    shouldPersistHeaders={false}
    inputValueDeprecation
    schemaDescription
  />,
);
