#!/usr/bin/env bash
# Builds the chat page into src/server/pages/chat/, which is committed: the server is built without Node.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
npm ci --no-audit --no-fund
node build.mjs
